"""Nodes that nobody closes: what they have is given back, and no program hangs."""

import asyncio
import gc
import subprocess
import sys
from contextlib import suppress
from contextvars import copy_context
from weakref import ref

import pytest

from braidmq import Node, NoWorker, Settings
from braidmq import blocking as without_asyncio
from braidmq.testing import TestNet
from tests.support.async_tests import wait_until
from tests.support.nights import cases
from tests.support.resources import counted, held, nothing_left
from tests.support.services import async_echo

pytestmark = counted

PROGRAM_S_MAX = 30


@pytest.fixture
def net():
    with TestNet(1) as net:
        net.node("n")
        yield net


@pytest.mark.parametrize("kind", ["async", "blocking"])
def test_what_a_forgotten_node_had_is_given_back_with_a_warning(net, kind):
    async def use():
        node = Node(net.join("n"), settings=Settings.test())
        node.service("loop")(async_echo)
        node.service("thread")(lambda request: request.payload)
        await node.start()
        await node.connected()
        return ref(node)

    def use_without():
        node = without_asyncio.Node(net.join("n"), settings=Settings.test())
        node.start()
        node.connected()
        return ref(node)

    def forget():
        gone = asyncio.run(use()) if kind == "async" else use_without()
        gc.collect()
        return gone

    for _ in range(3):
        before = held()
        with pytest.warns(ResourceWarning, match="the node n was not closed"):
            gone = forget()
        assert gone() is None
        wait_until(lambda before=before: nothing_left(before))


def test_a_node_that_was_closed_is_collected_without_a_warning(net):
    async def use():
        async with Node(net.join("n"), settings=Settings.test()) as node:
            await node.connected()
        return ref(node)

    gone = asyncio.run(use())
    gc.collect()
    assert gone() is None


def test_a_context_of_a_handler_that_never_ended_does_not_keep_its_node(net):
    contexts = []

    async def use():
        begun = asyncio.Event()
        node = Node(net.join("n"), settings=Settings.test())

        @node.service("held")
        async def handler(_request):
            contexts.append(copy_context())
            begun.set()
            await asyncio.Event().wait()

        await node.start()
        asyncio.ensure_future(node.request("held"))  # noqa: RUF006 - nobody is to hold it
        await begun.wait()
        return ref(node)

    def forget():
        loop = asyncio.new_event_loop()
        gone = loop.run_until_complete(use())
        loop.close()
        gc.collect()
        return gone

    with pytest.warns(ResourceWarning, match="the node n was not closed"):
        gone = forget()
    assert contexts
    assert gone() is None


async def test_calls_that_fail_leave_nothing_for_the_garbage_collector(net):
    async with Node(net.join("n"), settings=Settings.test()) as node:
        await node.connected()

        async def fail():
            with suppress(NoWorker):
                await node.request("nobody", wait=False)
                pytest.fail("there is a worker")

        await fail()
        gc.collect()
        gc.disable()
        try:
            for _ in range(10):
                await fail()
            assert gc.collect() < 10, "each of the calls has left a cycle"
        finally:
            gc.enable()


PROGRAMS = {
    "a node at the end of its event loop": """
async def main():
    global node
    node = Node(sys.argv[1])
    await node.start()
    await node.connected()

asyncio.run(main())
""",
    "several event loops": """
async def main():
    node = Node(sys.argv[1])
    await node.start()
    await node.connected()
    nodes.append(node)

nodes = []
for _ in range(3):
    asyncio.run(main())
""",
    "an exception": """
async def main():
    global node
    node = Node(sys.argv[1])
    await node.start()
    await node.connected()
    sys.exit(0)

asyncio.run(main())
""",
    "a loop that was only stopped": """
loop = asyncio.new_event_loop()
node = Node(sys.argv[1])
loop.run_until_complete(node.start())
loop.run_until_complete(node.connected())
""",
    "without asyncio": """
node = BlockingNode(sys.argv[1])
node.start()
node.connected()
""",
    "with a handler that knows the node, without asyncio": """
node = BlockingNode(sys.argv[1])

@node.service("s")
def handler(request):
    return node.request("other").payload

node.start()
node.connected()
""",
    "closed by a function that the program has registered": """
import atexit

node = BlockingNode(sys.argv[1])
atexit.register(node.close)
node.start()
node.connected()
""",
    "an event loop in a thread that still runs": """
import threading

node = Node(sys.argv[1])
loop = asyncio.new_event_loop()
threading.Thread(target=loop.run_forever, daemon=True).start()
asyncio.run_coroutine_threadsafe(node.start(), loop).result()
asyncio.run_coroutine_threadsafe(node.connected(), loop).result()
""",
}


@cases("program", PROGRAMS.values(), ids=PROGRAMS.keys(), one_in=3)
def test_a_program_ends_though_it_forgets_its_node(net, program):
    head = "import asyncio, sys\nfrom braidmq import Node\nfrom braidmq.blocking import Node as BlockingNode\n"
    done = subprocess.run(
        [sys.executable, "-c", head + program, str(net.join("n"))],
        capture_output=True,
        text=True,
        timeout=PROGRAM_S_MAX,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
