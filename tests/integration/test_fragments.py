"""Large calls beside small ones over one slow link, and libzmq's peers, who know of no fragments."""

import asyncio
import os

import pytest
import zmq

from braidmq import DeadlineExceeded, ServiceError
from braidmq.carrier import dialer
from braidmq.core.links.link import Open
from braidmq.lab.processes.waiting import wait_until
from braidmq.settings import MIB, Settings
from braidmq.testing import TestNet
from braidmq.wire.control import Ready
from braidmq.wire.envelope import REPLY, REQUEST, Envelope, decode, encode
from tests.support.async_tests import until
from tests.support.dialers import Node
from tests.support.peers import now_ms, peers
from tests.support.slow_link import SlowLink
from tests.support.zmtp import SERVER

PAYLOAD_BYTES = 16 * MIB
LINK_BYTES_PER_S = 8 * MIB
SMALL_CALLS_MIN = 8
"""Small calls that have to end while a large one is under way, one after the other. Behind it, none or one would."""

SETTINGS = Settings.test(
    payload_bytes_max=2 * PAYLOAD_BYTES,
    exchange_timeout_s=30.0,
    in_flight_bytes_max=64 * MIB,
    outbox_bytes_max=64 * MIB,
)
FAR = Settings.test(
    payload_bytes_max=2 * PAYLOAD_BYTES,
    exchange_timeout_s=30.0,
    in_flight_bytes_max=64 * MIB,
    outbox_bytes_max=64 * MIB,
)


@pytest.fixture
def far_away(monkeypatch):
    """Return what puts a slow link between a broker and all nodes with the settings FAR."""
    links = []
    opened = dialer.Dialer.open

    def put(broker):
        links.append(SlowLink(int(broker.endpoint.rpartition(":")[2]), LINK_BYTES_PER_S))

        def opens(self, action):
            far = self._settings is FAR
            return opened(self, Open(action.name, links[0].endpoint, action.key) if far else action)

        monkeypatch.setattr(dialer.Dialer, "open", opens)

    yield put
    for each in links:
        each.close()


@pytest.mark.nightly
@pytest.mark.parametrize("what", ["request", pytest.param("reply", marks=pytest.mark.nightly)])
async def test_small_calls_go_on_beside_a_large_one_over_a_slow_link(far_away, what):
    async with TestNet(1, settings=SETTINGS) as net:
        far_away(net.brokers["b1"])
        worker = net.node("worker")

        @worker.service("small")
        async def small(request):
            return request.payload

        @worker.service("large")
        async def large(request):
            return bytes(PAYLOAD_BYTES) if what == "reply" else b"%d" % len(request.payload)

        async with worker, net.node("client", settings=FAR) as client:
            await net.served("small")
            await net.served("large")
            await client.request("small", b"first")
            payload = bytes(PAYLOAD_BYTES) if what == "request" else b""
            call = asyncio.ensure_future(client.request("large", payload, timeout=50.0))
            answered = 0
            while not call.done():
                await client.request("small", b"%d" % answered, timeout=50.0)
                answered += not call.done()
            reply = await call
            assert reply.payload == (b"%d" % PAYLOAD_BYTES if what == "request" else bytes(PAYLOAD_BYTES))
            assert answered >= SMALL_CALLS_MIN


@pytest.mark.parametrize("how", ["cancelled", "late"])
async def test_a_large_call_that_nobody_waits_for_leaves_its_slow_link_free(far_away, how):
    """What takes two seconds goes no further when its caller has had enough, and the next call does not wait for it."""
    async with TestNet(1, settings=SETTINGS) as net:
        broker = net.brokers["b1"]
        far_away(broker)
        worker = net.node("worker")
        asked = []

        @worker.service("large")
        async def large(request):
            asked.append(len(request.payload))
            return b"done"

        def came_bytes():
            return sum(peer.came_bytes for peer in list(broker._loop._listener._peers.values()))

        def joining_bytes():
            return sum(peer.joining_bytes for peer in list(broker._loop._listener._peers.values()))

        async with worker, net.node("client", settings=FAR) as client:
            await net.served("large")
            await client.request("large", b"first")
            before = came_bytes()
            call = asyncio.ensure_future(client.request("large", bytes(PAYLOAD_BYTES), timeout=0.5))
            await until(lambda: joining_bytes() > 0)
            if how == "cancelled":
                call.cancel()
            with pytest.raises((asyncio.CancelledError, DeadlineExceeded)):
                await call
            await until(lambda: joining_bytes() == 0)
            assert (await client.request("large", bytes(MIB), timeout=50.0)).payload == b"done"
            assert came_bytes() - before < PAYLOAD_BYTES
            assert asked == [len(b"first"), MIB]


async def test_a_large_reply_that_nobody_waits_for_leaves_its_slow_link_free(far_away):
    async with TestNet(1, settings=SETTINGS) as net:
        far_away(net.brokers["b1"])
        worker = net.node("worker")

        @worker.service("large")
        async def large(request):
            return bytes(int(request.payload))

        async with worker, net.node("client", settings=FAR) as client:
            await net.served("large")
            await client.request("large", b"1")
            [link] = client._loop.connections.brokers.values()
            before = link.came_bytes
            call = asyncio.ensure_future(client.request("large", b"%d" % PAYLOAD_BYTES))
            await until(lambda: link.joining_bytes > 0)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            await until(lambda: link.joining_bytes == 0)
            assert len((await client.request("large", b"%d" % MIB, timeout=50.0)).payload) == MIB
            assert link.came_bytes - before < PAYLOAD_BYTES


@pytest.mark.parametrize("what", ["request", "reply"])
async def test_a_message_that_is_longer_than_a_node_takes_is_told_and_its_connection_goes_on(what):
    large, small = SETTINGS, Settings.test(payload_bytes_max=MIB)
    async with TestNet(1, settings=large) as net:
        worker = net.node("worker", settings=small if what == "request" else large)

        @worker.service("large")
        async def answer(request):
            return bytes(PAYLOAD_BYTES) if request.payload == b"large" else request.payload[:10]

        async with worker, net.node("client", settings=large if what == "request" else small) as client:
            await net.served("large")
            connections = [*client._loop.connections.brokers.values(), *worker._loop.connections.brokers.values()]
            with pytest.raises(ServiceError) as error:
                await client.request("large", bytes(PAYLOAD_BYTES) if what == "request" else b"large", timeout=50.0)
            assert error.value.code == ("REQUEST_TOO_LARGE" if what == "request" else "RESULT_TOO_LARGE")
            assert (await client.request("large", b"small")).payload == b"small"
            assert [each.end for each in connections] == [None, None]


async def test_a_plain_dealer_calls_and_serves_with_large_messages():
    payload = os.urandom(900_000)
    with peers() as peer:
        async with TestNet(1) as net:
            net.node("plain")
            worker = net.node("worker")

            @worker.service("ours")
            async def ours(request):
                return request.payload[::-1]

            async with worker, net.node("client") as client:
                await net.served("ours")
                plain = peer(net.brokers["b1"], join=net.join("plain"))
                await plain.hello()
                plain.exchange(REQUEST, bytes(16), tag=1, time_ms=20_000, service=b"ours", payload=payload)
                assert (await plain.answer(REPLY, bytes(16))).payload == payload[::-1]
                plain.say(Ready("theirs", 1))
                await net.served("theirs")
                call = asyncio.ensure_future(client.request("theirs", payload, timeout=20.0))
                asked = await plain.heard(lambda got: isinstance(got, Envelope) and got.command == REQUEST)
                assert asked.payload == payload
                plain.exchange(REPLY, asked.id, tag=asked.tag, payload=asked.payload[::-1])
                assert (await call).payload == payload[::-1]


def test_a_plain_router_is_sent_large_messages_whole():
    message = encode(Envelope(REQUEST, bytes(16), sent_ms=now_ms(), service=b"s", payload=os.urandom(2 * MIB)))
    context, node = zmq.Context(), Node()
    router = context.socket(zmq.ROUTER)
    router.setsockopt(zmq.LINGER, 0)
    router.curve_server, router.curve_secretkey = True, SERVER.secret
    port = router.bind_to_random_port("tcp://127.0.0.1")
    try:
        assert node.open(f"tcp://127.0.0.1:{port}", key=SERVER.public) is None
        node.until_greeted()
        node.dialer.send("b1", [message, message])
        wait_until(lambda: node.turn() or router.poll(0), "it has come", poll_s=0.0)
        route, got = router.recv_multipart()
        assert decode(got) == decode(message)
        wait_until(lambda: node.turn() or router.poll(0), "so has the other one", poll_s=0.0)
        assert router.recv_multipart()[1:] == [message]
        router.send_multipart([route, message])
        node.until(lambda: node.frames, "it comes back")
        assert node.frames == [("b1", message)]
        assert node.brokers["b1"].commands == 0
    finally:
        node.close()
        context.destroy(0)
