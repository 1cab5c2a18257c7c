import os
import subprocess
import sys

from braidmq.lab.bench.usage import usage_of

BURN = "import time; end = time.process_time() + 0.3\nwhile time.process_time() < end: pass\nprint(flush=True); input()"


def test_usage_counts_a_process_and_what_it_has_started():
    nested = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BURN!r}])"
    for code in (BURN, nested):
        with subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        ) as child:
            child.stdout.readline()
            used = usage_of([child.pid])
            child.communicate(b"\n")
        assert 0.25 <= used.cpu_s < 5.0
        assert used.peak_bytes > 1024 * 1024


def test_usage_of_others_is_not_counted():
    nobody = usage_of([])
    assert (nobody.cpu_s, nobody.peak_bytes) == (0.0, 0)
    assert usage_of([os.getsid(0)]).peak_bytes > 0
