"""A process that is not listened to, and is again."""

import sys

import pytest

from faults.child import Child, wait_until

WRITES_UNTIL_FULL = """
import os, sys
os.set_blocking(2, False)
line, count = b"x" * 99 + b"\\n", 0
try:
    while True:
        if os.write(2, line) < len(line):
            break
        count += 1
except BlockingIOError:
    pass
print(count, flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def child():
    started = Child([sys.executable, "-c", WRITES_UNTIL_FULL], talks=True)
    yield started
    started.close()


def test_a_child_that_nobody_reads_fills_its_pipe_and_what_it_said_is_read_later(child):
    child.stop_reading()
    count = int(child.hear())  # it has met its end
    assert child.log.count("\n") < count
    child.read_on()
    wait_until(lambda: child.log.count("\n") >= count, "all is read")
