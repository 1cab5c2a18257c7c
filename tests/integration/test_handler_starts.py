"""When handlers begin: as soon as Python can, never in the middle of a turn of their node, and in any case."""

import asyncio
import inspect
import statistics
import sys
import time

import pytest

from braidmq import AttemptsExhausted, BraidError, RequestError
from braidmq.testing import TestNet
from tests.support.event_loops import KINDS
from tests.support.services import async_echo, one_service

EAGER = {"asyncio", "uvloop", "asyncio, eager tasks"} if sys.version_info >= (3, 12) else set()
"""Where a handler begins while its task is made."""


@pytest.mark.parametrize("kind", KINDS)
def test_a_handler_begins_as_soon_as_its_request_is_read_where_python_can(kind):
    loop, factory = KINDS[kind]
    with asyncio.Runner(loop_factory=loop) as runner:
        stacks = runner.run(stacks_of_handlers(factory))
    assert ["_make_task" in stack for stack in stacks] == [kind in EAGER] * 3


async def stacks_of_handlers(factory):
    stacks = []

    async def handler(_request):
        stacks.append([frame.function for frame in inspect.stack()])
        return b"ok"

    asyncio.get_running_loop().set_task_factory(factory)
    async with asyncio.timeout(30), one_service(handler) as (_net, client):
        for _ in range(3):
            await client.request("s")
    return stacks


async def test_a_handler_may_end_its_node_before_others_of_its_turn_begin():
    begun, unhandled = [], []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: unhandled.append(context))
    async with TestNet(1) as net, net.node("client") as client:
        worker = net.node("worker")

        @worker.service("s", concurrency=8)
        async def handler(_request):
            begun.append(asyncio.current_task())
            worker.end_now()
            return b"late"

        await worker.start()
        await net.served("s")
        calls = [asyncio.ensure_future(client.request("s", attempts=1, timeout=2.0)) for _ in range(8)]
        ends = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 30)
        await worker.wait_closed()
    assert begun
    assert any(isinstance(end, AttemptsExhausted) for end in ends)
    assert all(isinstance(end, RequestError) for end in ends), "some may have come when it was gone"
    assert not unhandled
    assert worker._tasks is not None
    assert len(worker._tasks) == 0


async def test_a_job_that_has_ended_leaves_nothing_behind():
    async with TestNet(1) as net, net.node("client") as client:
        worker = net.node("worker")
        worker.service("s", concurrency=8)(async_echo)
        worker.service("thread", concurrency=8)(lambda request: request.payload)
        await worker.start()
        for service in ("s", "thread"):
            await net.served(service)
            await asyncio.gather(*(client.request(service) for _ in range(20)))
        jobs = worker._tasks
        assert jobs is not None
        assert not jobs._runs
        assert not jobs._tasks
        assert not jobs.taken
        await worker.close()


@pytest.mark.parametrize("ends", [False, True], ids=["and begins", "and the node ends"])
async def test_a_request_may_be_read_by_the_turn_of_a_call_but_does_not_begin_within_it(ends):
    """The node has stood still, and its program calls before the event loop comes to what has come meanwhile."""
    stacks: list[set[str]] = []

    async def handler(_request):
        stacks.append({frame.function for frame in inspect.stack()})
        return b"ok"

    async with TestNet(1) as net:
        held, other, worker = asyncio.Event(), net.node("other"), net.node("worker")

        def ask():
            with net.blocking_node("client") as client:
                return client.request("s", attempts=1, timeout=5.0)

        @other.service("held")
        async def hold(_request):
            await held.wait()
            return b"ok"

        worker.service("s")(handler)
        for node in (other, worker):
            await node.start()
        await net.served("s")
        await net.served("held")
        jobs = worker._tasks
        assert jobs is not None
        asked = asyncio.get_running_loop().run_in_executor(None, ask)
        while not any(row.name == "s" and row.outstanding for row in net.brokers["b1"].report().services):
            time.sleep(0.01)  # noqa: ASYNC251 - the node has to stand still
        time.sleep(0.5)  # noqa: ASYNC251 - its turn was due by then
        calling = asyncio.ensure_future(worker.request("held"))
        await asyncio.sleep(0)
        assert (jobs.taken, len(stacks)) == (1, 0)
        if ends:
            worker.end_now()
        held.set()
        answers = await asyncio.gather(asked, calling, return_exceptions=True)
        for node in (other, worker):
            await node.close()
    assert len(jobs) == 0
    assert len(stacks) == (not ends)
    assert all(isinstance(answer, BraidError) == ends for answer in answers)
    assert not any("request" in stack for stack in stacks)


async def test_what_follows_from_what_was_read_leaves_at_once():
    """A copy of a request that was answered is answered by what the worker remembers, and no handler begins."""
    runs, took_s = [], []

    async def handler(_request):
        runs.append(1)
        return b"ok"

    async with one_service(handler) as (_net, client):
        for number in range(15):
            id_ = b"a copy's id  %3d" % number
            await client.request("s", id=id_)
            began = time.perf_counter()
            await client.request("s", id=id_, possible_duplicate=True)
            took_s.append(time.perf_counter() - began)
    assert len(runs) == 15
    assert statistics.median(took_s) < 0.03


async def test_a_handler_begins_at_once_where_a_place_is_free_again():
    """Each broker has a request for the only place: one of them waits at the worker."""
    waits: list[float] = []
    ended_at = 0.0

    async def handler(_request):
        nonlocal ended_at
        waits.append(time.perf_counter() - ended_at)
        await asyncio.sleep(0.002)
        ended_at = time.perf_counter()
        return b"ok"

    async with TestNet(2) as net, net.node("client") as client:
        worker = net.node("worker")
        worker.service("s", concurrency=1)(handler)
        await worker.start()
        await net.served("s")
        await client.settled(10)
        for _ in range(30):
            del waits[:]
            await asyncio.gather(*(client.request("s", via=broker) for broker in net.brokers))
            if waits[-1] < 0.002:
                break
        await worker.close()
    assert waits[-1] < 0.002
