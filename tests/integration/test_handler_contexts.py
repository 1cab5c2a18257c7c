"""What a handler sees of its program: the context in which its node was started, under any event loop."""

import asyncio
import inspect
import logging
from contextvars import ContextVar
from typing import Any

import pytest

from braidmq import DeadlineExceeded, ServiceError
from braidmq.testing import TestNet
from tests.support.async_tests import until
from tests.support.event_loops import KINDS
from tests.support.nights import cases
from tests.support.services import async_echo, one_service

trace = ContextVar("trace", default="nobody's")

CALLS = 50
"""Of each caller: enough that turns of all kinds begin handlers."""


async def ask_many(node, service):
    for _ in range(CALLS):
        await node.request(service)


@cases("kind", ["async def", "def", "awaited for a def"], one_in=2)
async def test_a_handler_starts_in_the_context_in_which_its_node_was_started(kind):
    """The node also calls, in tasks of its program that have contexts of their own."""
    seen = []

    def note(_request):
        seen.append(trace.get())
        trace.set("an earlier request's")
        return b""

    async def async_note(request):
        answer = note(request)
        await asyncio.sleep(0.001)  # so that its end begins a turn, and that one the next request
        return answer

    handler = {"async def": async_note, "def": note, "awaited for a def": lambda request: async_note(request)}[kind]  # noqa: PLW0108
    async with TestNet(1) as net:
        both, other = net.node("both"), net.node("other")
        both.service("mine", concurrency=2)(handler)
        other.service("theirs")(async_echo)
        trace.set("the starter's")
        async with both, other:
            trace.set("somebody's afterwards")
            await net.served("mine")
            await net.served("theirs")

            async def caller():
                trace.set("an unrelated call's")
                await ask_many(both, "theirs")

            foreign = (ask_many(other, "mine") for _ in range(4))
            await asyncio.gather(*(caller() for _ in range(4)), *foreign)
    assert set(seen) == {"the starter's"}


async def test_what_a_def_sets_is_seen_by_what_it_returns_to_be_awaited():
    async def inner():
        return trace.get().encode()

    def handler(_request):
        trace.set("the wrapper's")
        return inner()

    async with one_service(handler) as (_net, client):
        assert (await client.request("s")).payload == b"the wrapper's"


async def test_what_the_log_is_told_later_is_told_in_the_context_of_the_start(caplog):
    caplog.set_level(logging.DEBUG, "braidmq.node")
    seen = set()

    def note(record):
        seen.add((record.getMessage(), trace.get()))
        return True

    logging.getLogger("braidmq.node").addFilter(note)
    try:
        trace.set("the starter's")
        async with one_service(async_echo) as (net, client):
            await client.request("s")
            seen.clear()
            net.brokers["b1"].pause()
            trace.set("a caller's")
            await until(lambda: not client._loop._turn_scheduled)  # the call begins one of its own
            with pytest.raises(DeadlineExceeded):
                await client.request("s", timeout=0.01)  # its timer is the next one, and sets the one after it
            await until(lambda: client.brokers[0].problem is not None)
    finally:
        logging.getLogger("braidmq.node").removeFilter(note)
    assert seen
    assert {context for _message, context in seen} == {"the starter's"}


# -- kinds of tasks and event loops


@cases(("loop", "factory"), KINDS.values(), ids=KINDS, one_in=2)
def test_handlers_run_under_any_loop_and_in_any_kind_of_task(loop, factory):
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(in_tasks_of(factory))


async def in_tasks_of(factory):
    unhandled = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: unhandled.append(context))
    asyncio.get_running_loop().set_task_factory(factory)
    async with asyncio.timeout(30):
        await answer_and_stop()
    assert not unhandled


async def answer_and_stop():
    seen, gate = [], asyncio.Event()

    async def at_once(_request):
        assert not any(frame.function == "hand_out" for frame in inspect.stack()), "in the middle of the node's turn"
        seen.append(trace.get())
        return b"ok"

    async def later(_request):
        await asyncio.sleep(0)
        return await at_once(_request)

    async def held(_request):
        gate.set()
        await asyncio.Event().wait()

    handlers: dict[str, Any] = {
        "at-once": at_once,
        "later": later,
        "thread": lambda _request: b"ok",
        "both": lambda request: later(request),  # noqa: PLW0108 - it is no `async def`
        "held": held,
    }
    async with TestNet(1) as net:
        worker = net.node("worker")
        for name, handler in handlers.items():
            worker.service(name, concurrency=1)(handler)
        trace.set("the starter's")
        async with worker, net.node("client") as client:
            trace.set("a caller's")
            for service in ("at-once", "later", "thread", "both"):
                await net.served(service)
                replies = await asyncio.gather(*(client.request(service) for _ in range(5)))
                assert [reply.payload for reply in replies] == [b"ok"] * 5
            for _ in range(2):
                gate.clear()
                call = asyncio.ensure_future(client.request("held"))
                await gate.wait()
                call.cancel()
            for _ in range(20):  # some before it begins
                call = asyncio.ensure_future(client.request("later"))
                await asyncio.sleep(0)
                call.cancel()
            assert (await client.request("later")).payload == b"ok"
            await until(lambda: worker._tasks is not None and len(worker._tasks) == 0)
    assert set(seen) == {"the starter's"}


async def test_a_task_factory_that_fails_costs_a_request_no_place(caplog):
    loop = asyncio.get_running_loop()

    def failing(_loop, _work, **_unknown):
        raise OSError("no task today")

    async with one_service(async_echo, concurrency=1) as (_net, client):
        await client.request("s")
        asked = asyncio.ensure_future(client.request("s", b"kept", timeout=20.0))
        await asyncio.sleep(0)
        loop.set_task_factory(failing)
        await until(lambda: "no task today" in caplog.text)
        loop.set_task_factory(None)
        assert (await asked).payload == b"kept"
        assert caplog.text.count("no task today") == 1, "it is told once"
        assert (await client.request("s", b"more")).payload == b"more"


async def test_a_task_factory_that_fails_for_what_a_thread_returns_costs_no_place():
    loop = asyncio.get_running_loop()

    def failing(_loop, work, **_unknown):
        if work.__qualname__.endswith("._await"):
            raise OSError("no task today")
        return asyncio.Task(work, loop=loop)

    async with one_service(lambda request: async_echo(request), concurrency=1) as (_net, client):  # noqa: PLW0108
        loop.set_task_factory(failing)
        for _ in range(3):
            with pytest.raises(ServiceError, match="OSError"):
                await client.request("s")
        loop.set_task_factory(None)
        assert (await client.request("s", b"more")).payload == b"more"
