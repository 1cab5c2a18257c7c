import asyncio
import signal
import sys

import pytest

from braidmq.lab.processes.child import Child, python
from braidmq.lab.processes.waiting import wait_until

WRITES_UNTIL_FULL = """
import os, sys
os.set_blocking(2, False)
sys.stdin.readline()  # nobody reads from then on
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
    child.tell("write")
    count = int(child.hear())  # it has met its end
    assert child.log.count("\n") < count
    child.read_on()
    wait_until(lambda: child.log.count("\n") >= count, "all is read")


ECHOES = """
import sys
for line in sys.stdin:
    if line == "fail\\n":
        sys.exit("it was told to")
    print(line.upper(), end="", flush=True)
"""


@pytest.fixture
def leashed(tmp_path):
    """Return what runs a program as a leashed child and does something with it."""

    def run(program, do):
        async def go():
            child = Child.leashed("it", python("-c", program), tmp_path / "log", talks=True)
            try:
                return await do(child)
            finally:
                await child.kill()

        return asyncio.run(go())

    return run


def test_a_leashed_child_is_told_and_heard_and_says_how_it_has_ended(leashed):
    async def do(child):
        child.tell("one")
        child.tell("two")
        assert [await child.report(), await child.report()] == ["ONE\n", "TWO\n"]
        assert child.running
        child.tell("fail")
        assert await child.report() == ""
        assert await child.report() == "", "and nothing comes after the end"
        await child.ended()
        assert not child.ordered
        return await child.drain()

    assert leashed(ECHOES, do) == "it ended with exit code 1: it was told to"


def test_a_leashed_child_ends_by_sigterm_and_that_is_no_fault_if_it_does_so_well(leashed):
    async def do(child):
        assert await child.report() == "ready\n"
        fault = await child.drain()
        assert child.ordered
        return fault, child.running

    ends_well = (
        "import signal, sys; signal.signal(15, lambda *_: sys.exit(0)); print('ready', flush=True); signal.pause()"
    )
    assert leashed(ends_well, do) == (None, False)
    fault, running = leashed("import signal; print('ready', flush=True); signal.pause()", do)
    assert (fault, running) == (f"it was ended by {signal.SIGTERM.name}", False)


def test_those_who_wait_hear_of_the_end_while_others_wait_for_a_line(leashed):
    async def do(child):
        waits = [asyncio.create_task(child.ended()), asyncio.create_task(child.report())]
        await asyncio.sleep(0)
        await child.kill()
        return await asyncio.gather(*waits)

    assert leashed(ECHOES, do) == [None, ""]


def test_what_has_ended_says_nothing_any_more():
    child = Child([sys.executable, "-c", "print('last')"], talks=True)
    assert child.hear() == "last\n"
    for _ in range(2):
        with pytest.raises(AssertionError, match="says nothing any more"):
            child.hear()
    child.close()
