"""What a broker reads of its members, over real sockets: portions, floods, what no member may do."""

import socket
from contextlib import suppress

import pytest

from braidmq.carrier.listener import (
    BYTES_PER_TURN,
    FRAME_BYTES,
    KEY_BYTES_PER_TURN,
    PORTION_BYTES_MIN,
    PORTION_FRAMES,
)
from braidmq.carrier.rooms import READ_BYTES
from braidmq.settings import KIB
from tests.support.listeners import is_open, listening, new_pair
from tests.support.zmtp import BOX_COMMAND, BOX_MORE, COMMAND, HandClient, framed, greeting

FRAME = b"f" * 60 * KIB
PING = b"\x04PING\x00\x64" + bytes(16)


def opened(rig, count, keys=None):
    return [rig.member(keys) for _ in range(count)]


# -- what comes


def test_frames_come_with_route_and_principal_in_order(rig):
    keys = new_pair()
    peer, other = rig.member(keys), rig.member()
    for number in range(20):
        peer.send([b"%d" % number])
    other.send([b"other"])
    rig.until(lambda: len(rig.frames) == 21, peer, other)
    mine = [each for each in rig.frames if each[0] == peer.near_route]
    assert mine == [(peer.near_route, keys.public.hex(), b"%d" % number) for number in range(20)]
    assert [each[2] for each in rig.frames if each[0] == other.near_route] == [b"other"]


def test_no_two_connections_have_one_route_and_none_begins_with_a_zero(rig):
    peers = opened(rig, 300)
    routes = {peer.near_route for peer in peers}
    assert len(routes) == 300
    assert {len(route) for route in routes} == {16}
    assert all(route[0] for route in routes)


def test_a_flood_gets_its_portion_of_a_turn_and_others_theirs(rig):
    flood, quiet = rig.member(), rig.member()
    flood.send([FRAME] * 100)
    quiet.send([b"quiet"])
    while len(rig.frames) < 101:
        flood.flush()
        came = rig.turn(1.0)
        assert sum(len(each[2]) for each in came if each[0] == flood.near_route) <= READ_BYTES + len(FRAME)
        assert [each[2] for each in rig.frames if each[0] == quiet.near_route] == [b"quiet"]


def test_many_floods_share_a_turn_and_each_gets_one_soon(rig):
    floods = opened(rig, 24)
    for peer in floods:
        peer.send([FRAME] * 20)
    turns = -(-len(floods) * READ_BYTES // BYTES_PER_TURN) + 1
    portions = []
    while len(rig.frames) < 20 * len(floods):
        for peer in floods:
            peer.flush()
        portions.append(rig.turn(1.0))
        assert sum(len(each[2]) for each in portions[-1]) <= 2 * BYTES_PER_TURN
    first = {each[0] for portion in portions[: 2 * turns] for each in portion}
    assert first == {peer.near_route for peer in floods}


def test_connections_of_one_key_share_what_one_gets_in_a_turn(rig):
    keys, other = new_pair(), rig.member()
    floods = [rig.member(keys) for _ in range(8)]
    for peer in (*floods, other):
        peer.send([FRAME] * 20)
    while len(rig.frames) < 9 * 20:
        for peer in (*floods, other):
            peer.flush()
        came = rig.turn(1.0)
        assert sum(len(each[2]) for each in came if each[1] == keys.public.hex()) <= KEY_BYTES_PER_TURN + 4 * len(FRAME)
        if [each[0] for each in rig.frames].count(other.near_route) < 20:
            assert other.near_route in {each[0] for each in came}, "it gets its portion in each turn"
    assert {each[0] for each in rig.frames} == {peer.near_route for peer in (*floods, other)}


def test_one_turn_reads_a_small_frame_of_each_connection_of_a_key(rig):
    keys = new_pair()
    peers = [rig.member(keys) for _ in range(16)]
    for peer in peers:
        peer.send([b"small"])
    assert len(rig.turn(1.0)) == 16


def test_of_a_flood_of_tiny_frames_few_are_read_in_a_turn(rig):
    floods, quiet = [rig.by_hand() for _ in range(4)], rig.member()
    for far, hand in floods:
        frames = b"".join(framed(hand.message(b"tiny", 3 + number)) for number in range(4_000))
        far.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * len(frames))
        far.sendall(frames)
    first = len(rig.turn(1.0))
    assert first <= READ_BYTES // 32
    quiet.send([b"quiet"])
    turns = 0
    while quiet.near_route not in {each[0] for each in rig.frames}:
        rig.turn()
        turns += 1
    assert turns <= len(floods) + 1, "all others have one long portion at most"
    while len(rig.frames) < 4 * 4_000 + 1:
        assert len(rig.turn(1.0)) <= BYTES_PER_TURN // FRAME_BYTES + 2 * PORTION_FRAMES


def test_who_sends_bundles_again_is_read_in_large_portions_again(rig):
    peer = rig.member()
    near = rig.listener._routes[peer.near_route]
    for _ in range(1_000):
        peer.send([b"tiny"])
    rig.until(lambda: len(rig.frames) == 1_000, peer)
    near.portion_bytes = PORTION_BYTES_MIN
    peer.send([FRAME])
    rig.until(lambda: len(rig.frames) == 1_001, peer)
    assert near.portion_bytes == READ_BYTES


def test_what_came_before_the_end_is_read_before_it(rig):
    peer = rig.member()
    route = peer.near_route
    peer.send([b"%d" % number for number in range(5)] + [FRAME] * 3)
    peer.close()
    rig.until(lambda: rig.gone)
    assert b"".join(each[2] for each in rig.frames) == b"01234" + 3 * FRAME
    assert rig.gone == {route: []}


def test_a_large_frame_in_pieces_is_one_frame_and_holds_nobody_up(rig):
    large, quiet = rig.member(), rig.member()
    size = rig.listener._settings.payload_bytes_max
    large.send([bytes(size)])
    seen = 0
    while not any(each[2] == bytes(size) for each in rig.frames):
        large.flush()
        quiet.send([b"quiet"])
        rig.turn(1.0)
        seen += 1
    assert seen >= size // READ_BYTES
    assert sum(each[2].count(b"quiet") for each in rig.frames) >= seen - 2


def test_what_a_member_says_right_behind_its_handshake_is_heard(rig):
    far, hand = rig.far(), HandClient(new_pair(), rig.pair.public)
    far.sendall(greeting() + framed(hand.hello(), COMMAND))
    came = b""
    while len(came) < 64 + 170:
        rig.turn(0.001)
        with suppress(BlockingIOError):
            came += far.recv(4096)
    hand.on_welcome(came[66:])
    words = framed(hand.message(b"first", 3)) + framed(hand.message(b"second", 4))
    far.sendall(framed(hand.initiate(), COMMAND) + words)
    rig.until(lambda: len(rig.frames) == 2)
    assert [each[2] for each in rig.frames] == [b"first", b"second"]


def test_commands_count_as_the_work_of_a_turn(rig):
    """They make no frames: without that, one key could fill a turn with them over many connections."""
    keys = new_pair()
    pings = [rig.by_hand(keys) for _ in range(8)]
    for far, hand in pings:
        far.sendall(b"".join(framed(hand.message(PING, number, BOX_COMMAND)) for number in range(3, 603)))
    rig.turn()
    seen = [sum(peer.commands for peer in rig.listener._peers.values())]
    while len(seen) < 100 and seen[-1] < 8 * 600:
        rig.turn()
        seen.append(sum(peer.commands for peer in rig.listener._peers.values()))
    assert seen[-1] == 8 * 600
    most = max(after - before for before, after in zip([0, *seen], seen, strict=False))
    assert most <= KEY_BYTES_PER_TURN // 1024 + READ_BYTES // 66


# -- what no member may do


@pytest.mark.parametrize(
    ("body", "flags", "what"),
    [
        (b"part", BOX_MORE, "sent a message of several frames"),
        (b"x", 0x80, "sent unknown flags in a MESSAGE"),
        (b"\x04WHAT", BOX_COMMAND, "sent an unknown command"),
        (b"\x04PING\x00\x64" + bytes(17), BOX_COMMAND, "sent a PING or PONG that is too long"),
    ],
)
def test_what_comes_out_of_a_box_is_told_of_its_key_behind_what_came_before(rig, body, flags, what):
    keys = new_pair()
    far, hand = rig.by_hand(keys)
    far.sendall(framed(hand.message(b"good", 3)) + framed(hand.message(body, 4, flags)) + framed(hand.message(b"x", 5)))
    rig.until(lambda: rig.gone)
    [route] = rig.gone
    assert [each[2] for each in rig.frames] == [b"good"]
    assert rig.breaches == [(route, keys.public.hex(), what)]
    assert not is_open(far)


@pytest.mark.parametrize(
    ("at", "what"), [(-1, "a MESSAGE that does not open"), (0, "flags of a frame that none of a box has")]
)
def test_what_anybody_on_the_way_may_have_done_is_told_of_nobody(rig, caplog, at, what):
    far, hand = rig.by_hand()
    good, bad = framed(hand.message(b"good", 3)), bytearray(framed(hand.message(b"bad", 4)))
    bad[at] ^= 1
    far.sendall(good + bad)
    rig.until(lambda: rig.gone)
    rig.turn()
    assert [each[2] for each in rig.frames] == [b"good"]
    assert rig.breaches == []
    assert f"does not keep to the protocol: {what}" in caplog.text


# -- where it listens


def test_it_listens_at_ipv6():
    with listening(bind="tcp://[::1]:0") as rig:
        assert rig.endpoint == f"tcp://[::1]:{rig.port}"
        peer = rig.member(family=socket.AF_INET6)
        peer.send([b"six"])
        rig.until(lambda: rig.frames, peer)


def test_the_wildcard_of_ipv6_takes_both():
    with listening(bind="tcp://[::]:0") as rig:
        for family in (socket.AF_INET, socket.AF_INET6):
            rig.member(family=family)
        assert len(rig.listener._routes) == 2


def test_a_port_is_free_at_once_after_the_end(rig):
    rig.member()
    rig.listener.close(0.0)
    with listening(bind=f"tcp://127.0.0.1:{rig.port}") as successor:
        successor.member()
