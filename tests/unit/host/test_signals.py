import os
import shutil
import signal
import subprocess
import sys

import pytest

END = """
import sys
from braidmq.host.signals import end_by_signal
print("before", flush=True)
end_by_signal(int(sys.argv[1]))
print("after", flush=True)
"""


def end(number, *prefix):
    return subprocess.run(
        [*prefix, sys.executable, "-c", END, str(int(number))], capture_output=True, timeout=60, check=False
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_signal_ends_the_process(number):
    ended = end(number)
    assert (ended.returncode, ended.stdout, ended.stderr) == (-number, b"before\n", b"")


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="needs root and unshare")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_process_1_of_a_container_too(number):
    ended = end(number, "unshare", "--pid", "--fork", "--mount-proc")
    assert (ended.returncode, ended.stdout, ended.stderr) == (128 + number, b"before\n", b"")
