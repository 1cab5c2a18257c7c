"""The ROUTER with real sockets: full pipes, slow readers and peers that are gone."""

from time import monotonic, sleep

import pytest
import zmq
from braidmq.carrier.router import SKIPPED_PER_TURN, Router
from braidmq.carrier.sockets import new_context
from braidmq.carrier.unread import COUNTED, FRAME_BYTES, LOOK_S, received
from braidmq.carrier.unwritten import SENT_BYTES_MAX, written
from braidmq.carrier.zap import ZapHandler

from braidmq.settings import KIB, Settings

MESSAGE = b"m" * 60 * KIB
LARGE = b"L" * 1024 * KIB

KERNEL_BYTES = 8 * 1024 * KIB
"""More than the kernel keeps of a connection, at both of its ends."""


def tick(router):
    """Let the router do what is due."""
    router.next_deadline()
    router.flush(monotonic())


class Everyone:
    """A directory that lets every key in."""

    def member(self, principal):
        return principal


@pytest.fixture
def rig():
    """A router, and a function that connects a peer and returns its socket and its route."""
    context, peers = new_context(), []
    zap = ZapHandler(context, Everyone())
    public, secret = zmq.curve_keypair()
    router = Router(context, Settings(outbox_bytes_max=1024 * KIB), secret)
    endpoint = router.bind("tcp://127.0.0.1:*")

    def connect(keys=None, *, slow=True):
        peer = context.socket(zmq.DEALER)
        peers.append(peer)
        peer.setsockopt(zmq.LINGER, 0)
        if slow:
            peer.setsockopt(zmq.RCVHWM, 1)
            peer.setsockopt(zmq.RCVBUF, 4 * KIB)
        peer.curve_publickey, peer.curve_secretkey = keys or zmq.curve_keypair()
        peer.curve_serverkey = public
        peer.connect(endpoint)
        peer.send(b"hello")
        seen = []

        def greeted():
            zap.answer()
            seen.extend(router.receive(monotonic(), until_empty=False))
            return seen

        wait(greeted)
        return peer, seen[0][0]

    yield router, connect
    for peer in peers:
        peer.close(0)
    router.close(0)
    zap.close()
    context.term()


def wait(condition, timeout=10.0):
    give_up_at = monotonic() + timeout
    while not condition():
        assert monotonic() < give_up_at
        sleep(0.002)


def test_a_peer_that_never_reads_is_given_up_at_the_limit(rig):
    router, connect = rig
    _peer, route = connect()
    sent, gone = 0, []
    while not gone:
        router.send({route: [MESSAGE]})
        sent += len(MESSAGE)
        gone = router.take_gone(monotonic())
        assert sent < 200 * 1024 * KIB, "nothing bounds what waits for it"
    assert gone[0][0] == route
    assert gone[0][1], "what did not leave comes back"
    assert sum(map(len, gone[0][1])) <= 1024 * KIB + len(MESSAGE)


def test_the_limit_is_one_for_all_connections_of_a_key(rig):
    router, connect = rig
    keys = zmq.curve_keypair()
    routes = [connect(keys)[1] for _ in range(4)]
    _other, other_route = connect()
    sent, gone = dict.fromkeys(routes, 0), []
    while not gone:
        for route in routes:
            if route not in dict(gone):
                router.send({route: [MESSAGE]})
                sent[route] += len(MESSAGE)
                gone += router.take_gone(monotonic())
        assert sum(sent.values()) < 400 * 1024 * KIB, "nothing bounds what waits for it"
    assert sum(router._held_bytes.values()) <= 1024 * KIB
    router.send({other_route: [MESSAGE]})
    assert router.take_gone(monotonic()) == []


@pytest.mark.skipif(not COUNTED, reason="nothing tells what libzmq holds")
def test_libzmq_is_handed_no_more_large_messages_than_it_may_hold(rig):
    router, connect = rig
    _peer, route = connect()
    sent = 0
    while route not in router._blocked:
        router.send({route: [LARGE]})
        sent += len(LARGE)
        assert sent < SENT_BYTES_MAX + KERNEL_BYTES + 2 * len(LARGE), "nothing bounds what libzmq holds"
    held = router._pipes[route].handed - written(router._fd_of[route])
    assert held < SENT_BYTES_MAX + len(LARGE)


@pytest.mark.skipif(not COUNTED, reason="nothing tells what libzmq holds")
@pytest.mark.parametrize("size", [100, 1000, 300 * KIB])
def test_who_reads_is_never_taken_for_full(rig, size):
    router, connect = rig
    peer, route = connect(slow=False)
    peer.setsockopt(zmq.RCVTIMEO, 10_000)
    count = 3 * SENT_BYTES_MAX // max(size, 10 * KIB)
    for _ in range(count):
        router.send({route: [bytes(size)]})
        assert len(peer.recv()) == size
        router.has_more()  # as in each turn: libzmq learns that its peer has read
        assert route not in router._blocked
    pipe, fd = router._pipes[route], router._fd_of[route]
    assert not pipe.is_full(fd)
    assert pipe.handed <= written(fd), "what has left does not count"


@pytest.mark.skipif(not COUNTED, reason="nothing tells what libzmq holds")
def test_large_messages_that_waited_leave_in_order(rig):
    router, connect = rig
    router._outbox_bytes_max = 1024 * 1024 * KIB
    peer, route = connect(slow=False)
    count = 40
    router.send({route: [b"%08d" % number + LARGE for number in range(count)]})
    assert route in router._blocked
    seen = []

    def everything():
        tick(router)
        while peer.poll(0):
            seen.append(int(peer.recv()[:8]))
        return len(seen) == count

    wait(everything)
    assert seen == list(range(count))
    assert (router._blocked, router._held_bytes, router.take_gone(monotonic())) == ({}, {}, [])


@pytest.mark.skipif(not COUNTED, reason="nothing tells of a connection")
def test_the_connection_of_who_is_given_up_is_ended(rig):
    router, connect = rig
    router.on_monitor(monotonic())
    _peer, route = connect()
    router.on_monitor(monotonic())
    fd = router._fd_of[route]
    while not router.take_gone(monotonic()):
        router.send({route: [MESSAGE]})
    wait(lambda: written(fd) is None)


def test_a_message_of_many_frames_is_dropped_and_told_and_what_follows_is_read(rig):
    router, connect = rig
    peer, route = connect()
    count = 2 * SKIPPED_PER_TURN + 7
    peer.send_multipart([b""] * count)
    peer.send(b"after")
    seen = []

    def received():
        seen.extend(router.receive(monotonic(), until_empty=True))
        return seen

    wait(received)
    assert [(each[0], each[2]) for each in seen] == [(route, b"after")]
    assert [each[::2] for each in router.breaches()] == [(route, "sent a message of several frames")]
    assert router.breaches() == []


@pytest.mark.skipif(not COUNTED, reason="nothing tells what is unread")
def test_a_flood_that_is_not_read_is_told_once(rig):
    router, connect = rig
    router._unread_bytes_max = 1024 * KIB
    peer, route = connect()
    _other, quiet = connect()
    flood = [b"x" * KIB] * 4 * KIB
    for frame in flood:
        peer.send(frame)
    fd = router._fd_of[route]
    wait(lambda: received(fd) > len(flood) * KIB)
    seen, now = [], monotonic()

    def read():
        nonlocal now
        now += LOOK_S
        found = router.receive(now, until_empty=True)
        seen.extend(found)
        return len(seen) == len(flood)

    wait(read)
    assert quiet not in {each[0] for each in seen}
    assert [each[::2] for each in router.breaches()] == [(route, "sends more than can be read")]


@pytest.mark.skipif(not COUNTED, reason="nothing tells what is unread")
def test_what_is_read_as_it_comes_is_no_flood_however_much_it_is(rig):
    router, connect = rig
    router._unread_bytes_max = 64 * KIB
    peer, route = connect()
    for _ in range(20):
        for _ in range(300):
            peer.send(b"")
        seen = []

        def all_of_it(seen=seen):
            seen.extend(router.receive(monotonic() + 1_000 * len(seen), until_empty=True))
            return len(seen) == 300

        wait(all_of_it)
    unread = received(router._fd_of[route]) - router._taken[route]
    assert -20 * 300 * FRAME_BYTES < unread <= 0
    assert router.breaches() == []


def test_a_connection_that_is_cut_is_gone_whatever_its_peer_does(rig):
    router, connect = rig
    router.on_monitor(monotonic())
    _peer, route = connect()
    router.on_monitor(monotonic())
    router.cut(route)
    gone = []

    def told():
        router.on_monitor(monotonic())
        tick(router)
        gone.extend(router.take_gone(monotonic()))
        return gone

    wait(told)
    assert [each[0] for each in gone] == [route]


def test_what_a_full_pipe_did_not_take_leaves_in_order_once_there_is_room(rig):
    router, connect = rig
    peer, route = connect()
    count = 0
    while router.next_deadline() is None:  # until its pipe is full
        router.send({route: [b"%08d" % count + MESSAGE]})
        count += 1
    router.send({route: [b"%08d" % count + MESSAGE]})
    received = []

    def everything():
        tick(router)
        while peer.poll(0):
            received.append(int(peer.recv()[:8]))
        return len(received) == count + 1

    wait(everything)
    assert received == list(range(count + 1))
    assert router.take_gone(monotonic()) == []


def test_a_peer_that_is_gone_is_told_with_what_was_not_sent(rig):
    router, connect = rig
    peer, route = connect()
    peer.close(0)
    gone = []

    def told():
        router.on_monitor(monotonic())
        tick(router)
        gone.extend(router.take_gone(monotonic()))
        return gone

    wait(told)
    assert gone[0][0] == route
    router.send({route: [b"late"]})
    assert router.take_gone(monotonic()) == [(route, [b"late"])]
