"""What a broker sends to its members, over real sockets: slow readers, connections that are cut, the end."""

import socket
import struct
import threading
from contextlib import contextmanager

import pytest

from braidmq.carrier.cuts import LINGER_S
from braidmq.carrier.rooms import READ_BYTES
from braidmq.carrier.stream import End
from braidmq.settings import KIB
from braidmq.zmtp.violation import Refusal
from tests.support.listeners import WAIT_S_MAX, is_open, listening, new_pair
from tests.support.zmtp import BOX_COMMAND, framed

FRAME = b"f" * 60 * KIB
PING = b"\x04PING\x00\x64" + bytes(16)
RESET = struct.pack("ii", 1, 0)


# -- what waits


def test_a_peer_that_never_reads_is_ended_at_the_limit_and_what_it_did_not_get_comes_back(rig):
    peer = rig.member(receive_bytes=4 * KIB)
    peer.reads = False
    route, sent = peer.near_route, []
    while not rig.gone:
        message = b"%08d" % len(sent) + FRAME
        rig.listener.send({route: [message]})
        sent.append(message)
        rig.turn()
        assert len(sent) < 1_000, "nothing bounds what waits for it"
    assert list(rig.gone) == [route]
    assert 900 * KIB < sum(map(len, rig.gone[route])) < 1100 * KIB + 2 * len(FRAME)
    while peer.end is None:
        peer.read(peer.heard)
    got, unsent = b"".join(peer.heard), b"".join(rig.gone[route])
    assert got + unsent == b"".join(sent), "each message has either left whole or comes back, in order"


def test_the_limit_is_one_for_all_connections_of_a_key_and_no_other_key_feels_it(rig):
    keys = new_pair()
    slow = [rig.member(keys, receive_bytes=4 * KIB) for _ in range(4)]
    other = rig.member()
    for peer in slow:
        peer.reads = False
    routes, sent = [peer.near_route for peer in slow], 0
    while not rig.gone:
        for route in routes:
            rig.listener.send({route: [FRAME]})
            sent += 1
        rig.turn()
        assert sent < 1_000, "nothing bounds what waits for it"
        assert rig.listener._keys.enter(keys.public.hex()).held_bytes <= 1024 * KIB
        rig.listener._keys.leave(rig.listener._keys.enter(keys.public.hex()))
    rig.listener.send({other.near_route: [b"fine"]})
    rig.until(lambda: other.heard == [b"fine"], other)
    assert set(rig.gone) < set(routes)


def test_what_waited_leaves_in_order_once_there_is_room(rig):
    peer = rig.member(receive_bytes=4 * KIB)
    route, count = peer.near_route, 0
    while not rig.listener._routes[route].blocked:
        rig.listener.send({route: [b"%08d" % count + FRAME]})
        count += 1
    for _ in range(5):
        rig.listener.send({route: [b"%08d" % count + FRAME]})
        count += 1
    size = 8 + len(FRAME)
    rig.until(lambda: sum(map(len, peer.heard)) == count * size, peer)
    everything = b"".join(peer.heard)
    assert [int(everything[at : at + 8]) for at in range(0, count * size, size)] == list(range(count))
    near = rig.listener._routes[route]
    assert (near.held, near.use.held_bytes, near.waits_to_write) == (0, 0, False)
    assert rig.gone == {}


def test_what_is_for_a_connection_that_has_just_ended_comes_back(rig):
    """The core learns of the end after what came before it, and may answer to that in between."""
    peer = rig.member()
    route = peer.near_route
    peer.send([b"question"])
    peer.close()
    while not rig.frames:
        for descriptor, only_writable in rig.poller.wait(1.0):
            rig.listener.mark(descriptor, only_writable=only_writable)
        rig.frames += rig.listener.frames(0.0)
    while route in rig.listener._routes:
        for descriptor, only_writable in rig.poller.wait(1.0):
            rig.listener.mark(descriptor, only_writable=only_writable)
        rig.listener.frames(0.0)
    rig.listener.send({route: [b"answer"]})
    rig.listener.send({route: [b"more"]})
    assert rig.listener.take_gone(0.0) == [(route, [b"answer", b"more"])]
    assert rig.listener.take_gone(0.0) == []


def test_pings_are_answered(rig):
    far, hand = rig.by_hand()
    far.sendall(framed(hand.message(PING, 3, BOX_COMMAND)))
    came = b""
    while len(came) < 2 + 33 + len(PING) - 2:
        rig.turn(1.0)
        try:
            came += far.recv(4096)
        except BlockingIOError:
            continue
    assert hand.open_message(came[2:]) == (BOX_COMMAND, b"\x04PONG" + bytes(16))


def flood_with_pings(rig):
    """Send PINGs until no more is taken, and read no answers; return both ends."""
    far, hand = rig.by_hand(receive_bytes=4 * KIB)
    [near] = rig.listener._peers.values()
    nonce, unsent, idle = 3, b"", 0
    while idle < 50:
        if not unsent:
            unsent = b"".join(framed(hand.message(PING, nonce + number, BOX_COMMAND)) for number in range(200))
            nonce += 200
        try:
            count = far.send(unsent)
        except BlockingIOError:
            count = 0
        unsent = unsent[count:]
        rig.turn()
        idle = 0 if count else idle + 1
        assert near.waiting_bytes <= 2 * READ_BYTES
    assert not near.reads
    return far, near


@pytest.mark.nightly
def test_whoever_reads_no_answers_to_pings_is_not_read_and_later_is(rig):
    far, near = flood_with_pings(rig)
    assert rig.told == [], "nothing spins"
    while not near.reads:
        is_open(far)
        rig.turn(0.01)
    assert is_open(far)
    assert rig.gone == {}


@pytest.mark.nightly
def test_the_end_of_who_reads_no_answers_to_pings_is_noticed(rig):
    far, near = flood_with_pings(rig)
    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    far.close()
    rig.until(lambda: rig.gone)
    assert rig.gone == {near.route: []}


# -- connections that are cut


def test_a_cut_comes_behind_what_was_sent_and_nothing_more_is_heard(rig):
    peer = rig.member(receive_bytes=4 * KIB)
    route = peer.near_route
    near = rig.listener._routes[route]
    near._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * KIB)
    rig.now = 100.0  # time stands still, and ends nothing
    rig.listener.send({route: [FRAME] * 10 + [b"farewell"]})
    rig.listener.cut(route)
    peer.send([b"too late"])
    rig.turn(1.0)
    assert near.waiting_bytes > len(FRAME)
    rig.until(lambda: peer.ended, peer)
    peer.close()
    rig.until(lambda: rig.gone)
    assert b"".join(peer.heard) == 10 * FRAME + b"farewell"
    assert rig.gone == {route: []}
    assert rig.frames == []


def test_who_never_closes_a_connection_that_was_cut_loses_it_in_time(rig):
    peer = rig.member()
    route = peer.near_route
    rig.now = 100.0
    rig.listener.cut(route)
    assert rig.listener.next_deadline() < 100.0
    rig.turn()
    assert rig.listener.next_deadline() == 100.0 + LINGER_S
    rig.now = 99.9 + LINGER_S
    rig.turn()
    assert rig.gone == {}
    rig.now = 100.0 + LINGER_S
    rig.turn()
    assert rig.gone == {route: []}
    assert rig.listener.next_deadline() is None


def test_who_reads_nothing_of_a_connection_that_was_cut_loses_it_in_time_and_the_rest_comes_back(rig):
    peer = rig.member(receive_bytes=4 * KIB)
    peer.reads = False
    route = peer.near_route
    while not rig.listener._routes[route].blocked:
        rig.listener.send({route: [FRAME]})
    rig.listener.send({route: [b"the last one"]})
    rig.now = 100.0
    rig.listener.cut(route)
    rig.turn()
    rig.now = 100.0 + LINGER_S
    rig.turn()
    assert rig.gone[route][-1] == b"the last one"


def test_a_route_that_is_gone_can_be_cut(rig):
    peer = rig.member()
    route = peer.near_route
    rig.listener.cut(route)
    rig.listener.cut(route)
    peer.close()
    rig.until(lambda: rig.gone)
    rig.listener.cut(route)
    rig.turn()
    assert rig.listener.next_deadline() is None


@contextmanager
def forgetful():
    """Yield a listener, and the keys that it does not let in any more."""
    unwelcome = set()

    def authorise(key):
        if key.hex() in unwelcome:
            raise Refusal("400")
        return key.hex()

    with listening(authorise=authorise) as rig:
        yield rig, unwelcome


def test_all_connections_of_a_key_that_would_not_be_let_in_any_more_are_cut_with_the_first():
    with forgetful() as (rig, unwelcome):
        keys = new_pair()
        theirs, other = [rig.member(keys) for _ in range(3)], rig.member()
        unwelcome.add(keys.public.hex())
        routes = [peer.near_route for peer in theirs]
        rig.listener.cut(routes[0])
        rig.until(lambda: len(rig.gone) == 3, *theirs)
        assert rig.gone.keys() == set(routes)
        other.send([b"still here"])
        rig.until(lambda: rig.frames, other)


def test_who_is_not_let_in_any_more_is_cut_at_a_review():
    with forgetful() as (rig, unwelcome):
        keys = new_pair()
        gone, other = rig.member(keys), rig.member()
        unwelcome.add(keys.public.hex())
        route = gone.near_route
        rig.listener.review()
        rig.until(lambda: rig.gone, gone)
        assert rig.gone.keys() == {route}
        assert other.near_route in rig.listener._routes


# -- the end


def test_what_waits_leaves_before_the_end(rig):
    peer = rig.member(receive_bytes=4 * KIB)
    route, sent = peer.near_route, 0
    while not rig.listener._routes[route].blocked:
        rig.listener.send({route: [FRAME]})
        sent += 1
    rig.listener.send({route: [b"farewell"]})
    ending = threading.Thread(target=rig.listener.close, args=(WAIT_S_MAX,))
    ending.start()
    while not peer.ended:
        peer.serve()
    peer.close()
    ending.join()
    assert b"".join(peer.heard) == sent * FRAME + b"farewell"
    assert peer.end is End.CLOSED
