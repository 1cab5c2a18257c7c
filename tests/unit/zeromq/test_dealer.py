"""The DEALER of a node with real sockets."""

from dataclasses import dataclass

import pytest
import zmq

from braidmq.core.link import Open
from braidmq.settings import KIB, Settings
from braidmq.zeromq.dealer import BYTES_PER_TURN, Dealer
from braidmq.zeromq.sockets import new_context
from faults.child import wait_until

FRAME = b"f" * 60 * KIB
FRAMES = 40


@dataclass
class Keys:
    public_key: bytes
    secret_key: bytes


@pytest.fixture
def pair():
    """A dealer, and a function that sends frames to it from a plain CURVE server."""
    context = new_context()
    public, secret = zmq.curve_keypair()
    server = context.socket(zmq.DEALER)
    server.setsockopt(zmq.LINGER, 0)
    server.curve_server, server.curve_secretkey = True, secret
    port = server.bind_to_random_port("tcp://127.0.0.1")
    dealer = Dealer(context, Settings(), Keys(*zmq.curve_keypair()), Open("b1", f"tcp://127.0.0.1:{port}", public))
    yield dealer, server.send
    if not dealer.socket.closed:
        dealer.close()
    server.close(0)
    context.term()


def test_a_turn_reads_a_bounded_number_of_bytes(pair):
    dealer, send = pair
    for _ in range(FRAMES):
        send(FRAME)
    turns = []

    def all_of_it():
        turns.append(sum(len(frame) for frame in dealer.receive()))
        return sum(turns) == FRAMES * len(FRAME)

    wait_until(all_of_it, "everything has come")
    assert max(turns) <= BYTES_PER_TURN + len(FRAME)


def test_a_connection_that_was_overflown_says_so_and_gives_back_what_never_left(pair):
    dealer, _send = pair
    message = FRAME[: 32 * KIB]
    sent = 0
    while not dealer.overflown:
        dealer.send([message] * 64)
        sent += 64
        assert sent * len(message) < 1024 * KIB * KIB, "nothing bounds what waits"
    unsent = dealer.close()
    assert 0 < len(unsent) <= sent
    assert set(unsent) == {message}
