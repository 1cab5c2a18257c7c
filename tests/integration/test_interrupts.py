"""Ctrl-C ends a worker; what looks like it but comes out of a handler does not. In real processes."""

import signal
import sys

import pytest

from tests.support.nights import cases
from tests.support.processes import wait_until

HANDLERS = """
import asyncio, sys
from braidmq import Node

node = Node(sys.argv[1])


def fail(request):
    if request.payload:
        raise {"KeyboardInterrupt": KeyboardInterrupt, "SystemExit": SystemExit}[request.payload.decode()]
    return b"fine"


@node.service("loop", concurrency=1)
async def on_loop(request):
    await asyncio.sleep(0)
    return fail(request)


@node.service("thread", concurrency=1)
def in_thread(request):
    return fail(request)


@node.service("spin", concurrency=1)
async def spin(_request):
    print("spins", file=sys.stderr, flush=True)
    while True:
        pass


async def main():
    async with node:
        await asyncio.Event().wait()
"""

ENDS = {"node.run()": "\nnode.run()\n", "asyncio.run()": "\nasyncio.run(main())\n"}


@pytest.fixture
def net(live):
    live.add_members("b1")
    live.broker("b1")
    return live


def launch(net, tmp_path, how):
    program = tmp_path / "worker.py"
    program.write_text(HANDLERS + ENDS[how])
    worker = net.launch([sys.executable, program, net.join("worker")])
    for service in ("loop", "thread", "spin"):
        net.wait_for_workers(service)
    return worker


@cases("how", ENDS, one_in=2)
def test_what_a_handler_raises_does_not_end_its_worker_and_an_interrupt_does(net, tmp_path, how):
    worker = launch(net, tmp_path, how)
    for service in ("loop", "thread"):
        for error in ("KeyboardInterrupt", "SystemExit"):
            failed = net.call(service, error)
            assert failed.returncode == 3
            assert f"INTERNAL: the handler failed with {error}" in failed.stderr.decode()
        assert net.call(service, "").stdout == b"fine"
    assert worker.running
    worker.send_signal(signal.SIGINT)
    assert worker.wait() == (0 if how == "node.run()" else -signal.SIGINT)


@pytest.mark.nightly
def test_interrupts_end_a_worker_whose_handler_never_returns_to_the_loop(net, tmp_path):
    """asyncio lets the second one be raised where the program is: in the handler, while nothing else can run."""
    worker = launch(net, tmp_path, "asyncio.run()")
    with net.calling("spin", "--timeout", "30"):
        worker.wait_for_line("spins")

        def ended():
            worker.send_signal(signal.SIGINT)  # those that come at once may become one
            return not worker.running

        wait_until(ended, "it has ended", timeout=20, poll_s=0.3)
