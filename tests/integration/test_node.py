"""The public API, over real brokers and sockets."""

import asyncio
import logging
import threading
from contextlib import asynccontextmanager

import pytest

from async_tests import until
from braidmq import (
    AccessDenied,
    AttemptsExhausted,
    ConfigError,
    DeadlineExceeded,
    NoBroker,
    Node,
    NodeClosed,
    NoWorker,
    Overloaded,
    PayloadTooLarge,
    RequestError,
    ServiceError,
    Settings,
)
from braidmq.testing import TestNet
from braidmq.trust.authority import Authority


class Gate:
    """An `async def` handler that counts, and holds requests until it is opened."""

    def __init__(self, result=b"done"):
        self.result = result
        self.opened = asyncio.Event()
        self.started = []
        self.ended = 0
        self.cancelled = 0
        self.most = 0

    async def __call__(self, request):
        self.started.append(request)
        self.most = max(self.most, self.running)
        try:
            await self.opened.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.ended += 1
        return self.result

    @property
    def running(self):
        return len(self.started) - self.ended

    def serve(self, node, service="s", **options):
        @node.service(service, **options)
        async def handler(request):
            return await self(request)


@asynccontextmanager
async def one_service(handler, *, brokers=1, settings=None, client_settings=None, **options):
    """A net in which `worker` serves `handler` as s; yields the net and a client."""
    async with TestNet(brokers, settings=settings) as net:
        worker = net.node("worker")
        if isinstance(handler, Gate):
            handler.serve(worker, **options)
        else:
            worker.service("s", **options)(handler)
        async with worker, net.node("client", settings=client_settings) as client:
            await net.served("s")
            yield net, client


async def async_echo(request):
    return request.payload


def def_echo(request):
    return request.payload


# -- handlers


@pytest.mark.parametrize("handler", [async_echo, def_echo])
@pytest.mark.parametrize("payload", [b"", b"x", bytes(range(256)) * 1_000])
async def test_a_handler_answers_the_caller(handler, payload):
    async with one_service(handler) as (_net, client):
        assert (await client.request("s", payload)).payload == payload


async def test_an_async_handler_runs_on_the_loop_and_a_def_handler_in_a_thread():
    seen = {}
    async with TestNet(1) as net:
        worker = net.node("worker")

        @worker.service("loop")
        async def loop(_request):
            seen["loop"] = threading.current_thread()
            return b""

        @worker.service("thread")
        def thread(_request):
            seen["thread"] = threading.current_thread()
            return b""

        async with worker, net.node("client") as client:
            await net.served("thread")
            await client.request("loop")
            await client.request("thread")
    assert seen["loop"] is threading.current_thread()
    assert seen["thread"] is not threading.current_thread()


async def test_no_more_async_handlers_run_at_once_than_the_concurrency():
    gate = Gate()
    async with one_service(gate, brokers=2, concurrency=3) as (_net, client):
        calls = [asyncio.ensure_future(client.request("s", via=name)) for name in ("b1", "b2") * 6]
        await until(lambda: gate.running == 3)
        gate.opened.set()
        await asyncio.gather(*calls)
    assert len(gate.started) == 12
    assert gate.most == 3


async def test_no_more_def_handlers_run_at_once_than_the_concurrency():
    meet = threading.Barrier(3, timeout=10)
    lock, running, most = threading.Lock(), 0, 0

    def handler(_request):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        meet.wait()  # all three places are in use at the same time
        with lock:
            running -= 1
        return b""

    async with one_service(handler, concurrency=3) as (_net, client):
        await asyncio.gather(*(client.request("s") for _ in range(12)))
    assert most == 3


async def test_two_services_of_one_node_do_not_take_each_others_places():
    slow, fast = Gate(), Gate(b"fast")
    fast.opened.set()
    async with TestNet(1) as net:
        worker = net.node("worker")
        slow.serve(worker, "slow", concurrency=1)
        fast.serve(worker, "fast", concurrency=1)
        async with worker, net.node("client") as client:
            await net.served("slow")
            await net.served("fast")
            call = asyncio.ensure_future(client.request("slow"))
            await until(lambda: slow.running == 1)
            assert (await client.request("fast")).payload == b"fast"
            slow.opened.set()
            assert (await call).payload == b"done"


async def test_a_handler_calls_another_service_through_its_own_node():
    async with TestNet(2) as net:
        front, back = net.node("front"), net.node("back")

        @front.service("front")
        async def handler(request):
            reply = await front.request("back", request.payload, timeout=request.remaining)
            return reply.payload + b" by " + reply.sender.encode()

        back.service("back")(async_echo)
        async with front, back, net.node("client") as client:
            await net.served("front")
            await net.served("back")
            assert (await client.request("front", b"made")).payload == b"made by back"


async def test_a_node_calls_a_service_of_its_own():
    async with TestNet(1) as net:
        node = net.node("alone")
        node.service("s")(async_echo)
        async with node:
            await net.served("s")
            reply = await node.request("s", b"x")
    assert (reply.payload, reply.sender, reply.receiver) == (b"x", "alone", "alone")


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


# -- errors of handlers


@pytest.mark.parametrize("details", [None, {"field": "qty", "least": 1}, [b"\0", 1.5, "é"]])
async def test_a_service_error_reaches_the_caller_as_it_is(details):
    async def handler(_request):
        raise ServiceError("INVALID_ARGUMENT", "qty must be positive", details)

    async with one_service(handler) as (_net, client):
        with pytest.raises(ServiceError) as caught:
            await client.request("s")
    error = caught.value
    assert (error.code, error.message, error.details) == ("INVALID_ARGUMENT", "qty must be positive", details)
    assert (error.service, error.attempts, error.maybe_executed) == ("s", 1, True)
    assert len(error.request_id) == 16


@pytest.mark.parametrize("blocking", [False, True])
async def test_an_unexpected_exception_is_internal_and_its_text_stays_with_the_worker(blocking, caplog):
    runs = []

    async def async_handler(request):
        runs.append(request)
        raise KeyError("the secret")

    def def_handler(request):
        runs.append(request)
        raise KeyError("the secret")

    async with one_service(def_handler if blocking else async_handler) as (_net, client):
        with pytest.raises(ServiceError) as caught:
            await client.request("s")
    assert caught.value.code == "INTERNAL"
    assert "secret" not in str(caught.value)
    assert caught.value.details is None
    assert len(runs) == 1
    logged = [record for record in caplog.records if record.exc_info]
    assert [(record.name, record.levelno) for record in logged] == [("braidmq.node", logging.ERROR)]
    assert "the secret" in str(logged[0].exc_info[1])


@pytest.mark.parametrize(
    "error",
    [
        ServiceError("BAD", "text", object()),
        ServiceError("BAD", "text", {1: {2: {3}, 4: object()}}),
        ServiceError("BAD", "text", 2**70),
        ServiceError("BAD", "text", "x" * 2_000_000),
        ServiceError("BAD", "text" + "x" * 2_000_000),
        ServiceError("BAD", "text\ud800"),
        ServiceError("BAD", 5, object()),
    ],
    ids=["object", "nested", "huge number", "long details", "long message", "surrogate", "message is no text"],
)
async def test_an_error_that_cannot_travel_whole_still_arrives(error):
    async def handler(_request):
        raise error

    async with one_service(handler) as (_net, client):
        with pytest.raises(ServiceError) as caught:
            await client.request("s")
    assert caught.value.code == "BAD"
    assert caught.value.message[:1] in ("t", "5")
    assert caught.value.attempts == 1


async def test_a_code_that_is_no_text_still_ends_the_call():
    async def handler(_request):
        raise ServiceError("\ud800")

    async with one_service(handler) as (_net, client):
        with pytest.raises(ServiceError) as caught:
            await client.request("s")
    assert caught.value.attempts == 1


async def test_details_nested_without_end_still_arrive():
    details = []
    details.append(details)

    async def handler(_request):
        raise ServiceError("BAD", "text", details)

    async with one_service(handler) as (_net, client):
        with pytest.raises(ServiceError, match="BAD: text"):
            await client.request("s")


async def test_a_result_beyond_the_limit_is_an_error_and_not_silence():
    async def handler(request):
        return bytes(int(request.payload))

    async with one_service(handler, settings=Settings.test(payload_bytes_max=2_000)) as (_net, client):
        assert len((await client.request("s", b"2000")).payload) == 2_000
        with pytest.raises(ServiceError) as caught:
            await client.request("s", b"2001")
    assert caught.value.code == "RESULT_TOO_LARGE"
    assert caught.value.attempts == 1


@pytest.mark.parametrize("result", ["text", None, 5])
async def test_a_result_that_is_not_bytes_is_internal(result):
    async def handler(_request):
        return result

    async with one_service(handler) as (_net, client):
        with pytest.raises(ServiceError) as caught:
            await client.request("s")
    assert caught.value.code == "INTERNAL"
    assert "TypeError" in caught.value.message


@pytest.mark.parametrize("result", [bytearray(b"abc"), memoryview(b"abc")])
async def test_other_kinds_of_bytes_are_results_too(result):
    async def handler(_request):
        return result

    async with one_service(handler) as (_net, client):
        assert (await client.request("s")).payload == b"abc"


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


@pytest.mark.parametrize("blocking", [False, True])
@pytest.mark.parametrize("error", [SystemExit(2), asyncio.CancelledError()], ids=["sys.exit", "cancelled"])
async def test_a_handler_cannot_end_its_node(blocking, error, caplog):
    def fails(_request):
        raise error

    async def fails_too(request):
        fails(request)

    async with one_service(fails if blocking else fails_too) as (_net, client):
        for _ in range(2):
            with pytest.raises(ServiceError) as caught:
                await client.request("s")
            assert caught.value.code == "INTERNAL"
    assert "Traceback" in caplog.text


@pytest.mark.parametrize("blocking", [False, True])
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


# -- life


async def test_a_node_that_is_not_running_says_so():
    async with TestNet(1) as net:
        node = net.node("n")
        assert node.brokers == []
        for use in (node.request("s"), node.connected(), node.observe()):
            with pytest.raises(NodeClosed):
                await use
        async with node:
            with pytest.raises(NodeClosed, match="once"):
                await node.start()
            with pytest.raises(ConfigError, match="before"):
                node.service("s")
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
                await client.request("s")
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

    # What took a third of exchange_timeout_s on its way is flagged, too: a busy machine must not do that here.
    async with TestNet(2, settings=Settings.test(exchange_timeout_s=5.0)) as net, net.node("client") as client:
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


def test_the_join_file_of_a_broker_makes_no_node():
    with TestNet(1) as net, pytest.raises(ConfigError, match="add node"):
        Node(net.join("b1"))
