"""The node without asyncio."""

import asyncio
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from braidmq import (
    AttemptsExhausted,
    ConfigError,
    DeadlineExceeded,
    NoBroker,
    NodeClosed,
    NoWorker,
    ServiceError,
    Settings,
    WrongLoop,
)
from braidmq.blocking import Node
from braidmq.testing import TestNet
from tests.support.waiting import until


@pytest.fixture
def net():
    with TestNet(2) as net:
        yield net


def echo(request):
    return request.payload


def test_it_calls_and_serves(net):
    worker = net.blocking_node("worker")

    @worker.service("thread")
    def thread(request):
        return threading.current_thread().name.encode() + request.payload

    @worker.service("loop")
    async def loop(request):
        return threading.current_thread().name.encode() + request.payload

    with worker, net.blocking_node("client") as client:
        net.wait_served("loop")
        reply = client.request("thread", b"!", timeout=5.0, attempts=3, via="b2", headers={"a": "b"})
        assert (reply.sender, reply.receiver, reply.service, reply.broker) == ("worker", "client", "thread", "b2")
        assert reply.payload.startswith(b"braidmq-worker-")
        assert client.request("loop", b"!").payload == b"braidmq-worker!"
    assert (worker.name, client.name) == ("worker", "client")


def test_an_async_node_and_a_blocking_one_serve_each_other(net):
    worker = net.blocking_node("worker")
    worker.service("blocking")(echo)

    async def main():
        node = net.node("async")

        @node.service("async")
        async def handler(request):
            return (await node.request("blocking", request.payload)).payload

        async with node:
            await net.served("async")
            await net.served("blocking")
            reply = await asyncio.to_thread(worker.request, "async", b"x")
            assert (reply.payload, reply.sender) == (b"x", "async")

    with worker:
        asyncio.run(main())


def test_many_threads_may_call_at_once(net):
    worker = net.blocking_node("worker")
    worker.service("s")(echo)
    with worker, net.blocking_node("client") as client, ThreadPoolExecutor(16) as pool:
        net.wait_served("s")
        payloads = [b"%d" % number for number in range(500)]
        assert [reply.payload for reply in pool.map(lambda each: client.request("s", each), payloads)] == payloads


def test_errors_are_those_of_the_async_node(net):
    worker = net.blocking_node("worker")
    release = threading.Event()

    @worker.service("fails")
    def fails(_request):
        raise ServiceError("BAD", "text", {"a": 1})

    @worker.service("slow", concurrency=1)
    def slow(_request):
        release.wait(10)
        return b""

    with worker, net.blocking_node("client") as client:
        net.wait_served("slow")
        with pytest.raises(ServiceError) as caught:
            client.request("fails")
        assert (caught.value.code, caught.value.message, caught.value.details) == ("BAD", "text", {"a": 1})
        with pytest.raises(NoWorker):
            client.request("nobody")
        with pytest.raises(DeadlineExceeded):
            client.request("slow", timeout=0.2)
        with pytest.raises(ConfigError):
            client.request("slow", timeout=-1)
        with pytest.raises(ConfigError):
            worker.service("late")
        release.set()


def test_a_call_outlives_a_killed_broker(net):
    worker = net.blocking_node("worker")
    started, release = threading.Event(), threading.Event()

    @worker.service("s")
    def handler(request):
        started.set()
        release.wait(10)
        return b"done by " + request.broker.encode()

    with worker, net.blocking_node("client") as client, ThreadPoolExecutor(1) as pool:
        net.wait_served("s")
        until(lambda: all(broker.state == "up" for broker in client.brokers))
        call = pool.submit(client.request, "s", timeout=10.0)
        assert started.wait(10)
        at = next(name for name, broker in net.brokers.items() if broker.counters["requests"])
        net.brokers[at].kill()
        until(lambda: sum(broker.counters["requests"] for broker in net.brokers.values()) == 2)
        release.set()
        reply = call.result(10)
        assert reply.payload == b"done by " + at.encode()
        assert (reply.broker != at, reply.possible_duplicate) == (True, True)


def test_a_node_that_is_not_running_says_so(net):
    node = net.blocking_node("n")
    for use in (lambda: node.request("s"), node.connected, node.observe):
        with pytest.raises(NodeClosed):
            use()
    assert node.brokers == []
    node.close()
    with node:
        with pytest.raises(NodeClosed, match="once"):
            node.start()
        node.connected()
        assert [broker.name for broker in node.brokers] == ["b1", "b2"]
    with pytest.raises(NodeClosed):
        node.request("s")
    assert node.brokers == []
    node.close()


def test_a_call_in_the_nodes_own_thread_is_refused_and_not_a_deadlock(net):
    node = net.blocking_node("n")

    @node.service("s")
    async def handler(_request):
        assert [broker.name for broker in node.brokers] == ["b1", "b2"]
        for use in (lambda: node.request("s"), node.connected, node.settled, node.observe):
            with pytest.raises(WrongLoop, match="own thread"):
                use()
        return b"refused"

    with node:
        net.wait_served("s")
        assert node.request("s").payload == b"refused"


def test_a_def_handler_calls_through_its_own_node(net):
    node = net.blocking_node("n")
    node.service("back")(echo)

    @node.service("front")
    def front(request):
        return node.request("back", request.payload).payload

    with node:
        net.wait_served("front")
        net.wait_served("back")
        assert node.request("front", b"x").payload == b"x"


def test_closing_finishes_what_is_under_way(net):
    worker = net.blocking_node("worker")
    started, release = threading.Event(), threading.Event()

    @worker.service("s")
    def handler(_request):
        started.set()
        assert release.wait(10)
        return b"done"

    with net.blocking_node("client") as client, ThreadPoolExecutor(2) as pool:
        worker.start()
        net.wait_served("s")
        call = pool.submit(client.request, "s")
        assert started.wait(10)
        closing = pool.submit(worker.close)
        until(lambda: all(broker.workers("s") == 0 for broker in net.brokers.values()))
        release.set()
        assert call.result(10).payload == b"done"
        closing.result(10)


def test_a_call_that_outlasts_the_drain_of_its_node_raises_node_closed(net):
    worker, release = net.blocking_node("worker"), threading.Event()
    started = threading.Event()

    @worker.service("s")
    def handler(_request):
        started.set()
        release.wait(10)
        return b""

    client = net.blocking_node("client", settings=Settings.test(drain_s=0.1))
    with worker, ThreadPoolExecutor(1) as pool:
        client.start()
        net.wait_served("s")
        call = pool.submit(client.request, "s")
        assert started.wait(10)
        client.close()
        with pytest.raises(NodeClosed):
            call.result(10)
        release.set()


def test_a_call_that_comes_when_the_node_is_just_closed_gets_an_end(net):
    node = net.blocking_node("n")
    whole = node._node.close

    async def close():
        await whole()
        late.append(pool.submit(node._run, asyncio.Event().wait()))
        while len(asyncio.all_tasks()) == 1:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.005)

    late = []
    with ThreadPoolExecutor(1) as pool:
        with node:
            node._node.close = close
        with pytest.raises(NodeClosed):
            late[0].result(10)


def test_callers_that_race_with_close_all_get_an_end(net):
    worker = net.blocking_node("worker")
    worker.service("s")(echo)
    with worker:
        net.wait_served("s")
        for _ in range(10):
            client = net.blocking_node("client")
            client.start()
            ends, begun = [], threading.Barrier(9)

            def call(client=client, ends=ends, begun=begun):
                begun.wait()
                while True:
                    try:
                        client.request("s", b"x")
                    except NodeClosed:
                        ends.append(1)
                        return

            callers = [threading.Thread(target=call, daemon=True) for _ in range(8)]
            for caller in callers:
                caller.start()
            begun.wait()
            client.close()
            for caller in callers:
                caller.join(10)
            assert len(ends) == 8


def test_who_waits_for_a_connection_is_told_why_there_is_none_in_time(net):
    for broker in net.brokers.values():
        broker.kill()
    with net.blocking_node("n") as node:
        node.settled()
        with pytest.raises(NoBroker, match=r"b1 at tcp://.*nothing answers there; b2 at"):
            node.connected(0.05)


SERVING = """
import sys, threading
from braidmq.blocking import Node

node = Node(sys.argv[1])

@node.service("thread")
def thread(request):
    return node.request("loop", request.payload).payload

@node.service("loop")
async def loop(request):
    return threading.current_thread().name.encode() + request.payload

@node.service("shutdown")
def shutdown(request):
    node.close()
    return b"bye"

@node.service("slow")
def slow(request):
    print("begun", flush=True)
    threading.Event().wait(float(request.payload))
    return b"done"

node.run()
print("ended", flush=True)
"""


@pytest.fixture
def serving(net):
    """Yield a program whose main thread serves in a node without asyncio."""
    net.node("worker")
    command = [sys.executable, "-c", SERVING, str(net.join("worker"))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        net.wait_served("slow")
        yield program
        program.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_node_that_runs_in_the_main_thread_serves_until_a_signal_and_drains(net, serving, number):
    with net.blocking_node("client") as client, ThreadPoolExecutor(1) as pool:
        assert client.request("thread", b"!").payload == b"MainThread!"
        call = pool.submit(client.request, "slow", b"0.3")
        assert serving.stdout.readline() == "begun\n"
        serving.send_signal(number)
        assert call.result(10).payload == b"done"
        assert serving.wait(10) == 0
        assert serving.stdout.read() == "ended\n"
        log = serving.stderr.read()
        assert log.endswith("worker has ended\n")
        assert not any(level in log for level in ("WARNING", "ERROR", "Traceback"))


def test_a_second_signal_ends_it_at_once(net, serving):
    with net.blocking_node("client") as client, ThreadPoolExecutor(1) as pool:
        call = pool.submit(client.request, "slow", b"20", attempts=1)
        assert serving.stdout.readline() == "begun\n"
        serving.send_signal(signal.SIGTERM)
        until(lambda: all(broker.workers("slow") == 0 for broker in net.brokers.values()))
        serving.send_signal(signal.SIGTERM)
        assert serving.wait(10) == -signal.SIGTERM
        assert isinstance(call.exception(10), AttemptsExhausted)


def test_a_handler_may_end_the_program_that_serves(net, serving):
    with net.blocking_node("client") as client:
        assert client.request("shutdown").payload == b"bye"
        assert serving.wait(10) == 0
        assert serving.stdout.read() == "ended\n"
        log = serving.stderr.read()
        assert log.endswith("worker has ended\n")
        assert not any(level in log for level in ("WARNING", "ERROR", "Traceback"))


def test_serving_is_for_the_main_thread(net):
    node = net.blocking_node("n")
    with ThreadPoolExecutor(1) as pool, pytest.raises(WrongLoop, match="main thread"):
        pool.submit(node.run).result(10)
    with node:
        node.connected()


def test_who_waits_for_a_connection_is_told_that_the_node_was_closed(net):
    for broker in net.brokers.values():
        broker.kill()
    with ThreadPoolExecutor(1) as pool:
        with net.blocking_node("n") as node:
            waiting = pool.submit(node.connected)
            until(lambda: all(broker.problem for broker in node.brokers))
        with pytest.raises(NodeClosed):
            waiting.result(10)


def test_a_killed_node_is_gone_at_once(net):
    worker = net.blocking_node("worker")
    worker.service("s")(echo)
    worker.start()
    net.wait_served("s")
    worker.kill()
    until(lambda: all(broker.workers("s") == 0 for broker in net.brokers.values()))
    with pytest.raises(NodeClosed):
        worker.request("s")


def test_observe_and_the_join_file(net):
    net.blocking_node("watcher", observe=True)
    with Node(str(net.join("watcher")), settings=Settings.test()) as node:
        until(lambda: all(broker.state == "up" for broker in node.brokers))
        assert sorted(node.observe()) == ["b1", "b2"]
    with pytest.raises(ConfigError):
        Node(net.join("b1"))
