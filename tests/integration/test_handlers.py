"""Handlers, over real brokers and sockets: where they run, how many at once, and what becomes of their errors."""

import asyncio
import logging
import threading
from array import array
from typing import Any, cast

import pytest

from braidmq import ConfigError, ServiceError, Settings
from braidmq.testing import TestNet
from tests.support.async_tests import until
from tests.support.nights import cases
from tests.support.services import Gate, async_echo, def_echo, handler_that, one_service

# -- runs


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


# -- errors and results


class Text(bytes):
    """Bytes of a program's own, which pretend to be others."""

    def __bytes__(self):
        return b"others"


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
        ServiceError("BAD", cast("Any", 5), object()),
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


@cases("code", ["", " ", "\ud800", "\x1b[31m", "x" * 256, 5, None, b"BAD"], one_in=4)
@pytest.mark.parametrize("set_afterwards", [False, True])
async def test_a_code_that_is_none_still_ends_the_call(code, set_afterwards):
    async def handler(_request):
        error = ServiceError("CODE" if set_afterwards else code)
        error.code = code
        raise error

    async with one_service(handler) as (_net, client):
        with pytest.raises(ServiceError) as caught:
            await client.request("s")
    assert caught.value.attempts == 1
    assert caught.value.code.isprintable()
    assert caught.value.code.strip()


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
    assert caught.value.message == f"the handler of s returned {type(result).__name__}, not bytes"


@pytest.mark.parametrize("blocking", [False, True])
@cases(
    "result",
    [
        bytearray(b"abc"),
        memoryview(b"abc"),
        memoryview(b"a-b-c-")[::2],
        memoryview(array("H", [0x6261, 0x63])).cast("B")[:3],
        Text(b"abc"),
    ],
    ids=["bytearray", "memoryview", "not contiguous", "cast", "derived from bytes"],
    one_in=3,
)
async def test_other_kinds_of_bytes_are_results_too(result, blocking):
    async with one_service(handler_that(lambda: result, blocking)) as (_net, client):
        reply = await client.request("s")
    assert reply.payload == b"abc"
    assert type(reply.payload) is bytes


async def test_a_view_of_larger_items_is_a_result_too():
    numbers = array("H", [1, 2, 3])
    async with one_service(handler_that(lambda: memoryview(numbers), blocking=False)) as (_net, client):
        assert (await client.request("s")).payload == numbers.tobytes()


async def test_what_becomes_of_a_result_afterwards_does_not_matter():
    result = bytearray(b"abc")

    async def handler(_request):
        asyncio.get_running_loop().call_soon(result.extend, b"def")
        return result

    async with one_service(handler) as (_net, client):
        assert (await client.request("s")).payload == b"abc"
    assert result == b"abcdef"


async def test_a_view_that_was_released_is_internal(caplog):
    view = memoryview(b"abc")
    view.release()
    async with one_service(handler_that(lambda: view, blocking=True)) as (_net, client):
        with pytest.raises(ServiceError, match="INTERNAL: the handler failed with ValueError"):
            await client.request("s")
    assert "released" in caplog.text


async def test_the_log_tells_which_request_it_was(caplog):
    async def fails(request):
        if request.payload:
            raise KeyError("why")

    async with one_service(fails) as (_net, client):
        for payload in (b"", b"fail"):
            with pytest.raises(ServiceError) as caught:
                await client.request("s", payload)
            assert f"request {caught.value.request_id.hex()} of client" in caplog.text


async def test_what_cannot_be_a_handler_is_refused_at_once():
    async with TestNet(1) as net:
        worker = net.node("worker")
        with pytest.raises(ConfigError, match=r"test_handlers\..*takes \(\)"):
            worker.service("s")(cast("Any", lambda: b""))
        worker.service("s")(async_echo)
        assert worker.services == ("s",)
