"""A node's connections to brokers, over real sockets: how far they come, and why they fail."""

import errno
import os
import select
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import zmq

from braidmq.carrier import dialer as module
from braidmq.carrier.dialer import FRAMES_MAX, PINGS_PER_S_MAX
from braidmq.carrier.rooms import READ_BYTES
from braidmq.core.intake import WAITING_BYTES_MAX
from braidmq.core.links.link import AGGRIEVING, Failure, Step
from braidmq.lab.processes.waiting import WAIT_S_MAX, wait_until
from braidmq.settings import KIB, MIB, Settings
from braidmq.zmtp.engine import HEAD_BYTES, OVERHEAD_BYTES
from braidmq.zmtp.sodium import Room
from braidmq.zmtp.violation import Refusal
from tests.support.dialers import Broker, Node
from tests.support.namespaces import apart, in_network
from tests.support.scarcity import descriptors, only
from tests.support.streams import CLIENT, admit, new_pair, read_to_the_end, reset

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"CURVE".ljust(20, b"\0") + bytes(32)


@pytest.fixture
def node():
    made = Node()
    yield made
    made.close()


@contextmanager
def served(serve):
    """Listen, and let `serve` do something with the first connection, in a thread; yield the endpoint."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        held = []

        def run():
            connection, _ = listener.accept()
            held.append(connection)
            serve(connection)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            thread.join()
            for connection in held:
                connection.close()


@pytest.fixture
def broker():
    made = Broker()
    yield made
    made.close()


@pytest.fixture
def session(node, broker):
    """A node, and a broker that has let it in."""
    assert node.open(broker.endpoint) is None
    broker.greet(node)
    node.until_greeted()
    return node, broker


@contextmanager
def libzmq_router(mechanism):
    context = zmq.Context()
    other = context.socket(zmq.ROUTER)
    other.setsockopt(zmq.LINGER, 0)
    if mechanism == "CURVE":
        other.curve_server, other.curve_secretkey = True, zmq.curve_keypair()[1]
    elif mechanism == "PLAIN":
        other.plain_server = True
    try:
        yield f"tcp://127.0.0.1:{other.bind_to_random_port('tcp://127.0.0.1')}"
    finally:
        other.close()
        context.term()


# -- how far it comes


def test_a_connection_is_reached_and_then_greeted(session):
    node, broker = session
    assert node.steps == [("b1", Step.REACHED), ("b1", Step.GREETED)]
    assert broker.stream.principal == admit(CLIENT.public)


def test_once_it_is_greeted_nothing_spins(session):
    node, _broker = session
    node.turn(0)
    before = node.wakes
    for _ in range(20):
        node.turn(1)
    assert node.wakes == before


def test_while_the_broker_says_nothing_nothing_spins(node, broker):
    node.open(broker.endpoint)
    node.dialer.send("b1", [b"for later"])
    broker.accept()
    node.until(lambda: node.steps, "it is reached")
    node.turn(0)
    before = node.wakes
    for _ in range(20):
        node.turn(1)
    assert node.wakes == before


def test_connections_to_several_brokers_are_told_apart(node):
    brokers = {name: Broker() for name in ("b1", "b2", "b3")}
    for name, each in brokers.items():
        node.open(each.endpoint, name=name)
        each.greet(node)
        node.until_greeted(name)
        each.stream.send([name.encode()])
    node.until(lambda: len(node.frames) == 3, "all have spoken")
    assert sorted(node.frames) == [(name, name.encode()) for name in brokers]
    node.dialer.send("b2", [b"to b2"])
    found = []
    wait_until(lambda: brokers["b2"].stream.read(found) or found, "it has come")
    assert found == [b"to b2"]
    for each in brokers.values():
        each.close()


def let_in(node, broker):
    """Let a node in that does not know it yet."""
    node.open(broker.endpoint)
    node.until(lambda: node.steps, "it is reached")
    broker.greet(node)
    wait_until(node.brokers["b1"].unread, "its READY has come")
    assert node.steps == [("b1", Step.REACHED)]
    return node.brokers["b1"].unread()


def test_what_a_broker_says_right_behind_the_handshake_is_heard_though_it_ends(node, broker):
    ready_bytes = let_in(node, broker)
    broker.stream.send([b"first", b"words"])
    broker.stream.close()
    wait_until(lambda: node.brokers["b1"].unread() > ready_bytes, "all of it has come")
    assert node.until_failed() == [Step.REACHED, Step.GREETED, Failure.CLOSED]
    assert node.frames == [("b1", b"firstwords")]


def test_what_a_broker_says_right_behind_the_handshake_is_heard_though_nonsense_follows(node, broker):
    ready_bytes = let_in(node, broker)
    broker.stream.send([b"first", b"words"])
    broker.end.sendall(bytes(100))
    wait_until(lambda: node.brokers["b1"].unread() > ready_bytes + 100, "all of it has come")
    node.turn(0)
    assert [step for _, step in node.steps] == [Step.REACHED, Step.GREETED]
    assert node.frames == [("b1", b"firstwords")]
    assert node.until_failed() == [Step.REACHED, Step.GREETED, Failure.CHANGED]


# -- why it fails


def test_what_was_sent_has_arrived_once_the_other_host_has_it_though_its_process_reads_nothing(session):
    node, _ = session
    assert not node.dialer.has_arrived("b2")
    node.dialer.send("b1", [b"beat"])
    node.until(lambda: node.dialer.has_arrived("b1"), "the system at the other end has it")
    node.dialer.send("b1", [bytes(KIB)] * 16 * KIB)
    assert not node.dialer.has_arrived("b1")


def test_a_port_where_nothing_listens_is_unreachable(node):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    failure = node.open(f"tcp://127.0.0.1:{port}")
    assert (failure or node.until_failed()[-1]) is Failure.UNREACHABLE
    assert Step.REACHED not in node.steps


def hang_up(connection):
    connection.recv(1000, socket.MSG_PEEK)
    connection.shutdown(socket.SHUT_WR)


def reset_after_a_word(connection):
    connection.recv(10)
    reset(connection)


def say(data):
    def serve(connection):
        connection.recv(1000, socket.MSG_PEEK)
        connection.sendall(data)

    return serve


@pytest.mark.parametrize(
    ("serve", "failure"),
    [
        (hang_up, Failure.HUNG_UP),
        (reset_after_a_word, Failure.RESET),
        (reset, Failure.RESET),
        (say(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"), Failure.HTTP),
        (say(b"<!DOCTYPE HTML>\n<html>"), Failure.HTTP),
        (say(b"SSH-2.0-OpenSSH_9.2\r\n"), Failure.FOREIGN),
        (say(b"\x15\x03\x01\x00\x02\x02\x46"), Failure.FOREIGN),
        (say(b"\xff" + bytes(8) + b"\x7f\x01"), Failure.FOREIGN),
        (lambda connection: [say(GREETING[:10])(connection), hang_up(connection)], Failure.FOREIGN),
        (say(GREETING + b"\x04\x06\x05ERROR"), Failure.NOT_THIS_BROKER),
        (say(GREETING + b"\x04\x06\x05NONSE"), Failure.NOT_THIS_BROKER),
    ],
    ids=[
        "hang up",
        "reset",
        "reset at once",
        "http",
        "page",
        "ssh",
        "tls",
        "zmtp 2",
        "cut greeting",
        "cut error",
        "nonsense",
    ],
)
def test_what_answers_is_told_from_a_broker(node, serve, failure):
    with served(serve) as endpoint:
        node.open(endpoint)
        assert node.until_failed() == [Step.REACHED, failure]


def test_a_connection_that_was_reset_before_anybody_looked_was_reached(node):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        node.open(f"tcp://127.0.0.1:{listener.getsockname()[1]}")
        end, _ = listener.accept()
        reset(end)
        wait_until(lambda: dict(node.poll.poll(0)).get(node.brokers["b1"].descriptor, 0) & select.POLLERR, "reset")
        assert node.until_failed() == [Step.REACHED, Failure.RESET]


@pytest.mark.parametrize("mechanism", ["CURVE", "NULL", "PLAIN"])
def test_another_program_that_speaks_zeromq_is_told_from_a_broker(node, mechanism):
    with libzmq_router(mechanism) as endpoint:
        node.open(endpoint)
        step, failure = node.until_failed()
    assert step is Step.REACHED
    # Without CURVE both sides notice at once that they do not fit, and it may hang up before it has said anything.
    assert failure in ((Failure.HUNG_UP,) if mechanism == "CURVE" else (Failure.HUNG_UP, Failure.FOREIGN))


def test_a_broker_that_holds_another_key_is_not_this_one(node):
    broker = Broker(keys=new_pair())
    node.open(broker.endpoint)
    broker.greet(node)
    broker.close()
    assert node.until_failed() == [Step.REACHED, Failure.OTHER_KEY]


class QuietHandler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass


def test_a_web_server_is_known_at_once_though_it_waits_for_a_request(node):
    """It gets lines in the greeting, and answers what it cannot read."""
    with HTTPServer(("127.0.0.1", 0), QuietHandler) as server:
        server.timeout = WAIT_S_MAX
        with ThreadPoolExecutor() as pool:
            served = pool.submit(server.handle_request)
            node.open(f"tcp://127.0.0.1:{server.server_port}")
            assert node.until_failed() == [Step.REACHED, Failure.HTTP]
            served.result()


def refuse(status, why=""):
    def authorise(_key):
        raise Refusal(status, why=why)

    return authorise


@pytest.mark.parametrize(
    ("status", "failure"), [("400", Failure.NOT_REGISTERED), ("300", Failure.HUNG_UP), ("500", Failure.HUNG_UP)]
)
def test_a_key_that_is_not_registered_is_told_from_one_that_is_barred(node, status, failure):
    broker = Broker(authorise=refuse(status))
    node.open(broker.endpoint)
    broker.greet(node)
    assert node.until_failed() == [Step.REACHED, failure]
    broker.close()


@pytest.mark.parametrize(
    ("status", "why", "failure"),
    [
        ("400", "removed", Failure.REMOVED),
        ("400", "revoked", Failure.REVOKED),
        ("400", "expired", Failure.EXPIRED),
        ("300", "barred", Failure.BARRED),
        ("300", "throng", Failure.THRONG),
        ("500", "unjudged", Failure.UNJUDGED),
        ("400", "of a newer version", Failure.NOT_REGISTERED),
        ("300", "of a newer version", Failure.HUNG_UP),
    ],
)
def test_why_a_key_is_refused_is_told(node, status, why, failure):
    broker = Broker(authorise=refuse(status, why))
    node.open(broker.endpoint)
    broker.greet(node)
    assert node.until_failed() == [Step.REACHED, failure]
    broker.close()


def test_a_key_of_a_broker_that_is_none_fails_at_once_and_leaves_nothing(node, broker):
    assert node.open(broker.endpoint, key=bytes(32)) is Failure.NOT_THIS_BROKER
    assert node.brokers == {}


def test_what_is_no_address_is_unreachable(node):
    assert node.open("tcp://no.address:5555") is Failure.UNREACHABLE
    assert node.brokers == {}


@descriptors
def test_without_descriptors_there_is_no_room(node, broker):
    held = []
    with only(0):
        with suppress(OSError):
            while True:
                held.append(os.dup(broker.listener.fileno()))
        assert node.open(broker.endpoint) is Failure.NO_ROOM
    for each in held:
        os.close(each)
    assert node.brokers == {}
    assert node.open(broker.endpoint) is None


def test_the_end_of_a_session_is_told_behind_what_came_before_it(session):
    node, broker = session
    broker.stream.send([b"w" * 30 * KIB] * 20)
    broker.stream.close()
    assert node.until_failed()[-1] is Failure.CLOSED
    assert sum(len(frame) for _, frame in node.frames) == 600 * KIB
    for _ in range(3):
        node.dialer.look_closer()
        node.turn(0)
    assert node.steps.count(("b1", Failure.CLOSED)) == 1


def boxed(broker, command):
    """Return a command in a box of a broker's."""
    room = Room(HEAD_BYTES + len(command))
    room.view[HEAD_BYTES:] = command
    return bytes(room.view[broker.stream._engine._seal(room, len(command), 2) :])


def test_a_broker_that_breaks_the_rules_in_a_box_talks_nonsense(session):
    node, broker = session
    broker.end.sendall(boxed(broker, b"\x04WHAT"))
    assert node.until_failed()[-1] is Failure.NONSENSE


def test_what_anybody_on_the_way_may_have_changed_is_held_against_no_broker(session):
    node, broker = session
    sealed = bytearray(boxed(broker, b"\x04PONG"))
    sealed[-1] ^= 1
    broker.end.sendall(sealed)
    assert node.until_failed()[-1] is Failure.CHANGED
    assert Failure.CHANGED not in AGGRIEVING


def test_what_is_read_until_it_is_empty_has_an_end_though_it_makes_no_frames(session):
    node, broker = session
    pong = boxed(broker, b"\x04PONG")
    left = memoryview(pong + b"".join(boxed(broker, b"\x04PONG") for _ in range(40 * FRAMES_MAX)))
    stream = node.brokers["b1"]
    stream._connecting.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, MIB)
    while left:
        with suppress(BlockingIOError):
            left = left[broker.end.send(left) :]
        wait_until(lambda: stream.unread() > READ_BYTES, "more than a portion has come")
        before = stream.commands
        node.turn(0, until_empty=True)
        assert stream.commands - before <= FRAMES_MAX + READ_BYTES // len(pong)
    node.until(lambda: stream.commands == 40 * FRAMES_MAX + 1, "all have come")


def test_a_broker_that_takes_no_answers_to_its_pings_floods(session):
    node, broker = session
    stream = node.brokers["b1"]
    stream._connecting.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * KIB)
    broker.end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * KIB)
    left = memoryview(b"".join(boxed(broker, b"\x04PING\0\x64" + bytes(16)) for _ in range(120_000)))
    while left and not node.given_up:
        with suppress(BlockingIOError):
            left = left[broker.end.send(left) :]
        node.turn(0)
    assert node.given_up[0] == ("b1", Failure.FLOODED)
    assert stream.waiting_bytes <= MIB


def test_without_room_to_watch_a_connection_it_is_not_made(node, broker):
    def full(*_args, **_options):
        raise OSError(errno.ENOSPC, "no room")

    node.watch = full
    assert node.open(broker.endpoint) is Failure.NO_ROOM
    assert node.brokers == {}


def test_tcp_takes_every_patience_that_settings_allow(broker):
    node = Node(Settings(transport_heartbeat_s=1.0, transport_timeout_s=600.0))
    assert node.open(broker.endpoint) is None
    node.close()


def test_a_session_that_is_reset_is_closed(session):
    node, broker = session
    reset(broker.end)
    assert node.until_failed()[-1] is Failure.CLOSED


def test_a_broker_that_reads_too_slowly_is_given_up_and_what_never_left_comes_back():
    node, broker = Node(Settings(outbox_bytes_max=8 * MIB)), Broker()
    node.open(broker.endpoint)
    broker.greet(node)
    node.until_greeted()
    sent = []
    while not node.given_up:
        assert len(sent) < 1000, "nothing bounds what waits"
        sent.append(b"%06d" % len(sent) + bytes(100 * KIB - 6))
        node.dialer.send("b1", sent[-1:])
        node.turn(0)
    assert node.given_up == [("b1", Failure.TOO_SLOW)]
    unsent = node.dialer.close("b1")
    assert sum(map(len, unsent)) > 8 * MIB - 200 * KIB
    arrived = []
    wait_until(lambda: broker.stream.read(arrived) or broker.stream.end is not None, "it has ended", poll_s=0.0)
    assert arrived + unsent == sent
    broker.close()


def is_in_the_way(node, broker):
    """Whether a server cannot listen at the port of a connection, while that is open or right after."""
    node.steps.clear()
    assert node.open(broker.endpoint) is None
    broker.greet(node)
    node.until_greeted()
    address = node.brokers["b1"]._connecting.getsockname()
    try:
        with socket.create_server(address):
            pass
        node.dialer.close("b1")
        assert read_to_the_end(broker.stream) == []
        broker.stream.close()
        with socket.create_server(address):
            pass
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        node.dialer.close("b1")
        broker.stream.close()
        return True
    return False


def test_its_own_port_is_in_no_servers_way(node, broker):
    """The system gives ports to connections where brokers may want to listen, and remembers them for a minute.

    It may give one that somebody else's connection has, which is in the way whatever this one does: but not each time.
    """
    assert not all(is_in_the_way(node, broker) for _ in range(20))


@apart
def test_whoever_waits_for_a_port_leaves_nothing_there():
    """Sooner or later the system gives the port itself to a connection to it, which then reaches itself."""
    script = """
import socket, os
from tests.support.dialers import Node

kinds, met_itself = set(), 0
for _ in range(300):
    node = Node()
    failure = node.open("tcp://127.0.0.1:41010")
    if failure is None:
        own = node.brokers["b1"]._connecting.getsockname()[1]
        met_itself += own == 41010
        failure = node.until_failed()[-1]
    kinds.add(failure)
    node.close()
with socket.socket() as server:
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("0.0.0.0", 41010))
    server.listen()
print(*kinds, met_itself > 0)
"""
    setup = "ip link set lo up; echo 41000 41031 > /proc/sys/net/ipv4/ip_local_port_range"
    command = in_network(setup, [sys.executable, "-c", script])
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stdout) == (0, "nothing answers there True\n"), result.stderr


@apart
def test_a_host_that_says_nothing_gives_no_answer():
    script = """
from braidmq.settings import Settings
from tests.support.dialers import Node

node = Node(Settings(transport_timeout_s=0.3, transport_heartbeat_s=0.1))
print(node.open("tcp://10.9.9.9:5555") or node.until_failed()[-1])
node.close()
"""
    setup = "ip tuntap add dev void mode tun; ip addr add 10.9.9.1/24 dev void; ip link set void up"
    command = in_network(setup, [sys.executable, "-c", script])
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stdout) == (0, f"{Failure.NO_ANSWER}\n"), result.stderr


# -- reading


def test_a_turn_reads_a_bounded_number_of_bytes_and_says_what_is_left(session):
    node, broker = session
    broker.end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * MIB)
    broker.stream.send([b"f" * 60 * KIB] * 40)
    node.until(lambda: len(node.frames) >= 3, "some of it has come")
    told, expected = [], []

    def everything_has_come():
        broker.stream.flush()
        before = len(node.frames)
        node.turn()
        told.extend(node.dialer.unread())
        assert sum(len(frame) for _, frame in node.frames[before:]) <= 4 * 60 * KIB
        expected.append(node.dialer.has_more)
        return len(node.frames) == 40

    wait_until(everything_has_come, "everything has come", poll_s=0.0)
    assert any(size > 0 for _, size in told)
    assert told[-1] == ("b1", 0)
    assert any(expected)
    assert not expected[-1]


def test_reading_until_empty_is_bounded_as_well(session):
    node, broker = session
    broker.stream.send([b"x" * 9 * KIB] * 2000)  # bundles of 63 KiB
    wait_until(lambda: broker.stream.flush() or node.brokers["b1"].unread() > 60 * KIB, "some of it has come")
    broker.end.setblocking(True)

    def send_all():
        while broker.stream.blocked:
            broker.stream.flush()

    thread = threading.Thread(target=send_all)
    thread.start()
    sizes = []

    def everything_has_come():
        node.dialer.look_closer()
        before = len(node.frames)
        node.turn(0, until_empty=True)
        sizes.append(sum(len(frame) for _, frame in node.frames[before:]))
        assert len(node.frames) - before <= FRAMES_MAX + 8
        return sum(len(frame) for _, frame in node.frames) >= 2000 * 9 * KIB

    wait_until(everything_has_come, "everything has come", poll_s=0.0)
    thread.join()
    assert max(sizes) <= WAITING_BYTES_MAX // 2 + 256 * KIB


def test_reading_until_empty_is_bounded_in_frames_as_well(session):
    node, broker = session
    node.brokers["b1"]._connecting.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * MIB)
    broker.end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * MIB)
    for _ in range(20_000):
        broker.stream.send([b"x"])
    wait_until(lambda: broker.stream.flush() or node.brokers["b1"].unread() > 4 * READ_BYTES, "much has come")
    node.turn(until_empty=True)
    assert FRAMES_MAX < len(node.frames) <= FRAMES_MAX + READ_BYTES // (OVERHEAD_BYTES + 3)


def test_reading_until_empty_ends_with_the_connection(session):
    node, broker = session
    node.brokers["b1"]._connecting.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * MIB)
    half = bytes(READ_BYTES // 2 - 9 - OVERHEAD_BYTES)
    broker.stream.send([half, half])  # one portion exactly: more is expected after it
    broker.end.setblocking(True)
    broker.stream.flush()
    broker.stream.close()
    wait_until(lambda: node.brokers["b1"].unread() == READ_BYTES, "all of it has come")
    wait_until(lambda: node.turn(0, until_empty=True), "its end is told", poll_s=0.0)
    assert node.frames == [("b1", half), ("b1", half)]


def test_a_connection_that_was_closed_is_forgotten_whatever_was_marked(session):
    node, broker = session
    broker.stream.send([b"too late"])
    wait_until(node.brokers["b1"].unread, "it has come")
    node.dialer.look_closer()
    assert node.dialer.close("b1") == []
    assert node.turn(0) is False
    assert node.frames == []
    assert node.dialer.close("b1") == []
    node.dialer.send("b1", [b"nobody"])
    node.dialer.look_closer("b1")
    assert not node.dialer.has_more
    assert os.fstat(broker.end.fileno())


@pytest.mark.parametrize("command", [b"\x04PONG", b"\x04PING\0\x64"])
def test_a_broker_that_pings_without_end_floods_though_it_takes_the_answers(session, command, monkeypatch):
    monkeypatch.setattr(module, "monotonic", lambda: 100.0)  # all of it comes within a second
    node, broker = session
    broker.end.setblocking(True)
    pings = b"".join(boxed(broker, command) for _ in range(2 * PINGS_PER_S_MAX + 1))
    thread = threading.Thread(target=broker.end.sendall, args=(pings,))
    thread.start()
    node.until(lambda: node.given_up, "it is given up")
    thread.join()
    assert node.given_up[0] == ("b1", Failure.FLOODED)


def test_pings_as_many_as_come_after_a_standstill_are_no_flood(session, monkeypatch):
    now = 100.0
    monkeypatch.setattr(module, "monotonic", lambda: now)
    node, broker = session
    stream = node.brokers["b1"]
    for second in range(1, 4):
        broker.end.sendall(b"".join(boxed(broker, b"\x04PONG") for _ in range(PINGS_PER_S_MAX)))
        node.until(lambda second=second: stream.pings == second * PINGS_PER_S_MAX, "they have come")
        now += 1.0
    assert node.given_up == []


def test_a_message_longer_than_any_that_is_expected_ends_the_connection():
    node, broker = Node(message_bytes_max=MIB), Broker(tells={})  # knows nothing of fragments
    node.open(broker.endpoint)
    broker.greet(node)
    broker.stream.send([bytes(MIB + 1)])
    assert node.until_failed()[-1] is Failure.CHANGED
    node.close(), broker.close()
