"""What libzmq would do to this process if it could."""

import subprocess
import sys
from pathlib import Path

RESET = Path(__file__).with_name("reset_while_full.py")


def test_a_peer_that_fills_the_pipe_and_resets_its_connection_ends_no_process():
    done = subprocess.run([sys.executable, RESET], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("read ")
