"""The DEALER of a node with real sockets."""

import socket
import struct
import threading
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
import zmq
from braidmq.carrier.dealer import BYTES_PER_TURN, Dealer
from braidmq.carrier.sockets import new_context
from braidmq.carrier.unread import COUNTED, received

from braidmq.core.links.link import Failure, Open, Step
from braidmq.lab.processes.waiting import wait_until
from braidmq.settings import KIB, Settings

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


@pytest.mark.skipif(not COUNTED, reason="nothing tells what is unread")
def test_a_flood_that_is_not_read_is_noticed(pair):
    dealer, send = pair
    dealer._unread_bytes_max = 1024 * KIB
    wait_until(lambda: list(dealer.events()) and dealer._descriptor >= 0, "it is connected")
    for _ in range(4 * KIB):
        send(b"x" * KIB)
    wait_until(lambda: received(dealer._descriptor) > 4 * KIB * KIB, "all of it has come")
    assert not dealer.flooded
    wait_until(lambda: dealer.has_more() and len(dealer.receive()) > 1, "some of it is read")
    assert dealer.flooded


def test_a_connection_that_was_overflown_says_so_and_gives_back_what_never_left(pair):
    dealer, _send = pair
    message = FRAME[: 32 * KIB]
    sent = 0
    while not dealer.overflowed:
        dealer.send([message] * 64)
        sent += 64
        assert sent * len(message) < 1024 * KIB * KIB, "nothing bounds what waits"
    unsent = dealer.close()
    assert 0 < len(unsent) <= sent
    assert set(unsent) == {message}


@contextmanager
def server(answer):
    """Listen, and let `answer` do something with the first connection; yield the endpoint."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        held = []

        def serve():
            connection, _ = listener.accept()
            held.append(connection)
            answer(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        thread.join()
        for connection in held:
            connection.close()


@contextmanager
def router(*, curve):
    """A ZeroMQ program that is not the broker."""
    context = zmq.Context()
    other = context.socket(zmq.ROUTER)
    other.setsockopt(zmq.LINGER, 0)
    if curve:
        other.curve_server, other.curve_secretkey = True, zmq.curve_keypair()[1]
    try:
        yield f"tcp://127.0.0.1:{other.bind_to_random_port('tcp://127.0.0.1')}"
    finally:
        other.close()
        context.term()


def met(endpoint, settings=None):
    """Return what happens to a connection, until it has failed."""
    context, found = new_context(), []
    public, _ = zmq.curve_keypair()
    dealer = Dealer(context, settings or Settings(), Keys(*zmq.curve_keypair()), Open("b1", endpoint, public))

    def failed():
        found.extend(dealer.events())
        return any(isinstance(each, Failure) for each in found)

    try:
        wait_until(failed, "it fails")
    finally:
        dealer.close()
        context.term()
    end = next(at for at, each in enumerate(found) if isinstance(each, Failure))
    return found[: end + 1]


def reset(connection):
    connection.recv(10)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def hang_up(connection):
    connection.recv(1000)
    connection.close()


def be_http(connection):
    connection.recv(1000)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (reset, Failure.RESET),
        (hang_up, Failure.HUNG_UP),
        (be_http, Failure.FOREIGN),
        (lambda connection: connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n"), Failure.FOREIGN),
        (lambda connection: connection.recv(64), Failure.MUTE),
    ],
    ids=["reset", "hang up", "http", "ssh", "mute"],
)
def test_what_answers_is_told_from_a_broker(answer, failure):
    with server(answer) as endpoint:
        assert met(endpoint, Settings(handshake_s_max=0.5)) == [Step.REACHED, failure]


@pytest.mark.parametrize("curve", [True, False])
def test_another_program_that_speaks_zeromq_is_told_from_a_broker(curve):
    with router(curve=curve) as endpoint:
        step, failure = met(endpoint)
    assert step is Step.REACHED
    # Without CURVE both sides notice at once that they do not fit, and it may hang up first.
    assert failure in ((Failure.HUNG_UP,) if curve else (Failure.HUNG_UP, Failure.FOREIGN))


def test_a_port_where_nothing_listens_is_not_reached():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert met(f"tcp://127.0.0.1:{port}") == [Failure.UNREACHABLE]
