"""Processes that are forked while a node runs: they end, they leave the node alone, and can have one of their own."""

import os
import subprocess
import sys

import pytest

from braidmq import Settings
from braidmq.testing import TestNet
from tests.support.async_tests import wait_until
from tests.support.nights import cases

PROGRAM_S_MAX = 30

PYTHON = [sys.executable, "-W", "ignore:This process:DeprecationWarning", "-c"]
"""Python warns of every fork in a process with threads."""

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")

HEAD = """
import asyncio, gc, multiprocessing, os, sys, threading, time
from braidmq import BraidError, Node, NodeClosed, Settings
from braidmq.blocking import Node as BlockingNode

JOIN, SETTINGS = sys.argv[1], Settings.test()

def status(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""

BLOCKING = {
    "os._exit": "os._exit(0)",
    "sys.exit inside 'with'": "sys.exit(0)",
    "an error inside 'with'": "os.close(2); raise OSError",
    "collected": "del node; gc.collect(); os._exit(0)",
    "closed": "node.close(); node.close(); os._exit(0)",
    "used": """
    uses = [lambda: node.request("s", timeout=2.0), node.connected, node.settled, node.observe, node.start]
    for use in uses:
        try:
            use()
        except NodeClosed as error:
            assert "make a node of its own" in str(error), error
        else:
            os._exit(5)
    os._exit(0 if node.brokers == [] else 6)
""",
    "a node of its own": """
    with BlockingNode(JOIN, settings=SETTINGS) as own:
        own.connected(5.0)
        assert own.request("s", b"child").payload == b"child"
    os._exit(0)
""",
}


def run(net, program):
    done = subprocess.run(
        [*PYTHON, HEAD + program, str(net.join("c"))],
        capture_output=True,
        text=True,
        timeout=PROGRAM_S_MAX,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.fixture
def net():
    with TestNet(1) as net:
        worker = net.blocking_node("worker")
        worker.service("s")(lambda request: request.payload)
        net.node("c")
        with worker:
            net.wait_served("s")
            yield net


@cases("child", BLOCKING.values(), ids=BLOCKING.keys(), one_in=3)
def test_a_child_of_a_node_without_asyncio_ends_and_its_parent_goes_on(net, child):
    program = f"""
with BlockingNode(JOIN, settings=SETTINGS) as node:
    node.connected(5.0)
    pid = os.fork()
    if not pid:
        {child.strip()}
    assert status(pid) == {1 if "OSError" in child else 0}
    for _ in range(3):
        assert node.request("s", b"parent").payload == b"parent"
        time.sleep(0.05)
"""
    if "\n" in child:
        program = program.replace(child.strip(), child.strip().replace("\n", "\n    "))
    assert run(net, program) == (0, "")


def test_a_child_of_an_async_node_is_told_to_make_one_of_its_own(net):
    program = """
async def main():
    async with Node(JOIN, settings=SETTINGS) as node:
        await node.connected(5.0)
        pid = os.fork()
        if not pid:
            for use in (node.request("s"), node.connected(), node.settled(), node.observe(), node.start()):
                try:
                    await use
                except NodeClosed as error:
                    assert "make a node of its own" in str(error), error
                else:
                    os._exit(5)
            await node.close()
            os._exit(0 if node.brokers == [] else 6)
        assert status(pid) == 0
        assert (await node.request("s", b"parent")).payload == b"parent"

asyncio.run(main())
"""
    assert run(net, program) == (0, "")


def test_pools_of_forked_processes_work_beside_a_node(net):
    program = """
def square(x):
    return x * x

with BlockingNode(JOIN, settings=SETTINGS) as node:
    node.connected(5.0)
    with multiprocessing.get_context("fork").Pool(3) as pool:
        assert pool.map(square, range(5)) == [0, 1, 4, 9, 16]
    assert node.request("s", b"parent").payload == b"parent"
"""
    assert run(net, program) == (0, "")


def test_forks_while_many_threads_call_do_not_hang(net):
    program = """
with BlockingNode(JOIN, settings=SETTINGS) as node:
    node.connected(5.0)
    going = True

    def call():
        while going:
            assert node.request("s", b"parent").payload == b"parent"

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        pid = os.fork()
        if not pid:
            try:
                node.request("s")
            except NodeClosed:
                node.close()
                os._exit(0)
        assert status(pid) == 0
    going = False
    for thread in threads:
        thread.join()
"""
    assert run(net, program) == (0, "")


def test_a_node_that_was_not_started_before_the_fork_may_be_started_in_the_child(net):
    program = """
node = BlockingNode(JOIN, settings=SETTINGS)
pid = os.fork()
if not pid:
    with node:
        assert node.request("s", b"child").payload == b"child"
    os._exit(0)
assert status(pid) == 0
with node:
    assert node.request("s", b"parent").payload == b"parent"
"""
    assert run(net, program) == (0, "")


@pytest.fixture
def patient_net():
    """A net that does not take silence for death."""
    settings = Settings.test(suspect_after_s=100.0, dead_after_s=200.0, transport_timeout_s=100.0)
    with TestNet(1, settings=settings) as net:
        net.node("c")
        yield net


def names(net):
    return {node.name for node in net.brokers["b1"].report().nodes}


@pytest.mark.parametrize("kind", ["blocking", "async"])
def test_brokers_notice_the_death_of_a_parent_though_its_child_lives_on(patient_net, kind):
    blocking = """
node = BlockingNode(JOIN, settings=SETTINGS)
node.start()
node.connected(5.0)
"""
    on_asyncio = """
node = Node(JOIN, settings=SETTINGS)
loop = asyncio.new_event_loop()
loop.run_until_complete(node.start())
loop.run_until_complete(node.connected(5.0))
"""
    program = (
        (blocking if kind == "blocking" else on_asyncio)
        + """
if not os.fork():
    sys.stdin.read()
    os._exit(0)
print("forked", flush=True)
time.sleep(60)
"""
    )
    parent = subprocess.Popen(
        [*PYTHON, HEAD + program, str(patient_net.join("c"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with parent:
        assert parent.stdout.readline() == b"forked\n"
        assert "c" in names(patient_net)
        parent.kill()
        parent.wait()
        wait_until(lambda: "c" not in names(patient_net))
        parent.stdin.close()
