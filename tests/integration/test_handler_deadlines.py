"""Handlers that go on after their deadline, over real brokers and sockets: they cost no place, up to a limit."""

import asyncio
import threading
from contextlib import suppress

import pytest

from braidmq import DeadlineExceeded, RequestError
from braidmq.testing import TestNet
from tests.support.async_tests import until
from tests.support.nights import cases
from tests.support.patience import patient
from tests.support.rigs.jobs import strays
from tests.support.scarcity import no_thread
from tests.support.services import def_echo, one_service


class Hanging:
    """Handlers that hang where they are asked to, until they are released."""

    def __init__(self):
        self.begun = 0
        self.ended = 0
        self._released = asyncio.Event()
        self._thread_released = threading.Event()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.release()  # a loop waits for its tasks, whatever has failed

    def release(self):
        self._released.set()
        self._thread_released.set()

    async def swallows(self, request):
        self.begun += 1
        while request.payload and not self._released.is_set():
            with suppress(asyncio.CancelledError):
                await self._released.wait()
        self.ended += 1
        return b"fine"

    async def shields(self, request):
        if request.payload:
            await asyncio.shield(asyncio.ensure_future(self._released.wait()))
        return b"fine"

    async def fails_to_stop(self, request):
        try:
            if request.payload:
                await self._released.wait()
        except asyncio.CancelledError:
            await self._released.wait()
            raise
        finally:
            self.ended += 1
        return b"fine"

    def in_thread(self, request):
        self.begun += 1
        if request.payload:
            assert self._thread_released.wait(20)
        self.ended += 1
        return b"fine"

    def awaited_for_a_def(self, request):
        return self.swallows(request)


@cases(
    "kind",
    [
        "swallows",
        "shields",
        "fails_to_stop",
        "in_thread",
        "awaited_for_a_def",
    ],
    one_in=3,
)
async def test_a_handler_that_outlives_its_deadline_leaves_its_place_to_the_next_request(kind, caplog):
    with Hanging() as hanging:
        async with one_service(getattr(hanging, kind), concurrency=1) as (_net, client):
            with pytest.raises(DeadlineExceeded):
                await client.request("s", b"hang", timeout=1.0)
            for _ in range(3):
                assert (await client.request("s")).payload == b"fine"
            hanging.release()
            for _ in range(3):
                assert (await client.request("s")).payload == b"fine"
    lines = [record.message for record in caplog.records if "goes on after the deadline" in record.message]
    assert len(lines) == (kind != "shields"), "what is shielded is no part of the handler"


@pytest.mark.nightly
@pytest.mark.parametrize("kind", ["swallows", pytest.param("in_thread", marks=pytest.mark.nightly)])
async def test_as_many_may_hang_as_there_are_places_before_any_is_lost(kind, caplog):
    with Hanging() as hanging:
        async with one_service(getattr(hanging, kind), concurrency=2) as (net, client):

            async def hang(count):
                expected = hanging.begun + count
                calls = [asyncio.ensure_future(client.request("s", b"hang", timeout=1.0)) for _ in range(count)]
                await until(lambda: hanging.begun == expected)
                assert {type(each) for each in await asyncio.gather(*calls, return_exceptions=True)} == {
                    DeadlineExceeded
                }

            await hang(2)
            assert (await client.request("s")).payload == b"fine"
            await hang(1)
            assert (await client.request("s")).payload == b"fine", "one place is left"
            await hang(1)
            begun = hanging.begun
            with pytest.raises(RequestError):
                await client.request("s", timeout=0.3)
            assert hanging.begun == begun, "no place is left"
            await until(lambda: caplog.text.count("its place stays taken, as 2 others go on, too") == 2)
            hanging.release()
            assert (await client.request("s")).payload == b"fine"
            await until(lambda: net.brokers["b1"].report().services[0].outstanding == 0)


async def test_a_node_ends_although_handlers_go_on():
    with Hanging() as hanging:
        async with TestNet(1) as net:
            worker = net.node("worker")
            worker.service("thread")(hanging.in_thread)
            async with net.node("client") as client, worker:
                await net.served("thread")
                with pytest.raises(DeadlineExceeded):
                    await client.request("thread", b"hang", timeout=1.0)
                await until(lambda: strays(worker._loop.core.worker) == 1 and len(worker._loop.core.worker) == 0)
        assert hanging.ended == 0, "it did not wait for it"


# -- threads that cannot be had


async def test_a_request_that_no_thread_can_be_started_for_is_run_by_another_worker(caplog):
    ran = []
    async with TestNet(2, settings=patient()) as net:
        nodes = {name: net.node(name) for name in ("w1", "w2")}
        for name, node in nodes.items():
            node.service("s", concurrency=4)(lambda _request, name=name: ran.append(name) or name.encode())
        async with net.node("client") as client, nodes["w1"]:
            await net.served("s")
            assert (await client.request("s")).payload == b"w1"  # so that it has a thread
            async with nodes["w2"]:
                await net.served("s", workers=2)
                with no_thread():
                    replies = [await client.request("s") for _ in range(20)]
                assert {reply.payload for reply in replies} == {b"w1"}
                assert not any(reply.possible_duplicate for reply in replies)
                assert len(ran) == 21
                assert caplog.text.count("w2 has no thread for requests of s, and gives them back") == 1
                await until_served_by("w2", client)


async def test_a_request_that_no_thread_can_be_started_for_was_not_run_and_never_is(caplog):
    ran = []

    def handler(request):
        ran.append(request.payload)
        return b"ok"

    async with one_service(handler) as (net, client):
        with no_thread(), pytest.raises(RequestError):
            await client.request("s", b"lost", timeout=0.5)
        assert (await client.request("s", b"later")).payload == b"ok"
        await until(lambda: net.brokers["b1"].report().services[0].outstanding == 0)
    assert ran == [b"later"]
    assert "can't start new thread" in caplog.text


async def test_a_request_waits_at_its_broker_until_a_thread_can_be_started():
    async with one_service(def_echo, concurrency=1) as (_net, client):
        with no_thread():
            call = asyncio.ensure_future(client.request("s", b"x", timeout=10.0))
            done, _pending = await asyncio.wait([call], timeout=0.3)
            assert not done
        assert (await call).payload == b"x"


async def until_served_by(name, client):
    async def served():
        while (await client.request("s")).payload != name.encode():
            pass

    await asyncio.wait_for(served(), 20)
