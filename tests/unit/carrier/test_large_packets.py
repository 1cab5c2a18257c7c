"""Paths that lose large packets: who is taken for stuck, who is in doubt and for how long, and what is remembered."""

import math
import socket
import sys

import pytest

from braidmq.carrier import stream as stream_module
from braidmq.carrier.large_packets import (
    JUMBO_BYTES,
    KNOWN_S,
    LOOK_S,
    LOOKS_MAX,
    PATHS_MAX,
    RETRANSMITS_MIN,
    SEGMENT_BYTES,
    Doubts,
    SmallPackets,
    Transit,
    shrink,
    transit_of,
)
from braidmq.carrier.stream import End
from braidmq.core.links.link import ABANDONED, Failure
from braidmq.lab.processes.waiting import wait_until
from tests.support.dialers import Broker, Node
from tests.support.streams import read_to_the_end, sockets, streams

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells enough of a connection")

STUCK = Transit(
    retransmits=RETRANSMITS_MIN,
    wait_us=800_000,
    segment_bytes=1_448,
    unacked=10,
    data_ms=5_000,
    ack_ms=100,
    acked_bytes=500,
)
LARGE = bytes(20_000)


class Sender:
    """A connection of which a test says what the system tells."""

    descriptor = 0

    def __init__(self, transit=STUCK, held_bytes=20_000):
        self.proven = False
        self.told = transit
        self.held = held_bytes
        self.looks = 0

    def transit(self):
        self.looks += 1
        return self.told

    def held_bytes(self):
        return self.held


def doubting(*senders, size=20_000):
    doubts = Doubts()
    for each in senders:
        doubts.note(each, size)
    return doubts


# -- who is stuck


def test_a_connection_is_stuck_over_which_nothing_gets_through_while_the_other_side_is_heard():
    assert STUCK.is_stuck
    assert STUCK._replace(data_ms=100, ack_ms=5_000).is_stuck


@pytest.mark.parametrize(
    "change",
    [
        {"retransmits": RETRANSMITS_MIN - 1},
        {"unacked": 0},
        {"segment_bytes": SEGMENT_BYTES},
        {"ack_ms": 400},
        {"ack_ms": 5_000},
    ],
    ids=["not long enough", "nothing under way", "small packets", "heard before it began", "nothing is heard"],
)
def test_a_connection_is_not_stuck(change):
    assert not STUCK._replace(**change).is_stuck


@linux
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_the_system_tells_of_a_connections_packets(family):
    host = "127.0.0.1" if family == socket.AF_INET else "::1"
    try:
        listener = socket.create_server((host, 0), family=family)
    except OSError:
        pytest.skip("there is no IPv6 here")
    with listener, socket.create_connection(listener.getsockname()[:2]) as near, listener.accept()[0]:
        before = transit_of(near).acked_bytes
        near.sendall(LARGE)
        wait_until(lambda: transit_of(near).unacked == 0, "all of it is acknowledged")
        told = transit_of(near)
        assert told.acked_bytes - before == len(LARGE)
        assert told.retransmits == 0
        assert 1_000 <= told.wait_us <= 10_000_000
        assert told.segment_bytes > SEGMENT_BYTES
        assert max(told.data_ms, told.ack_ms) < 60_000
        assert not told.is_stuck


def test_nothing_is_told_of_unix_sockets_and_of_what_is_closed():
    near, far = socket.socketpair(socket.AF_UNIX)
    with near, far:
        assert transit_of(near) is None
    here, there = sockets()
    here.close()
    there.close()
    assert transit_of(here) is None


@linux
@pytest.mark.parametrize("who", ["dialer", "listener"])
def test_small_packets_are_agreed_on_for_both_directions(who):
    with socket.socket() as listener, socket.socket() as near:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        shrink(near if who == "dialer" else listener)
        near.connect(listener.getsockname())
        far, _ = listener.accept()
        with far:
            assert transit_of(near).segment_bytes <= SEGMENT_BYTES
            assert transit_of(far).segment_bytes <= SEGMENT_BYTES


def test_a_unix_socket_has_no_packets_to_shrink():
    with socket.socket(socket.AF_UNIX) as near:
        shrink(near)


# -- who is in doubt


def test_a_stuck_connection_is_told_once():
    stuck = Sender()
    doubts = doubting(stuck, Sender(STUCK._replace(retransmits=0)))
    assert list(doubts.stuck(10.0)) == [stuck]
    assert list(doubts.stuck(20.0)) == []


def test_a_connection_is_proven_when_all_is_acknowledged_that_was_held_at_the_first_look():
    sender = Sender(STUCK._replace(retransmits=0, acked_bytes=1_000))
    doubts = doubting(sender)
    assert list(doubts.stuck(0.0)) == []
    sender.held += 5_000  # what is sent later says nothing of it
    sender.told = sender.told._replace(acked_bytes=20_999)
    assert list(doubts.stuck(1.0)) == []
    assert not sender.proven
    sender.told = sender.told._replace(acked_bytes=21_000)
    assert list(doubts.stuck(2.0)) == []
    assert sender.proven
    assert not doubts


def test_only_a_full_packet_proves_anything():
    sender = Sender(STUCK._replace(unacked=0), held_bytes=0)
    doubts = doubting(sender, size=STUCK.segment_bytes - 1)
    assert list(doubts.stuck(0.0)) == []
    assert not doubts
    assert not sender.proven
    doubts.note(sender, STUCK.segment_bytes)
    assert list(doubts.stuck(1.0)) == []
    assert sender.proven


def test_the_largest_frame_counts():
    sender = Sender(STUCK._replace(retransmits=0))
    doubts = doubting(sender, size=1_300)
    doubts.note(sender, 5_000)
    doubts.note(sender, 1_400)
    list(doubts.stuck(0.0))
    sender.told = sender.told._replace(acked_bytes=1_000_000)
    list(doubts.stuck(1.0))
    assert sender.proven


def test_a_loopback_is_proven_by_what_is_large_elsewhere():
    sender = Sender(STUCK._replace(segment_bytes=65_483, unacked=0), held_bytes=0)
    list(doubting(sender, size=JUMBO_BYTES).stuck(0.0))
    assert sender.proven


@pytest.mark.parametrize("told", [None, STUCK._replace(segment_bytes=SEGMENT_BYTES)], ids=["untold", "small"])
def test_a_connection_of_which_nothing_can_be_known_is_looked_at_once(told):
    sender = Sender(told)
    doubts = doubting(sender)
    assert list(doubts.stuck(0.0)) == []
    assert sender.proven
    assert not doubts


def test_connections_are_looked_at_now_and_then_as_long_as_one_is_in_doubt():
    doubts = Doubts()
    assert doubts.next_deadline() == math.inf
    sender = Sender(STUCK._replace(retransmits=0))
    doubts.note(sender, len(LARGE))
    list(doubts.stuck(5.0))
    assert doubts.next_deadline() == 5.0 + LOOK_S
    list(doubts.stuck(5.0 + 0.9 * LOOK_S))
    assert sender.looks == 1
    list(doubts.stuck(5.0 + LOOK_S))
    assert sender.looks == 2
    doubts.leave(sender)
    assert doubts.next_deadline() == math.inf
    doubts.leave(sender)


def test_so_many_are_looked_at_in_one_go_and_the_others_next():
    senders = [Sender(STUCK._replace(retransmits=0)) for _ in range(LOOKS_MAX + 10)]
    doubts = doubting(*senders)
    list(doubts.stuck(0.0))
    assert [each.looks for each in senders] == [1] * LOOKS_MAX + [0] * 10
    list(doubts.stuck(1.0))
    assert [each.looks for each in senders[-10:]] == [1] * 10
    assert sum(each.looks for each in senders) == 2 * LOOKS_MAX


def test_only_large_frames_put_a_connection_in_doubt_and_its_end_takes_it_out():
    server, client = streams()
    doubts = client._rooms.doubts
    client.send([b"s" * (SEGMENT_BYTES - 100)])
    assert not doubts
    client.send([LARGE])
    assert doubts
    client.close()
    assert not doubts
    server.close()


@linux
def test_large_frames_that_arrive_prove_a_connection():
    server, client = streams()
    doubts = client._rooms.doubts
    found = []
    client.send([LARGE])

    def is_proven():
        server.read(found)
        doubts._due = -math.inf
        assert list(doubts.stuck(0.0)) == []
        return client.proven

    wait_until(is_proven, "it is proven")
    client.send([LARGE])
    assert not doubts
    client.close()
    server.close()


# -- what is remembered


def test_a_path_is_remembered_for_a_time_and_told_of(caplog):
    paths = SmallPackets()
    paths.learn("b1", "tcp://10.0.0.1:5551", 100.0)
    assert paths.wanted("tcp://10.0.0.1:5551", 100.0 + KNOWN_S - 1.0)
    assert not paths.wanted("tcp://10.0.0.1:5551", 100.0 + KNOWN_S)
    assert not paths.wanted("tcp://10.0.0.2:5551", 100.0)
    [line] = caplog.messages
    assert line.startswith("b1 at tcp://10.0.0.1:5551: large packets are lost on the way there")
    assert f"packets of {SEGMENT_BYTES} bytes" in line


def test_no_more_than_so_many_paths_are_remembered():
    paths = SmallPackets()
    for number in range(PATHS_MAX):
        paths.learn("b", f"tcp://b{number}:1", 0.0)
    paths.learn("b", "tcp://b0:1", 1.0)
    paths.learn("b", "tcp://more:1", 1.0)
    assert [paths.wanted(f"tcp://{host}:1", 2.0) for host in ("b0", "b1", "b2", "more")] == [True, False, True, True]


# -- what follows


@pytest.fixture
def stuck(patch_cores):
    """Let every connection seem stuck, once its packets are not small."""

    def pretend(connection):
        real = transit_of(connection)
        return None if real is None else STUCK._replace(segment_bytes=real.segment_bytes)

    patch_cores.setattr(stream_module, "transit_of", pretend)


@linux
def test_a_node_ends_a_stuck_connection_and_makes_the_next_one_with_small_packets(stuck, caplog):
    node, broker = Node(), Broker()
    try:
        assert node.open(broker.endpoint) is None
        broker.greet(node)
        node.until_greeted()
        node.dialer.send("b1", [LARGE])
        node.until(lambda: node.given_up, "it is given up")
        assert node.given_up == [("b1", Failure.LARGE_LOST)]
        assert Failure.LARGE_LOST in ABANDONED, "what was sent may have come"
        node.dialer.close("b1")
        assert "large packets are lost" in caplog.text
        read_to_the_end(broker.stream)
        assert broker.stream.end is End.RESET, "its end does not wait behind what is stuck"
        caplog.clear()
        broker.stream.close()
        assert node.open(broker.endpoint) is None
        broker.accept()
        assert broker.stream.transit().segment_bytes <= SEGMENT_BYTES
        node.dialer.close("b1")
        assert caplog.text == ""
    finally:
        node.close()
        broker.close()


@linux
@pytest.mark.parametrize("proven", [False, True])
def test_a_connection_that_has_sent_no_large_packet_or_has_let_some_through_ends_for_another_reason(
    stuck, caplog, proven
):
    node, broker = Node(), Broker()
    try:
        assert node.open(broker.endpoint) is None
        broker.greet(node)
        node.until_greeted()
        if proven:
            node.brokers["b1"].proven = True
            node.dialer.send("b1", [LARGE])
        node.dialer.close("b1")
        assert caplog.text == ""
    finally:
        node.close()
        broker.close()


@linux
def test_a_node_learns_from_how_a_connection_stood_that_somebody_else_has_ended(stuck):
    node, broker = Node(), Broker()
    try:
        assert node.open(broker.endpoint) is None
        broker.greet(node)
        node.until_greeted()
        node.dialer.send("b1", [LARGE])
        node.dialer.close("b1")
        broker.stream.close()
        assert node.open(broker.endpoint) is None
        broker.accept()
        assert broker.stream.transit().segment_bytes <= SEGMENT_BYTES
    finally:
        node.close()
        broker.close()


@linux
def test_a_broker_ends_a_stuck_connection_and_gives_small_packets_to_all_who_come(rig, stuck, caplog):
    peer = rig.member()
    [near] = rig.listener._peers.values()
    assert near.transit().segment_bytes > SEGMENT_BYTES
    rig.listener.send({peer.near_route: [LARGE]})
    assert rig.listener.next_deadline() <= 0.0, "to look at it is due"
    rig.until(lambda: peer.ended, peer)
    assert len(rig.gone) == 1
    rig.until(lambda: "does not get large packets" in caplog.text)
    newcomer = rig.member()
    [near] = rig.listener._peers.values()
    assert near.transit().segment_bytes <= SEGMENT_BYTES
    rig.listener.send({newcomer.near_route: [LARGE]})
    rig.until(lambda: newcomer.heard, newcomer)
    assert newcomer.heard == [LARGE]
