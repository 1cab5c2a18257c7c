"""A broker and messages in fragments: what a key may have of them, for how long, and what it is given in return."""

import socket
from contextlib import suppress

import pytest

from braidmq.carrier.crowding import wait_s_max
from braidmq.carrier.fragments import FRAGMENT_BYTES, LAST, MORE
from braidmq.carrier.options import NOTSENT_BYTES
from braidmq.carrier.reassembly import joining_bytes_max
from braidmq.carrier.rooms import READ_BYTES
from braidmq.settings import KIB, Settings
from braidmq.wire.envelope import REQUEST, Envelope, encode
from braidmq.zmtp.engine import HEAD_BYTES
from braidmq.zmtp.sodium import Room
from tests.support.listeners import listening, new_pair
from tests.support.streams import reset
from tests.support.zmtp import framed

PIECE = bytes((MORE,)) + b"f" * FRAGMENT_BYTES
LARGE = encode(Envelope(REQUEST, bytes(16), service=b"s", payload=b"p" * 900 * KIB))
SMALL = encode(Envelope(REQUEST, bytes(16), service=b"s"))


def use_of(rig, keys):
    return rig.listener._keys._uses[keys.public.hex()]


def begin(rig, peer, pieces):
    """Let a member send the first fragments of a message, and nothing more of it."""
    near = rig.listener._routes[peer.near_route]
    before = near.joining_bytes
    for _ in range(pieces):
        peer.send([PIECE])
    rig.until(lambda: peer.end is not None or near.joining_bytes == before + pieces * FRAGMENT_BYTES, peer)


def test_large_messages_come_and_go_and_small_ones_in_between(rig):
    peer = rig.member(receive_bytes=4 * KIB)
    peer._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * KIB)
    peer.send([LARGE])
    peer.send([SMALL])
    rig.until(lambda: len(rig.frames) == 2, peer)
    assert [frame for _, _, frame in rig.frames] == [SMALL, LARGE]
    rig.listener.send({peer.near_route: [LARGE]})
    rig.listener.send({peer.near_route: [SMALL]})
    rig.until(lambda: len(peer.heard) == 2, peer)
    assert peer.heard == [SMALL, LARGE]


def test_a_member_that_knows_nothing_of_fragments_gets_and_sends_whole_messages(rig):
    peer = rig.member(tells={}, receive_bytes=4 * KIB)
    rig.listener.send({peer.near_route: [LARGE]})
    rig.listener.send({peer.near_route: [SMALL]})
    peer.send([LARGE])
    rig.until(lambda: len(peer.heard) == 2 and rig.frames, peer)
    assert peer.heard == [LARGE, SMALL]
    assert rig.frames[0][2] == LARGE
    assert peer.commands == 0


def begun(rig, keys, count):
    """Return members with one key, each of which has begun a message, which together are more than the key may have."""
    peers = [rig.member(keys) for _ in range(count)]
    for peer in peers[:-1]:
        begin(rig, peer, 6)
    for _ in range(6):
        peers[-1].send([PIECE])
    rig.until(lambda: any(rig.listener._routes[peer.near_route].waits for peer in peers), *peers)
    return peers


def waiting(rig, peers):
    return [peer for peer in peers if peer.near_route is not None and rig.listener._routes[peer.near_route].waits]


def test_who_has_begun_too_much_is_read_one_at_a_time_until_there_is_room_and_loses_nothing(rig):
    keys, most = new_pair(), joining_bytes_max(rig.listener._settings)
    peers = begun(rig, keys, 4)
    use = use_of(rig, keys)
    assert len(waiting(rig, peers)) == len(use.joining) - 1
    assert most < use.joining_bytes < most + 6 * FRAGMENT_BYTES
    other = rig.member()
    other.send([LARGE])
    rig.until(lambda: rig.frames, other)
    assert rig.frames.pop()[2] == LARGE, "other keys feel nothing of it"
    for peer in peers:
        peer.send([bytes((LAST,)) + b"end"])
    rig.until(lambda: len(rig.frames) == len(peers), *peers)
    assert waiting(rig, peers) == []
    assert use.joining_bytes == 0
    assert not any(peer.ended for peer in peers)
    for peer in peers:
        peer.send([SMALL])
    rig.until(lambda: len(rig.frames) == 2 * len(peers), *peers)


def test_the_one_that_goes_on_may_take_longer_than_one_that_does_not(rig):
    rig.now = 100.0
    peers = begun(rig, new_pair(), 4)
    held = waiting(rig, peers)
    (ahead,) = (peer for peer in peers if peer not in held)
    step_s = wait_s_max(rig.listener._settings)
    for _ in range(4):
        rig.now += 0.9 * step_s
        begin(rig, ahead, 1)
        rig.turn()
    assert not any(peer.ended for peer in peers)
    rig.now += step_s
    rig.until(lambda: ahead.ended, *peers)
    rig.until(lambda: waiting(rig, peers) == [])  # there is room without it
    assert not any(peer.ended for peer in held)


def test_where_none_goes_on_one_after_the_other_is_ended_until_there_is_room_and_that_is_told(rig, caplog):
    rig.now = 100.0
    keys, most = new_pair(), joining_bytes_max(rig.listener._settings)
    peers = begun(rig, keys, 4)
    use = use_of(rig, keys)
    assert rig.listener.next_deadline() == 100.0 + wait_s_max(rig.listener._settings)
    rig.now += wait_s_max(rig.listener._settings)
    rig.until(lambda: use.joining_bytes <= most and not waiting(rig, peers), *peers)
    assert sum(peer.ended for peer in peers) < len(peers)
    rig.until(lambda: "has begun more than one key may have, and does not go on with it" in caplog.text)
    assert rig.breaches == []


def test_one_that_waits_and_ends_is_noticed(rig):
    rig.now = 100.0
    peers = begun(rig, new_pair(), 4)
    gone, *_ = waiting(rig, peers)
    route = gone.near_route
    reset(gone._socket)
    rig.until(lambda: route in rig.gone)


def test_what_a_key_has_begun_whole_counts_as_well(rig):
    keys, part = new_pair(), 600 * KIB
    use = None
    for count in (1, 2):  # the second one is more than it may have
        far, hand = rig.by_hand(keys)
        use = use or use_of(rig, keys)
        left = memoryview(framed(hand.message(LARGE, 3)))[:part]

        def all_is_sent(far=far):
            nonlocal left
            with suppress(BlockingIOError):
                left = left[far.send(left) :]
            return not left

        rig.until(all_is_sent)
        rig.until(lambda use=use, count=count: use.joining_bytes == count * part)
    rig.until(lambda: [peer.waits for peer in rig.listener._peers.values()].count(True) == 1)
    assert use.connections == 2


def test_what_it_has_begun_is_given_back_when_it_is_complete_or_the_connection_ends(rig):
    keys = new_pair()
    one, two = rig.member(keys), rig.member(keys)
    use = use_of(rig, keys)
    begin(rig, one, 2)
    begin(rig, two, 3)
    assert use.joining_bytes == 5 * FRAGMENT_BYTES
    one.send([bytes((LAST,)) + b"end"])
    rig.until(lambda: rig.frames, one)
    assert use.joining_bytes == 3 * FRAGMENT_BYTES
    two.close()
    rig.until(lambda: use.connections == 1)
    assert use.joining_bytes == 0
    assert rig.listener.next_deadline() is None


def test_what_does_not_go_on_ends_its_connection_though_the_member_says_other_things(rig):
    rig.now = 100.0
    stalled, going = rig.member(), rig.member()
    for peer in (stalled, going):
        peer.send([SMALL])
    rig.until(lambda: len(rig.frames) == 2, stalled, going)
    begin(rig, stalled, 1)
    begin(rig, going, 1)
    assert rig.listener.next_deadline() == 160.0
    rig.now = 159.0
    begin(rig, going, 1)
    stalled.send([SMALL])
    rig.until(lambda: len(rig.frames) == 3, stalled)
    rig.now = 160.0
    rig.until(lambda: stalled.ended, stalled, going)
    assert not going.ended
    assert rig.listener.next_deadline() == 219.0


@pytest.mark.parametrize("frame", [PIECE + b"!" * 10, bytes((LAST,)) + b"alone", bytes((MORE,))])
def test_a_fragment_that_nobody_may_send_is_a_breach(rig, frame):
    peer = rig.member()
    peer.send([frame])
    rig.until(lambda: rig.breaches, peer)
    assert len(rig.breaches) == 1
    assert peer.near_route is None


def test_fragments_of_one_key_give_others_their_turn(rig):
    """Fragments are no frames, but count as the work of as many."""
    keys = new_pair()
    peer = rig.member(keys)
    near = rig.listener._routes[peer.near_route]
    for _ in range(2000):
        peer.send([bytes((MORE,)) + b"t"])
    portions = []
    rig.until(lambda: portions.append(near.portion_bytes) or near.joining_bytes == 2000, peer)
    assert near.commands == 2000
    assert min(portions) < READ_BYTES


def test_the_system_keeps_little_that_has_not_gone_out(rig):
    if not hasattr(socket, "TCP_NOTSENT_LOWAT"):
        pytest.skip("this system does not know it")
    peer = rig.member()
    near = rig.listener._routes[peer.near_route]
    assert near._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == NOTSENT_BYTES


def ping(peer):
    """Return a PING of a member, in its box."""
    room = Room(HEAD_BYTES + 23)
    room.view[HEAD_BYTES:] = b"\x04PING\0\x64" + bytes(16)
    begin = peer._engine._seal(room, 23, 2)
    return bytes(room.view[begin:])


def test_who_is_ended_for_what_waits_with_a_large_message_under_way_takes_nothing_from_its_keys_count():
    keys = new_pair()
    with listening(Settings.test(outbox_bytes_max=64 * KIB, in_flight_bytes_max=64 * KIB)) as rig:
        evil, other = rig.member(keys, receive_bytes=4 * KIB), rig.member(keys)
        for peer in (evil, other):
            peer.send([bytes((MORE,)) + bytes(2000)])
        rig.until(lambda: use_of(rig, keys).joining_bytes == 4000, evil, other)
        evil.reads = False
        rig.listener._routes[evil.near_route]._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * KIB)
        left = memoryview(b"".join(ping(evil) for _ in range(20_000)))

        def it_is_ended():
            nonlocal left
            with suppress(BlockingIOError, ConnectionError):
                left = left[evil._socket.send(left) :]
            return len(rig.listener._peers) == 1

        rig.until(it_is_ended)
        assert use_of(rig, keys).joining_bytes == 2000
        other.close()
        rig.until(lambda: not rig.listener._peers)
        assert len(rig.listener._keys) == 0


def test_the_operator_is_told_who_keeps_room_in_vain(rig, caplog):
    rig.now = 100.0
    keys = new_pair()
    peer = rig.member(keys)
    peer.send([SMALL])
    rig.until(lambda: rig.frames, peer)
    begin(rig, peer, 1)
    rig.now = 100.0 + rig.listener._settings.transport_timeout_s
    rig.until(lambda: "does not go on with a large message" in caplog.text, peer)
    silent = rig.member(keys)
    rig.now += 60.0
    rig.until(lambda: silent.end is not None, silent)
    rig.until(lambda: "has said nothing since its handshake" in caplog.text)
