"""The life of a node, over real brokers and sockets: before its start, in its drain, after its end."""

import asyncio
import threading
import time
from time import monotonic

import pytest
import uvloop

from braidmq import (
    AttemptsExhausted,
    BraidError,
    ConfigError,
    NoBroker,
    Node,
    NodeClosed,
    NodeObserver,
    NoWorker,
    RequestError,
    Settings,
    WrongLoop,
)
from braidmq.carrier.node_loop import NodeLoop
from braidmq.testing import TestNet
from braidmq.trust.authority import Authority
from tests.support.async_tests import until, wait_until
from tests.support.nights import cases
from tests.support.patience import patient
from tests.support.resources import held, nothing_left
from tests.support.scarcity import descriptors, only
from tests.support.services import Gate, async_echo, def_echo, one_service


async def test_a_node_that_is_not_running_says_so():
    async with TestNet(1) as net:
        node = net.node("n")
        assert node.brokers == []
        early = node.service("early")
        for use in (node.request("s"), node.connected(), node.observe()):
            with pytest.raises(NodeClosed):
                await use
        async with node:
            with pytest.raises(NodeClosed, match="once"):
                await node.start()
            with pytest.raises(ConfigError, match="declare s before"):
                node.service("s")
            with pytest.raises(ConfigError, match="declare early before"):
                early(async_echo)
            assert node.services == ()
        with pytest.raises(NodeClosed):
            await node.request("s")
        with pytest.raises(NodeClosed):
            await node.start()
        await node.close()


@pytest.mark.parametrize("killed", [False, True])
async def test_who_waits_for_a_connection_is_told_that_the_node_was_closed(killed):
    async with TestNet(1) as net:
        net.brokers["b1"].kill()
        async with net.node("n") as node:
            waiting = asyncio.ensure_future(node.connected())
            await until(lambda: node.brokers[0].problem is not None)
            assert not waiting.done()
            if killed:
                node.kill()
        with pytest.raises(NodeClosed):
            await waiting


async def test_requests_may_be_made_before_a_broker_is_up():
    async with TestNet(1) as net:
        worker = net.node("worker")
        worker.service("s")(async_echo)
        net.brokers["b1"].kill()
        async with worker, net.node("client") as client:
            call = asyncio.ensure_future(client.request("s", b"x", attempts=10))
            await until(lambda: all(broker.problem for broker in client.brokers))
            net.brokers["b1"].restart()
            assert (await call).payload == b"x"


async def test_brokers_says_what_the_node_knows():
    async with TestNet(2) as net, net.node("n") as node:
        await until(lambda: [broker.state for broker in node.brokers] == ["up", "up"])
        assert [broker.name for broker in node.brokers] == ["b1", "b2"]
        assert [broker.endpoints for broker in node.brokers] == [(b.endpoint,) for b in net.brokers.values()]
        net.brokers["b1"].kill()
        await until(lambda: node.brokers[0].problem is not None)
        assert node.brokers[1].problem is None


async def test_only_an_observer_reads_reports():
    async with TestNet(2) as net:
        worker = net.node("worker")
        worker.service("s", concurrency=5)(async_echo)
        async with worker, net.node("watcher", observe=True) as watcher, net.node("client") as client:
            await net.served("s")
            for node in (watcher, client):
                await until(lambda node=node: all(broker.state == "up" for broker in node.brokers))
            reports = await watcher.observe()
            assert sorted(reports) == ["b1", "b2"]
            for report in reports.values():
                assert {node.name for node in report.nodes} == {"worker", "watcher", "client"}
                assert [(service.name, service.workers) for service in report.services] == [("s", 1)]
            assert {report.denied for report in (await client.observe()).values()} == {True}


async def test_leaving_finishes_what_is_under_way():
    gate = Gate()
    async with TestNet(2) as net, net.node("client") as client:
        async with net.node("worker") as idle:
            assert idle.services == ()
        worker = net.node("worker")
        gate.serve(worker)
        async with worker:
            await net.served("s")
            calls = [asyncio.ensure_future(client.request("s")) for _ in range(2)]
            await until(lambda: gate.running == 2)
            leaving = asyncio.ensure_future(worker.close())
            await until(lambda: worker._loop.core.worker.draining)
            with pytest.raises(NoWorker):
                await client.request("s", timeout=0.5)
            gate.opened.set()
            replies = await asyncio.gather(*calls)
            await leaving
    assert [(reply.payload, reply.possible_duplicate) for reply in replies] == [(b"done", False)] * 2


async def test_leaving_waits_for_the_nodes_own_calls():
    gate = Gate()
    async with TestNet(1) as net:
        worker = net.node("worker")
        gate.serve(worker)
        async with worker:
            async with net.node("client") as client:
                await net.served("s")
                call = asyncio.ensure_future(client.request("s"))
                await until(lambda: gate.running == 1)
                gate.opened.set()
            assert (await call).payload == b"done"


async def test_what_does_not_end_in_the_drain_time_is_cancelled_and_its_caller_told():
    gate = Gate()
    async with TestNet(1, settings=Settings.test(drain_s=0.2)) as net, net.node("client") as client:
        worker = net.node("worker")
        gate.serve(worker)
        async with worker:
            await net.served("s")
            call = asyncio.ensure_future(client.request("s", attempts=1))
            await until(lambda: gate.running == 1)
        with pytest.raises(AttemptsExhausted) as caught:
            await call
        assert caught.value.maybe_executed
        assert gate.cancelled == 1


async def test_a_call_that_outlasts_its_nodes_drain_raises_node_closed():
    gate = Gate()
    async with one_service(gate, settings=Settings.test(drain_s=0.2)) as (net, _client):
        async with net.node("other") as other:
            call = asyncio.ensure_future(other.request("s"))
            await until(lambda: gate.running == 1)
        with pytest.raises(NodeClosed):
            await call


async def test_workers_that_come_and_go_under_load_cost_no_caller_anything():
    async def handler(request):
        await asyncio.sleep(0.01)
        return request.payload

    def worker_of(net, name):
        worker = net.node(name)
        worker.service("s", concurrency=8)(handler)
        return worker

    async with TestNet(2, settings=patient()) as net, net.node("client") as client:
        answered = []

        async def load():
            while not done.is_set():
                reply = await client.request("s")
                answered.append(reply.possible_duplicate)

        done = asyncio.Event()
        async with worker_of(net, "stays"):
            await net.served("s")
            loads = [asyncio.ensure_future(load()) for _ in range(20)]
            for _ in range(3):
                async with worker_of(net, "goes"):
                    await net.served("s", workers=2)
                    seen = len(answered)
                    await until(lambda seen=seen: len(answered) > seen + 50)
            done.set()
            await asyncio.gather(*loads)
    assert len(answered) > 150
    assert not any(answered)


async def test_a_node_whose_join_file_names_no_broker_says_no_broker(tmp_path):
    async with Node(Authority.create(tmp_path / "net").add_node("n", ["*"]), settings=Settings.test()) as node:
        assert node.brokers == []
        with pytest.raises(NoBroker) as caught:
            await node.request("s", timeout=0.2)
        assert isinstance(caught.value, RequestError)
        assert (caught.value.attempts, caught.value.maybe_executed) == (0, False)


async def test_who_waits_for_a_connection_is_told_why_there_is_none_in_time():
    async with TestNet(1) as net:
        net.brokers["b1"].kill()
        async with net.node("n") as node:
            await until(lambda: node.brokers[0].problem is not None)
            with pytest.raises(NoBroker, match=r"within 0\.05 s: b1 at tcp://.*nothing answers there"):
                await node.connected(0.05)


async def test_a_node_that_was_closed_knows_no_brokers():
    async with TestNet(1) as net:
        async with net.node("n") as node:
            await node.connected()
            assert len(node.brokers) == 1
        assert node.brokers == []


def uses_of(node):
    return [node.request("s"), node.connected(), node.settled(), node.observe(), node.close()]


@pytest.mark.parametrize("kind", ["another thread", "without a loop"])
async def test_a_node_that_is_used_elsewhere_refuses_before_anything_is_sent(kind):
    async def expect(use):
        with pytest.raises(WrongLoop, match=r"n was started in another event loop.*braidmq\.blocking\.Node"):
            await use

    def by_hand(use):
        with pytest.raises(WrongLoop, match=r"braidmq\.blocking\.Node"):
            use.send(None)

    gate = Gate()
    async with one_service(gate) as (net, _), net.node("n") as node:
        for use in uses_of(node):
            if kind == "another thread":
                await asyncio.to_thread(asyncio.run, expect(use))
            else:
                await asyncio.to_thread(by_hand, use)
        assert (gate.started, node._loop.core.client._ids._number) == ([], 0)
        gate.opened.set()
        assert (await node.request("s")).payload == b"done"


def test_a_node_is_used_in_the_event_loop_of_its_start_only():
    async def start():
        await node.start()
        await node.connected()

    async def use():
        *uses, close = uses_of(node)
        for each in uses:
            with pytest.raises(WrongLoop, match="has ended"):
                await each
        await close
        assert node.brokers == []
        with pytest.raises(NodeClosed, match="closed"):
            await node.request("s")

    with TestNet(1) as net:
        node = net.node("n")
        asyncio.run(start())
        asyncio.run(use())


def test_a_node_that_is_started_without_an_event_loop_says_so():
    with TestNet(1) as net:
        node = net.node("n")
        with pytest.raises(WrongLoop, match=r"event loop of asyncio; braidmq\.blocking\.Node"):
            node.start().send(None)


@descriptors
def test_a_start_without_asyncio_that_fails_leaves_nothing_and_may_be_tried_again():
    with TestNet(1) as net:
        node = net.blocking_node("n")
        for spare in (1, 2):  # what an event loop needs is 3
            with only(spare):
                before = held()
                with pytest.raises(BraidError, match="file descriptors"):
                    node.start()
                wait_until(lambda before=before: nothing_left(before))
                with pytest.raises(NodeClosed, match=r"its start failed: .*file descriptors"):
                    node.request("s")
        with node:
            node.connected()


def test_a_start_without_asyncio_and_threads_leaves_nothing_and_may_be_tried_again():
    def fail(self):
        raise RuntimeError("can't start new thread")

    with TestNet(1) as net:
        node = net.blocking_node("n")
        before = held()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(threading.Thread, "start", fail)
            with pytest.raises(BraidError, match="another thread"):
                node.start()
        wait_until(lambda: nothing_left(before))
        with node:
            node.connected()


async def test_a_start_needs_no_thread(monkeypatch):
    def fail(self):
        raise RuntimeError("can't start new thread")

    async with TestNet(1) as net:
        node = net.node("n")
        monkeypatch.setattr(threading.Thread, "start", fail)
        await node.start()
        await node.connected()
        node.kill()
        monkeypatch.undo()


async def test_a_start_that_fails_in_its_midst_gives_back_what_it_had(patch_cores):
    def fail(self, jobs, remembered=()):
        raise OSError("no such luck")

    async with TestNet(1) as net:
        node = net.node("n")
        node.service("s")(def_echo)
        before = held()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(NodeLoop, "start", fail)
            with pytest.raises(OSError, match="no such luck"):
                await node.start()
        await until(lambda: nothing_left(before))
        with pytest.raises(NodeClosed, match="its start failed: no such luck"):
            await node.connected()
        async with node:
            await node.connected()


async def test_a_handler_that_blocks_the_event_loop_is_named(caplog):
    async def blocks(_request):
        time.sleep(0.7)  # noqa: ASYNC251 - that is what it is about
        return b""

    async with one_service(blocks) as (_net, client):
        await client.request("s")
        await until(lambda: "stood still" in caplog.text)
    stalls = [text for text in caplog.messages if "stood still" in text]
    assert len([text for text in stalls if text.startswith("worker: ") and "in a handler of s:" in text]) == 1


async def test_a_handler_that_blocks_the_event_loop_for_a_moment_is_named_in_log_and_metrics(caplog):
    class Stalls(NodeObserver):
        def __init__(self):
            self.suspects = []

        def on_stall(self, services, stalled_s, now):
            self.suspects.append(services)

    async def blocks(_request):
        time.sleep(0.25)  # noqa: ASYNC251 - that is what it is about
        return b""

    stalls = Stalls()
    async with TestNet(1) as net:
        worker = net.node("worker", observer=stalls)
        worker.service("s")(blocks)
        async with worker, net.node("client") as client:
            await net.served("s")
            await client.request("s")
            await until(lambda: bool(stalls.suspects))
    assert ("s",) in stalls.suspects
    assert any("in a handler of s:" in text for text in caplog.messages if text.startswith("worker: "))


def test_the_join_file_of_a_broker_makes_no_node():
    with TestNet(1) as net, pytest.raises(ConfigError, match="add node"):
        Node(net.join("b1"))


# -- timers

PER_S_MAX = 40
"""Twenty looks at its links each second, and what a few heartbeats cause."""


@pytest.fixture
def counted(patch_cores):
    """Counts the calls of a method from now on."""

    def count(owner, name):
        method, calls = getattr(owner, name), []

        def counting(self, *args):
            calls.append(name)
            return method(self, *args)

        patch_cores.setattr(owner, name, counting)
        return calls

    return count


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_an_idle_node_rests(run, counted):
    """Event loops differ in how exactly they keep time; a timer that fires too early must not become a busy loop."""

    async def rest():
        async with TestNet(1) as net, net.node("n") as node:
            await node.connected()
            turns, began = counted(NodeLoop, "_turn"), monotonic()
            await asyncio.sleep(1.0)
            return len(turns) / (monotonic() - began)

    assert run(rest()) < PER_S_MAX


@cases("run", [asyncio.run, uvloop.run], one_in=2)
def test_a_busy_node_looks_at_its_timers_no_more_often(run, counted):
    async def work():
        async with one_service(async_echo) as (_net, client):
            looks, began = counted(type(client._loop.core), "on_timer"), monotonic()
            while monotonic() - began < 1.0:
                await client.request("s")
            return len(looks) / (monotonic() - began)

    assert run(work()) < 2 * PER_S_MAX, "two nodes"


@cases("run", [asyncio.run, uvloop.run], one_in=2)
def test_a_node_that_does_not_come_to_an_end_with_reading_reads_no_more_often(run, counted):
    """In one round of the event loop: when a socket tells of something, and what was left of the round before."""

    async def read():
        async with one_service(async_echo) as (_net, client):
            reads, most = counted(NodeLoop, "_read"), 0
            calls = asyncio.gather(*(client.request("s", bytes(1024 * 1024)) for _ in range(48)))
            while not calls.done():
                before = len(reads)
                await asyncio.sleep(0)
                most = max(most, len(reads) - before)
            await calls
            return most

    nodes = 2
    assert run(read()) <= 4 * nodes
