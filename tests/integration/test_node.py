"""Calls through the public API, over real brokers and sockets."""

import asyncio
import threading
from contextlib import asynccontextmanager

import pytest

from braidmq import (
    AccessDenied,
    ConfigError,
    DeadlineExceeded,
    NoBroker,
    NoWorker,
    Overloaded,
    PayloadTooLarge,
    Settings,
)
from braidmq.settings import KIB, MIB
from braidmq.testing import TestNet
from tests.support.async_tests import until, wait_until
from tests.support.services import Gate, async_echo, one_service

# -- metadata


async def test_request_and_reply_say_who_what_and_how():
    seen = []

    async def handler(request):
        seen.append(request)
        return b"ok"

    async with one_service(handler) as (_net, client):
        first = await client.request("s", b"a", timeout=4.0, headers={"traceparent": "00-é"})
        second = await client.request("s", b"b")
    request = seen[0]
    assert (request.payload, request.sender, request.receiver, request.service) == (b"a", "client", "worker", "s")
    assert (request.possible_duplicate, request.retry_count, request.broker) == (False, 0, "b1")
    assert request.headers == {"traceparent": "00-é"}
    assert seen[1].headers == {}
    assert 0.0 < request.remaining <= 4.0
    assert len(request.id) == 16
    assert (first.payload, first.sender, first.receiver, first.service) == (b"ok", "worker", "client", "s")
    assert (first.possible_duplicate, first.retry_count, first.broker) == (False, 0, "b1")
    assert first.original_id == request.id
    assert len({first.id, second.id, request.id, seen[1].id}) == 4


async def test_headers_that_are_too_large_are_refused_here():
    async with one_service(async_echo) as (_net, client):
        with pytest.raises(ConfigError, match="headers"):
            await client.request("s", headers={"x": "y" * 20_000})


# -- cancellation and time


async def test_cancelling_a_call_cancels_its_handler():
    gate = Gate()
    async with one_service(gate, concurrency=1) as (net, client):
        call = asyncio.ensure_future(client.request("s"))
        await until(lambda: gate.running == 1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await until(lambda: gate.cancelled == 1)
        gate.opened.set()
        assert (await client.request("s")).payload == b"done"
        assert net.counters["cancelled"] == 1


async def test_a_call_that_is_cancelled_before_its_handler_has_begun_frees_its_place():
    gate = Gate()
    gate.opened.set()
    async with one_service(gate, concurrency=1) as (net, client):
        for _ in range(20):
            call = asyncio.ensure_future(client.request("s"))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            call.cancel()
        assert (await client.request("s")).payload == b"done"
        assert net.brokers["b1"].report().services[0].outstanding == 0


async def test_a_request_that_is_cancelled_in_the_queue_never_runs():
    gate = Gate()
    async with one_service(gate, concurrency=1) as (net, client):
        first = asyncio.ensure_future(client.request("s", b"first"))
        await until(lambda: gate.running == 1)
        second = asyncio.ensure_future(client.request("s", b"second"))
        await until(lambda: net.brokers["b1"].report().services[0].queued == 1)
        second.cancel()
        await until(lambda: net.brokers["b1"].report().services[0].queued == 0)
        gate.opened.set()
        await first
        await client.request("s", b"third")
    assert [request.payload for request in gate.started] == [b"first", b"third"]


async def test_a_call_without_an_answer_ends_at_its_deadline_and_says_that_it_may_have_run():
    gate = Gate()
    async with one_service(gate) as (_net, client):
        with pytest.raises(DeadlineExceeded) as caught:
            await client.request("s", timeout=0.3)
        await until(lambda: gate.cancelled == 1)  # the worker is told
    error = caught.value
    assert isinstance(error, TimeoutError)
    assert (error.service, error.attempts, error.maybe_executed) == ("s", 1, True)
    assert error.request_id == gate.started[0].id


@pytest.mark.parametrize("blocking", [False, pytest.param(True, marks=pytest.mark.nightly)])
async def test_a_handler_that_takes_long_is_not_retried(blocking):
    settings = Settings.test(timeout_s=20.0, exchange_timeout_s=1.0)
    gate, release, runs = Gate(b"late"), threading.Event(), []

    def handler(request):
        runs.append(request)
        assert release.wait(10)
        return b"late"

    async with one_service(handler if blocking else gate, brokers=2, settings=settings) as (_net, client):
        later = asyncio.get_running_loop().call_later
        later(3 * settings.exchange_timeout_s, release.set if blocking else gate.opened.set)
        reply = await client.request("s")
    assert (reply.payload, reply.retry_count, reply.possible_duplicate) == (b"late", 0, False)
    assert len(runs) + len(gate.started) == 1


@pytest.mark.nightly
async def test_a_request_that_waits_in_a_queue_for_long_is_not_retried():
    gate, settings = Gate(), Settings.test(timeout_s=20.0, exchange_timeout_s=1.0)
    async with one_service(gate, settings=settings, concurrency=1) as (_net, client):
        calls = [asyncio.ensure_future(client.request("s")) for _ in range(3)]
        asyncio.get_running_loop().call_later(3 * settings.exchange_timeout_s, gate.opened.set)
        replies = await asyncio.gather(*calls)
    assert [(reply.retry_count, reply.possible_duplicate) for reply in replies] == [(0, False)] * 3
    assert len(gate.started) == 3


# -- arguments and limits


async def test_via_names_the_only_broker():
    async with one_service(async_echo, brokers=3) as (_net, client):
        for name in ("b1", "b2", "b3", "b2"):
            await until(lambda: all(broker.state == "up" for broker in client.brokers))
            assert (await client.request("s", via=name)).broker == name


async def test_brokers_tell_which_services_have_a_worker():
    async with one_service(async_echo, brokers=2) as (net, client):
        await until(lambda: [broker.services for broker in client.brokers] == 2 * [{"s"}])
        net.brokers["b1"].kill()
        await until(lambda: [broker.services for broker in client.brokers] == [set(), {"s"}])


async def test_via_does_not_fall_back_to_another_broker():
    async with one_service(async_echo, brokers=2) as (net, client):
        net.brokers["b1"].kill()
        await until(lambda: client.brokers[0].problem is not None)
        with pytest.raises(NoBroker, match="b1") as caught:
            await client.request("s", via="b1", timeout=0.3)
        assert not caught.value.maybe_executed
        with pytest.raises(NoBroker, match="nobody"):
            await client.request("s", via="nobody", timeout=0.1)


@pytest.mark.parametrize(
    "arguments",
    [
        {"timeout": 0},
        {"timeout": -1},
        {"timeout": 86_401},
        {"timeout": float("nan")},
        {"attempts": 0},
        {"attempts": 21},
        {"payload": "text"},
        {"service": "no spaces"},
        {"service": ""},
        {"headers": {"a": 1}},
    ],
)
async def test_wrong_arguments_are_refused_here(arguments):
    async with TestNet(1) as net, net.node("client") as client:
        with pytest.raises(ConfigError):
            await client.request(**{"service": "s", **arguments})


async def test_payloads_up_to_the_limit_pass_and_larger_ones_are_never_sent():
    async with one_service(async_echo, settings=Settings.test(payload_bytes_max=100_000)) as (net, client):
        for payload in (bytes(100_000), bytearray(b"abc"), memoryview(b"abc")):
            assert (await client.request("s", payload)).payload == bytes(payload)
        before = net.counters["requests"]
        with pytest.raises(PayloadTooLarge) as caught:
            await client.request("s", bytes(100_001))
        assert (caught.value.attempts, caught.value.maybe_executed) == (0, False)
        assert net.counters["requests"] == before


@pytest.mark.nightly
async def test_a_burst_as_large_as_a_client_may_have_under_way_keeps_its_connection():
    """The calls leave in one turn; what the transport does not take waits at the client, and then at the broker."""
    calls, payload = 960, bytes(64 * KIB)
    settings = Settings.test(in_flight_max=calls, exchange_timeout_s=10.0, timeout_s=30.0)
    assert settings.in_flight_bytes_max - len(payload) * calls < 8 * MIB
    async with one_service(async_echo, settings=settings, concurrency=calls) as (net, client):
        await client.settled()
        sessions, requests = net.counters["sessions"], net.counters["requests"]
        replies = await asyncio.gather(*(client.request("s", payload) for _ in range(calls)))
        assert net.counters["sessions"] == sessions
        assert net.counters["requests"] == requests + calls
    assert all(reply.payload == payload for reply in replies)
    assert not any(reply.retry_count for reply in replies)  # what takes half a second is flagged: see docs/protocol.md


async def test_what_has_come_while_the_event_loop_stood_still_is_no_flood():
    calls, payload = 300, bytes(64 * KIB)
    settings = Settings.test(
        in_flight_max=2 * calls, exchange_timeout_s=10.0, timeout_s=30.0, suspect_after_s=20.0, dead_after_s=30.0
    )
    async with TestNet(brokers=1, settings=settings) as net:
        worker, client = net.blocking_node("worker"), net.node("client")
        gate = threading.Event()

        async def open_gate(request):
            await until(gate.is_set, timeout=30.0)
            return payload

        worker.service("s", concurrency=calls)(open_gate)
        await asyncio.to_thread(worker.start)
        await client.start()
        await net.served("s")
        await client.settled()
        sessions = net.counters["sessions"]
        waiting = [asyncio.ensure_future(client.request("s", wait=True)) for _ in range(calls)]
        await until(lambda: net.counters["requests"] == calls)
        gate.set()
        wait_until(lambda: net.counters["replies"] == calls)
        assert all(reply.payload == payload for reply in await asyncio.gather(*waiting))
        assert net.counters["sessions"] == sessions


async def test_a_brokers_smaller_payload_limit_holds():
    small, large = Settings.test(payload_bytes_max=2_000), Settings.test(payload_bytes_max=5_000)
    async with one_service(async_echo, settings=small, client_settings=large) as (_net, client):
        await client.connected()
        with pytest.raises(PayloadTooLarge):
            await client.request("s", bytes(2_001))


async def test_an_unknown_service_is_no_worker_long_before_the_deadline():
    async with TestNet(2) as net, net.node("client") as client:
        with pytest.raises(NoWorker) as caught:
            await client.request("nobody", timeout=30.0)
        assert not caught.value.maybe_executed
        assert caught.value.attempts == net.settings.attempts


async def test_a_service_that_the_certificate_does_not_name_is_denied():
    async with TestNet(1) as net:
        worker = net.node("worker")
        worker.service("allowed.a")(async_echo)
        worker.service("other")(async_echo)
        async with worker, net.node("client", call=["allowed.*"]) as client:
            await net.served("other")
            assert (await client.request("allowed.a", b"x")).payload == b"x"
            with pytest.raises(AccessDenied) as caught:
                await client.request("other")
            assert (caught.value.attempts, caught.value.maybe_executed) == (1, False)
            with pytest.raises(AccessDenied):
                await client.request("nobody.serves.this")


async def test_a_service_that_the_certificate_does_not_let_it_serve_is_refused_at_once():
    async with TestNet(1) as net:
        worker = net.node("worker", serve=["a.*"])
        with pytest.raises(ConfigError, match="--serve b"):
            worker.service("b")
        worker.service("a.b")(async_echo)
        with pytest.raises(ConfigError, match="already"):
            worker.service("a.b")
        with pytest.raises(ConfigError, match="concurrency"):
            worker.service("a.c", concurrency=0)


async def test_calls_beyond_in_flight_max_wait_for_their_turn():
    gate, settings = Gate(), Settings.test(in_flight_max=2)
    async with one_service(gate, client_settings=settings) as (_net, client):
        calls = [asyncio.ensure_future(client.request("s")) for _ in range(6)]
        await until(lambda: gate.running == 2)
        gate.opened.set()
        await asyncio.gather(*calls)
    assert gate.most == 2


async def test_calls_that_find_no_place_are_overloaded():
    gate, settings = Gate(), Settings.test(in_flight_max=1, waiting_max=1)
    async with one_service(gate, client_settings=settings) as (_net, client):
        first = asyncio.ensure_future(client.request("s"))
        await until(lambda: gate.running == 1)
        second = asyncio.ensure_future(client.request("s", timeout=0.3))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded, match="waiting_max"):
            await client.request("s")
        with pytest.raises(Overloaded, match="in_flight_max") as caught:
            await second
        assert (caught.value.attempts, caught.value.maybe_executed) == (0, False)
        gate.opened.set()
        await first


async def test_a_full_queue_is_overloaded_and_nothing_of_it_runs():
    gate, settings = Gate(), Settings.test(queue_messages_max=1)
    async with one_service(gate, settings=settings, concurrency=1) as (net, client):
        kept = [asyncio.ensure_future(client.request("s", b"kept")) for _ in range(2)]
        await until(lambda: gate.running == 1 and net.brokers["b1"].report().services[0].queued == 1)
        with pytest.raises(Overloaded) as caught:
            await client.request("s", b"too much")
        assert not caught.value.maybe_executed
        gate.opened.set()
        await asyncio.gather(*kept)
    assert [request.payload for request in gate.started] == [b"kept", b"kept"]


# -- balancing


@asynccontextmanager
async def three_workers(balance):
    gates = {name: Gate(name.encode()) for name in ("w1", "w2", "w3")}
    async with TestNet(1, settings=Settings.test(balance=balance)) as net:
        nodes = [net.node(name) for name in gates]
        for node in nodes:
            gates[node.name].serve(node)
        async with nodes[0], nodes[1], nodes[2], net.node("client") as client:
            await net.served("s", workers=3)
            yield gates, client


async def start(client, gates):
    """Begin one call; return it and the worker that has got it."""
    before = {name: len(gate.started) for name, gate in gates.items()}
    call = asyncio.ensure_future(client.request("s"))
    await until(lambda: sum(len(gate.started) for gate in gates.values()) == sum(before.values()) + 1)
    return call, next(name for name, gate in gates.items() if len(gate.started) > before[name])


async def test_requests_go_to_the_worker_with_the_fewest_outstanding():
    async with three_workers("least-outstanding") as (gates, client):
        begun = [await start(client, gates) for _ in range(6)]
        assert {name: gate.running for name, gate in gates.items()} == {"w1": 2, "w2": 2, "w3": 2}
        gates["w2"].opened.set()
        await asyncio.gather(*(call for call, name in begun if name == "w2"))
        gates["w2"].opened.clear()
        begun += [await start(client, gates) for _ in range(2)]
        assert [name for _call, name in begun[6:]] == ["w2", "w2"]
        for gate in gates.values():
            gate.opened.set()
        await asyncio.gather(*(call for call, _name in begun))


async def test_equals_take_turns():
    async with three_workers("least-outstanding") as (gates, client):
        for gate in gates.values():
            gate.opened.set()
        senders = [(await client.request("s")).sender for _ in range(9)]
        assert all(len(set(senders[at : at + 3])) == 3 for at in range(0, 9, 3)), senders


async def test_round_robin_takes_turns_whatever_is_outstanding():
    async with three_workers("round-robin") as (gates, client):
        gates["w1"].opened.set()  # only w1 has nothing outstanding
        begun = [await start(client, gates) for _ in range(9)]
        assert {name: len(gate.started) for name, gate in gates.items()} == {"w1": 3, "w2": 3, "w3": 3}
        for gate in gates.values():
            gate.opened.set()
        await asyncio.gather(*(call for call, _name in begun))
