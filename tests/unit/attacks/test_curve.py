from types import SimpleNamespace

import pytest
import zmq
from nacl.public import PrivateKey

from attacks.curve import INNER_COMMAND, INNER_MORE, LONG, CurveClient, framed
from braidmq.core.links.link import Open


@pytest.fixture
def router():
    context = zmq.Context()
    socket = context.socket(zmq.ROUTER)
    secret = PrivateKey.generate()
    socket.setsockopt(zmq.CURVE_SERVER, 1)
    socket.setsockopt(zmq.CURVE_SECRETKEY, bytes(secret))
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.RCVTIMEO, 10_000)
    port = socket.bind_to_random_port("tcp://127.0.0.1")
    yield socket, Open("b1", f"tcp://127.0.0.1:{port}", bytes(secret.public_key))
    context.destroy(0)


def client(target):
    secret = PrivateKey.generate()
    return CurveClient(SimpleNamespace(secret_key=bytes(secret), public_key=bytes(secret.public_key)), target)


def test_a_message_arrives_with_a_routing_id_of_its_own(router):
    socket, target = router
    peer = client(target)
    peer.socket.sendall(peer.message(b"hello"))
    route, frame = socket.recv_multipart()
    assert (len(route), frame) == (16, b"hello")
    peer.reset()


def test_frames_that_belong_together_arrive_together_between_pings(router):
    socket, target = router
    peer = client(target)
    peer.socket.sendall(peer.message(b"a" * 300, INNER_MORE) + peer.message(b"b") + peer.ping() + peer.message(b"c"))
    assert socket.recv_multipart()[1:] == [b"a" * 300, b"b"]
    assert socket.recv_multipart()[1:] == [b"c"]
    assert peer.socket.recv(2)[0] & ~LONG == 0  # PONG, in a box
    peer.reset()


def test_a_wrong_key_of_the_server_gets_no_handshake(router):
    _, target = router
    with pytest.raises(OSError):  # noqa: PT011 - cut off, or no answer
        client(Open("b1", target.endpoint, bytes(PrivateKey.generate().public_key)))


def test_long_frames_have_long_lengths():
    assert framed(b"x", 4) == b"\x04\x01x"
    assert framed(bytes(256), 4) == b"\x06" + (256).to_bytes(8) + bytes(256)
    assert INNER_COMMAND != INNER_MORE
