"""Peers that speak ZMTP 3.0: libzmq 4.2.5 calls, serves, and is a broker's socket."""

import asyncio
import os
import socket

import pytest
import zmq

from braidmq.testing import TestNet
from braidmq.wire.control import Ready
from braidmq.wire.envelope import REPLY, REQUEST, Envelope
from tests.support.dialers import Node
from tests.support.old_libzmq import OldPeer, old_libzmq
from tests.support.streams import SERVER, new_pair

SIZES = (0, 1, 255, 256, 8_192, 65_536, 900_000)


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    with old_libzmq(tmp_path_factory.mktemp("old")) as library:
        yield library


def test_the_old_library_speaks_zmtp_3_0(old):
    assert old.version == (4, 2, 5)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        old.socket(zmq.DEALER).connect(f"tcp://127.0.0.1:{listener.getsockname()[1]}")
        peer, _ = listener.accept()
        with peer:
            peer.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x01")
            said = b""
            while len(said) < 12:
                said += peer.recv(64)
            assert said[10:12] == b"\x03\x00"


async def test_a_dealer_of_zmtp_3_0_calls_and_serves(old):
    async with TestNet(1) as net:
        net.node("old")
        worker = net.node("worker")

        @worker.service("ours")
        async def ours(request):
            return request.payload[::-1]

        async with worker, net.node("client") as client:
            await net.served("ours")
            peer = OldPeer(old, net.brokers["b1"], join=net.join("old"))
            await peer.hello()
            peer.say(Ready("theirs", 1))
            await net.served("theirs")
            for number, size in enumerate(SIZES, 1):
                payload, id_ = os.urandom(size), number.to_bytes(16)
                peer.exchange(REQUEST, id_, tag=number, time_ms=20_000, service=b"ours", payload=payload)
                assert (await peer.answer(REPLY, id_)).payload == payload[::-1]
                call = asyncio.ensure_future(client.request("theirs", payload, timeout=20.0))
                asked = await peer.heard(lambda got: isinstance(got, Envelope) and got.command == REQUEST)
                assert asked.payload == payload
                peer.exchange(REPLY, asked.id, tag=asked.tag, payload=payload[::-1])
                assert (await call).payload == payload[::-1]


async def test_a_dealer_of_zmtp_3_0_that_is_not_registered_is_refused(old, caplog):
    async with TestNet(1) as net:
        peer = OldPeer(old, net.brokers["b1"], secret=new_pair().secret)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(peer.hello(), 1.0)
        assert "is not registered here" in caplog.text


def test_frames_go_to_a_router_of_zmtp_3_0_and_back(old):
    router = old.socket(zmq.ROUTER)
    router.setsockopt(zmq.CURVE_SERVER, 1)
    router.setsockopt(zmq.CURVE_SECRETKEY, SERVER.secret)
    node = Node()
    try:
        assert node.open(router.bind("tcp://127.0.0.1:*"), key=SERVER.public) is None
        node.until_greeted()
        for size in SIZES[1:]:  # a bundle is never empty
            frame = os.urandom(size)
            node.dialer.send("b1", [frame])
            node.until(lambda: not node.brokers["b1"].blocked, "all of it has left")
            route, came = router.next()
            assert came == frame
            router.send_multipart([route, frame[::-1]])
            node.until(lambda: node.frames, "the frame comes back")
            assert node.frames.pop() == ("b1", frame[::-1])
    finally:
        node.close()
