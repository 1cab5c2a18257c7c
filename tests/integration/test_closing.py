"""The end of a node, whoever begins it, and however often: it comes once, in time, and leaves nothing behind."""

import asyncio
import contextlib
import gc
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from time import monotonic

import pytest
import uvloop

from braidmq import AttemptsExhausted, Node, NodeClosed, RequestError, Settings
from braidmq.node import FLUSH_S_MAX
from braidmq.testing import TestNet
from tests.support.async_tests import until, wait_until
from tests.support.resources import counted, held, nothing_left
from tests.support.services import Gate, async_echo

pytestmark = counted

DRAIN_S = 0.3
SHORT = Settings.test(drain_s=DRAIN_S)


@contextlib.asynccontextmanager
async def started(net, *, handler=async_echo, settings=None, name="worker"):
    """Yield a running worker; fail if anything of it is left afterwards."""
    await until(lambda: len(asyncio.all_tasks()) == 1)
    before = held()
    worker = net.node(name, settings=settings)
    if isinstance(handler, Gate):
        handler.serve(worker)
    else:
        worker.service("s")(handler)
    await worker.start()
    await net.served("s")
    yield worker
    assert worker.brokers == []
    await until(lambda: nothing_left(before))


@contextlib.asynccontextmanager
async def net_with_client():
    """Yield a net, and a client that is connected: what both hold does not change any more."""
    async with TestNet(1) as net, net.node("client") as client:
        await until(lambda: all(broker.state == "up" for broker in client.brokers))
        yield net, client


async def test_closing_again_and_in_parallel_waits_for_the_one_end():
    gate = Gate()
    async with net_with_client() as (net, client), started(net, handler=gate) as worker:
        call = asyncio.ensure_future(client.request("s"))
        await until(lambda: gate.running == 1)
        closings = [asyncio.ensure_future(worker.close()) for _ in range(5)]
        done, _ = await asyncio.wait(closings, timeout=0.05)
        assert not done
        gate.opened.set()
        await asyncio.gather(*closings)
        assert (await call).payload == b"done"
        await worker.close()


@pytest.mark.parametrize("steps", range(6))
async def test_an_end_whose_caller_is_cancelled_goes_on(steps):
    gate = Gate()
    async with net_with_client() as (net, client), started(net, handler=gate) as worker:
        call = asyncio.ensure_future(client.request("s"))
        await until(lambda: gate.running == 1)
        closing = asyncio.ensure_future(worker.close())
        for _ in range(steps):
            await asyncio.sleep(0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        again = asyncio.ensure_future(worker.close())
        gate.opened.set()
        await again
        assert (await call).payload == b"done"


@pytest.mark.parametrize("kind", ["in the handler", "in a task of it"])
async def test_a_handler_may_end_its_own_node_and_still_answers(kind):
    async with net_with_client() as (net, client):

        async def shutdown(_request):
            if kind == "in the handler":
                await worker.close()
            else:
                await asyncio.create_task(worker.close())
            return b"bye"

        async with started(net, handler=shutdown) as worker:
            began = monotonic()
            assert (await client.request("s")).payload == b"bye"
            await worker.wait_closed()
            assert monotonic() - began < worker.settings.drain_s


async def test_a_handler_that_ends_its_node_and_goes_on_is_stopped_like_others():
    gate = Gate()
    async with net_with_client() as (net, client):

        async def shutdown(request):
            await worker.close()
            return await gate(request)

        async with started(net, handler=shutdown, settings=SHORT) as worker:
            call = asyncio.ensure_future(client.request("s", attempts=1))
            await until(lambda: gate.running == 1)
            await worker.close()
            with pytest.raises(AttemptsExhausted):
                await call
            assert gate.cancelled == 1


async def test_what_a_handler_has_begun_and_outlives_it_waits_for_the_end():
    tasks = []
    async with net_with_client() as (net, client):

        async def shutdown(_request):
            tasks.append(asyncio.create_task(later()))
            return b"bye"

        async def later():
            await answered.wait()
            await worker.close()
            return worker.brokers

        answered = asyncio.Event()
        async with started(net, handler=shutdown) as worker:
            await client.request("s")
            answered.set()
            assert await tasks[0] == []


async def test_handlers_that_do_not_heed_their_end_do_not_hold_it_up(caplog):
    going, release = asyncio.Event(), asyncio.Event()

    async def stubborn(_request):
        going.set()
        while not release.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await release.wait()
        return b""

    async with net_with_client() as (net, client):
        async with started(net, handler=stubborn, settings=SHORT) as worker:
            call = asyncio.ensure_future(client.request("s", attempts=1, timeout=0.5))
            await going.wait()
            began = monotonic()
            await worker.close()
            assert monotonic() - began < DRAIN_S + 3 * FLUSH_S_MAX
            assert "handlers do not stop: s" in caplog.text
            with pytest.raises(RequestError):
                await call
        release.set()
        await until(lambda: len(asyncio.all_tasks()) == 1)


@pytest.mark.parametrize("steps", range(4))
async def test_an_end_that_is_cancelled_itself_gives_everything_back(steps):
    gate = Gate()
    async with net_with_client() as (net, client), started(net, handler=gate) as worker:
        call = asyncio.ensure_future(client.request("s", attempts=1))
        await until(lambda: gate.running == 1)
        closing = worker.begin_closing()
        for _ in range(steps):
            await asyncio.sleep(0)
        closing.cancel()
        await worker.close()
        with pytest.raises(AttemptsExhausted):
            await call
        await until(lambda: gate.cancelled == 1)


@contextlib.asynccontextmanager
async def one_thread():
    """Yield what runs a coroutine in an event loop of its own, in a thread that is there already."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(int).result()
        yield lambda work: asyncio.get_running_loop().run_in_executor(pool, asyncio.run, work)


async def test_an_event_loop_that_ends_in_a_drain_ends_its_node():
    gate = Gate()

    async def run_short(net):
        worker = net.node("worker")
        gate.serve(worker)
        await worker.start()
        await net.served("s")
        running = asyncio.ensure_future(worker.request("s"))
        await until(lambda: gate.running == 1)
        worker.begin_closing()
        return worker, running

    async with TestNet(1) as net, one_thread() as run:
        before = held()
        worker, _ = await run(run_short(net))
        assert worker.brokers == []
        await until(lambda: nothing_left(before))


async def test_a_node_whose_event_loop_has_ended_can_be_closed_anywhere():
    async def leave(net):
        node = net.node("n")
        await node.start()
        await node.connected()
        return node

    async with TestNet(1) as net, one_thread() as run:
        before = held()
        node = await run(leave(net))
        await node.close()
        await node.close()
        with pytest.raises(NodeClosed):
            await node.request("s")
        await until(lambda: nothing_left(before))


@pytest.mark.parametrize("failing", [False, True])
@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_node_with_a_state_file_whose_event_loop_was_closed_gives_everything_back(
    net, tmp_path, caplog, failing, loop_factory
):
    """Also if giving back a part of it fails."""

    def fail():
        raise RuntimeError("this part fails")

    net.node("n")
    loop = loop_factory()
    loop.run_until_complete(asyncio.sleep(0))
    before = held()
    node = Node(net.join("n"), state=tmp_path / "state")
    loop.run_until_complete(node.start())
    loop.run_until_complete(node.connected())
    loop.close()
    if failing:
        node._tasks.threads.close = fail
    with pytest.raises(RuntimeError, match="this part fails") if failing else contextlib.nullcontext():
        asyncio.run(node.close())
    assert node.brokers == []
    wait_until(lambda: nothing_left(before))
    assert "destroyed" not in caplog.text


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, OSError])
def test_what_interrupts_the_end_of_a_node_is_told_once(net, caplog, error):
    async def end(node):
        def fail():
            give_back()
            raise error("in the end")

        await node.start()
        give_back, node._loop.connections.close = node._loop.connections.close, fail
        await node.close()

    node = net.node("n")
    with pytest.raises(error):
        asyncio.run(end(node))
    gc.collect()
    assert "never retrieved" not in caplog.text
    assert ("n ended with an error" in caplog.text) == (error is OSError)


def old_factory(loop, work):
    """A task factory that knows of no context."""
    return asyncio.Task(work, loop=loop)


FACTORIES = [old_factory] + ([asyncio.eager_task_factory] if hasattr(asyncio, "eager_task_factory") else [])


@pytest.mark.parametrize("factory", FACTORIES)
async def test_any_kind_of_task_may_close_a_node(factory, tmp_path):
    loop = asyncio.get_running_loop()
    async with TestNet(1) as net, net.node("client") as client:
        await client.connected()
        worker = Node(net.join("client").rename(tmp_path / "worker.braid"), state=tmp_path / "state")

        @worker.service("s")
        async def shutdown(_request):
            await worker.close()
            return b"bye"

        loop.set_task_factory(factory)
        try:
            await worker.start()
            await net.served("s")
            assert (await client.request("s")).payload == b"bye"
            await worker.wait_closed()
            assert worker.brokers == []
            idle = net.node("idle")
            await idle.start()
            await idle.close()
            assert idle.brokers == []
        finally:
            loop.set_task_factory(None)


async def test_a_call_back_of_the_event_loop_may_begin_the_end():
    async with net_with_client() as (net, _client), started(net) as worker:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, worker.begin_closing)
        try:
            os.kill(os.getpid(), signal.SIGUSR1)
            await worker.wait_closed()
        finally:
            loop.remove_signal_handler(signal.SIGUSR1)


async def test_a_node_that_was_killed_in_its_drain_is_closed_for_all_who_wait():
    gate = Gate()
    async with net_with_client() as (net, client), started(net, handler=gate) as worker:
        call = asyncio.ensure_future(client.request("s", attempts=1))
        await until(lambda: gate.running == 1)
        closings = [asyncio.ensure_future(worker.close()) for _ in range(2)]
        await until(lambda: worker._loop.core.worker.draining)
        worker.end_now()
        await asyncio.gather(*closings)
        with pytest.raises(AttemptsExhausted):
            await call


# -- without asyncio


@pytest.fixture
def net():
    with TestNet(1) as net:
        yield net


@contextlib.contextmanager
def blocking(net, handler=None, settings=None, name="worker"):
    """Yield a running node without asyncio; fail if anything of it is left afterwards."""
    before = held()
    node = net.blocking_node(name, settings=settings)
    if handler is not None:
        node.service("s")(handler)
    node.start()
    node.connected()
    yield node
    node.close()
    assert node.brokers == []
    wait_until(lambda: nothing_left(before))


def test_many_threads_may_close_a_node_at_once(net):
    with blocking(net) as node:
        with ThreadPoolExecutor(8) as pool:
            ends = [pool.submit(node.close) for _ in range(8)]
        assert [end.exception() for end in ends] == [None] * 8


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_a_handler_of_a_node_without_asyncio_may_end_it(net, kind):
    def in_a_thread(_request):
        node.close()
        return b"bye"

    async def in_the_loop(_request):
        node.close()
        return b"bye"

    with net.blocking_node("client") as client:
        client.settled()
        with blocking(net, in_a_thread if kind == "def" else in_the_loop) as node:
            net.wait_served("s")
            assert client.request("s").payload == b"bye"
            wait_until(lambda: node.brokers == [])


def test_a_def_handler_that_hangs_does_not_hold_up_the_end(net):
    going, release = threading.Event(), threading.Event()

    def hang(_request):
        going.set()
        release.wait(30)
        return b""

    with net.blocking_node("client") as client:
        client.settled()
        with blocking(net, hang, settings=SHORT) as node, ThreadPoolExecutor(1) as pool:
            net.wait_served("s")
            call = pool.submit(client.request, "s", attempts=1)
            assert going.wait(10)
            began = monotonic()
            node.close()
            assert monotonic() - began < DRAIN_S + 3 * FLUSH_S_MAX
            with pytest.raises(AttemptsExhausted):
                call.result(10)
            release.set()


def test_a_handler_that_blocks_the_event_loop_for_ever_is_left_behind(net, caplog, monkeypatch):
    monkeypatch.setattr("braidmq.blocking.END_S_MAX", 0.2)
    going, release = threading.Event(), threading.Event()

    async def block(_request):
        going.set()
        release.wait(30)
        return b""

    with net.blocking_node("client") as client:
        client.settled()
        with blocking(net, block, settings=SHORT) as node, ThreadPoolExecutor(1) as pool:
            net.wait_served("s")
            call = pool.submit(client.request, "s", attempts=1, timeout=3.0)
            assert going.wait(10)
            node.close()
            assert "left behind" in caplog.text
            release.set()
            call.exception(10)


def test_an_interrupted_close_goes_on_by_itself(net):
    """As when Ctrl-C comes while a program waits for the drain."""
    going, release = threading.Event(), threading.Event()

    def handler(_request):
        going.set()
        release.wait(30)
        return b"done"

    def interrupt(_number, _frame):
        raise KeyboardInterrupt

    with net.blocking_node("client") as client:
        client.settled()
        with blocking(net, handler) as node, ThreadPoolExecutor(1) as pool:
            net.wait_served("s")
            call = pool.submit(client.request, "s")
            assert going.wait(10)
            before = signal.signal(signal.SIGALRM, interrupt)
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            try:
                with pytest.raises(KeyboardInterrupt):
                    node.close()
            finally:
                signal.signal(signal.SIGALRM, before)
            release.set()
            assert call.result(10).payload == b"done"


def test_a_signal_handler_may_close_the_node_that_its_thread_calls(net):
    signalled, closed = threading.Event(), []

    async def handler(_request):
        await until(signalled.is_set)
        return b"done"

    def on_signal(_number, _frame):
        signalled.set()
        client.close()
        closed.append(client.brokers)

    worker = net.blocking_node("worker")
    worker.service("s")(handler)
    with worker:
        net.wait_served("s")
        with blocking(net, name="client") as client:
            before = signal.signal(signal.SIGALRM, on_signal)
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            try:
                assert client.request("s").payload == b"done"
            finally:
                signal.signal(signal.SIGALRM, before)
            assert closed == [[]]


def test_closing_while_it_starts_ends_it(net):
    for _ in range(20):
        node = net.blocking_node("n")
        with ThreadPoolExecutor(2) as pool:
            starting, closing = pool.submit(node.start), pool.submit(node.close)
            starting.exception(10), closing.result(10)
        node.close()
        assert node.brokers == []


def test_of_two_starts_at_once_one_is_refused(net):
    for _ in range(20):
        node, gate = net.blocking_node("n"), threading.Barrier(2)

        def start(node=node, gate=gate):
            gate.wait()
            node.start()

        with ThreadPoolExecutor(2) as pool:
            ends = [pool.submit(start).exception for _ in range(2)]
            refusals = [error for error in (end(10) for end in ends) if error is not None]
        assert [type(error) for error in refusals] == [NodeClosed]
        node.close()
