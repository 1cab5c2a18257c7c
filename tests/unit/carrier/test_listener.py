"""A broker's connections with real sockets: floods, slow readers, storms, limits, and ends of all kinds."""

import socket
import struct
import threading

import pytest

from braidmq.carrier import listener as module
from braidmq.carrier.doorstep import ADDRESS_CONNECTIONS_MAX, STALE_S
from braidmq.carrier.entrance import PAUSE_S
from braidmq.carrier.gate import Throng
from braidmq.carrier.listener import (
    ACCEPTED_PER_TURN,
    BYTES_PER_TURN,
    FRAME_BYTES,
    HANDSHAKES_PER_TURN,
    KEY_BYTES_PER_TURN,
    LINGER_S,
    PORTION_BYTES_MIN,
    PORTION_FRAMES,
)
from braidmq.carrier.stream import READ_BYTES, End
from braidmq.settings import KIB, Settings
from braidmq.zmtp.violation import Refusal
from tests.support.listeners import WAIT_S_MAX, Far, is_open, listening, new_pair
from tests.support.scarcity import descriptors, only
from tests.support.zmtp import BOX_COMMAND, BOX_MORE, COMMAND, HandClient, framed, greeting

FRAME = b"f" * 60 * KIB
PING = b"\x04PING\x00\x64" + bytes(16)
RESET = struct.pack("ii", 1, 0)


@pytest.fixture
def rig():
    settings = Settings.test(outbox_bytes_max=1024 * KIB, in_flight_bytes_max=1024 * KIB, transport_timeout_s=60.0)
    with listening(settings) as made:
        yield made


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


def test_members_words_of_the_time_before_the_first_turn_are_kept_for_it(rig):
    far, hand = rig.far(), HandClient(new_pair(), rig.pair.public)
    listener, poller = rig.listener, rig.poller

    def meet():
        for descriptor, only_writable in poller.wait(1.0):
            listener.mark(descriptor, only_writable=only_writable)
        listener.meet(0.0)

    far.sendall(greeting() + framed(hand.hello(), COMMAND))
    came = b""
    while len(came) < 64 + 170:
        meet()
        try:
            came += far.recv(4096)
        except BlockingIOError:
            continue
    hand.on_welcome(came[66:])
    far.sendall(framed(hand.initiate(), COMMAND) + framed(hand.message(b"first", 3)))
    while not listener._routes:
        meet()
    far.sendall(framed(hand.message(b"second", 4)))
    for _ in range(3):
        meet()
    rig.until(lambda: len(rig.frames) == 2)
    assert [each[2] for each in rig.frames] == [b"first", b"second"]


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


def test_whoever_reads_no_answers_to_pings_is_not_read_and_later_is(rig):
    far, near = flood_with_pings(rig)
    assert rig.told == [], "nothing spins"
    while not near.reads:
        is_open(far)
        rig.turn(0.01)
    assert is_open(far)
    assert rig.gone == {}


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


# -- who comes


def test_strangers_are_told_that_they_are_refused_and_the_operator_too(caplog):
    def nobody(key):
        raise Refusal("400", f"the key {key.hex()[:16]}...")

    with listening(authorise=nobody) as rig:
        keys = new_pair()
        peer = Far(rig, rig.far(), keys)
        rig.until(lambda: peer.ended, peer)
        assert isinstance(peer.end, Refusal)
        assert peer.end.status == "400"
        assert (rig.listener._peers, rig.frames, rig.gone) == ({}, [], {})
        assert f"from 127.0.0.1: the key {keys.public.hex()[:16]}... is not registered" in caplog.text


def test_connections_are_accepted_a_few_at_a_time(rig):
    made = [rig.far() for _ in range(5 * ACCEPTED_PER_TURN)]
    turns = 0
    while len(rig.listener._peers) < len(made):
        before = len(rig.listener._peers)
        rig.turn(1.0)
        turns += 1
        assert len(rig.listener._peers) - before <= ACCEPTED_PER_TURN
    assert turns == 5


def test_while_handshakes_wait_few_are_accepted_and_some_go_on_in_each_turn(rig):
    peers = [Far(rig, rig.far(), new_pair()) for _ in range(4 * HANDSHAKES_PER_TURN)]
    rig.until(lambda: len(rig.listener._peers) == len(peers))
    for peer in peers:
        while not peer._engine._greeted:
            peer.serve()
        peer.serve()
    late = [rig.far() for _ in range(8)]
    read = []
    while True:
        arriving = len(rig.listener._arriving)
        before, door = len(rig.listener._peers), len(rig.listener._doorstep)
        rig.turn(0.1)
        assert door - len(rig.listener._doorstep) <= HANDSHAKES_PER_TURN
        if len(rig.listener._arriving) >= HANDSHAKES_PER_TURN:
            assert len(rig.listener._peers) - before <= 1
            read.append(arriving)
        elif len(rig.listener._peers) == len(peers) + len(late):
            break
    assert len(read) >= 2
    rig.until(lambda: all(peer.open for peer in peers), *peers)


def test_a_storm_of_handshakes_does_not_stop_members(rig):
    member = rig.member()
    storm = [Far(rig, rig.far(), new_pair()) for _ in range(100)]
    asked = turns = 0
    while not all(peer.open for peer in storm):
        for peer in storm:
            peer.serve()
        member.send([b"?"])
        asked += 1
        rig.turn(0.1)
        turns += 1
        assert len(rig.frames) >= asked - 1, "each turn reads what members have said"
        assert turns < 2_000
    assert rig.gone == {}


def test_half_open_connections_of_one_address_have_a_limit_and_others_still_get_in(rig, caplog):
    rig.now = 100.0
    made = [rig.far(host="127.0.0.2") for _ in range(ADDRESS_CONNECTIONS_MAX + 20)]
    for _ in range(2 * len(made) // ACCEPTED_PER_TURN):
        rig.turn()
    assert len(rig.listener._peers) == ADDRESS_CONNECTIONS_MAX
    assert [is_open(each) for each in made] == [True] * ADDRESS_CONNECTIONS_MAX + [False] * 20
    member = rig.member()
    member.send([b"hello"])
    rig.until(lambda: rig.frames, member)
    assert "too many are open from there" in caplog.text
    rig.now = 100.0 + STALE_S + 0.1
    late = rig.far(host="127.0.0.2")
    rig.turn(1.0)
    assert is_open(late)
    assert not is_open(made[0])


def test_half_open_connections_of_all_addresses_have_a_limit(monkeypatch):
    monkeypatch.setattr(module, "_peers_max", lambda _most: 200)
    with listening() as rig:
        rig.now = 100.0
        made = [rig.far(host=f"127.0.0.{2 + number // 10}") for number in range(120)]
        monkeypatch.setattr(rig.listener, "_peers_max", 10_000)  # the far ends have descriptors, too
        for _ in range(20):
            rig.turn()
        assert len(rig.listener._peers) == 100
        assert sum(map(is_open, made)) == 100


@pytest.mark.parametrize("said", [b"", greeting()[:1], greeting(), greeting() + b"\x04\xc8\x05HELLO"])
def test_half_open_connections_end_in_time(rig, said):
    rig.now = 100.0
    far = rig.far()
    far.sendall(said)
    for _ in range(3):
        rig.turn(0.1)
    assert rig.listener.next_deadline() == 100.0 + rig.listener._settings.handshake_s_max
    rig.now = 99.9 + rig.listener._settings.handshake_s_max
    rig.turn()
    assert is_open(far)
    rig.now = 100.0 + rig.listener._settings.handshake_s_max
    rig.turn()
    assert not is_open(far)
    assert rig.listener.next_deadline() is None
    assert rig.gone == {}


def test_half_open_connections_keep_some_hundred_bytes_at_most(rig):
    far = rig.far()
    command = framed(b"\x05HELLO".ljust(1024, b"\0"), COMMAND)
    far.sendall(greeting() + command[:-1])
    for _ in range(5):
        rig.turn(0.1)
    [near] = rig.listener._peers.values()
    assert len(near._kept) == len(command) - 1 < 1100
    other = rig.far()
    other.sendall(greeting() + framed(b"\x05HELLO".ljust(1025, b"\0"), COMMAND)[:-1])
    rig.until(lambda: not is_open(other))


def test_one_key_gets_so_many_connections_and_others_are_not_kept_out(caplog):
    settings = Settings.test(connections_per_key_max=1)
    with listening(settings) as rig:
        keys, most = new_pair(), rig.listener._keys.connections_max
        made = [rig.member(keys) for _ in range(most)]
        late = Far(rig, rig.far(), keys)
        rig.until(lambda: late.ended, late)
        assert late.end.status == Throng("").status
        assert "as many as one key may have" in caplog.text
        rig.member()
        made.pop().close()
        rig.until(lambda: rig.gone)
        rig.member(keys)


def test_a_connection_that_ends_before_it_is_accepted_hurts_nobody(rig):
    for _ in range(5):
        far = rig.far()
        far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        far.close()
    rig.turn(0.1)
    rig.member()
    rig.until(lambda: len(rig.listener._peers) == 1)


def test_whoever_speaks_another_protocol_is_ended_and_told_of(rig, caplog):
    far = rig.far()
    far.sendall(b"GET / HTTP/1.1\r\n\r\n")
    rig.until(lambda: not is_open(far))
    rig.turn()
    assert "were no members'" in caplog.text
    assert rig.gone == {}


# -- at the limit of descriptors


@descriptors
def test_without_descriptors_nothing_is_accepted_which_is_told_once_and_nothing_spins_and_it_goes_on(rig, caplog):
    member = rig.member()
    waiting = [rig.far() for _ in range(3)]
    rig.now = 100.0
    with only(0):
        hogs = fill()
        try:
            rig.turn(1.0)
            assert len(rig.listener._peers) == 1
            assert rig.listener.next_deadline() <= 100.0 + PAUSE_S
            told = 0
            for number in range(100):
                rig.now = 100.0 + number * PAUSE_S / 10
                rig.turn()
                told += bool(rig.told)
            assert 5 <= told <= 10, "it tries again after a while, and nothing spins"
            member.send([b"I go on"])
            rig.until(lambda: rig.frames, member)
        finally:
            for hog in hogs:
                hog.close()
        assert sum("turned away" in line for line in caplog.messages) == 1
    rig.now += PAUSE_S
    rig.turn()
    rig.until(lambda: len(rig.listener._peers) == 4)
    assert all(map(is_open, waiting))


def fill():
    """Take all descriptors that are left."""
    hogs = []
    try:
        while True:
            hogs.append(socket.socket())
    except OSError:
        return hogs


def test_the_last_descriptors_are_not_for_members(rig, monkeypatch, caplog):
    member = rig.member()
    monkeypatch.setattr(rig.listener, "_peers_max", 4)
    far = rig.far()
    rig.until(lambda: not is_open(far))
    rig.turn()
    assert "all but its reserve are in use" in caplog.text
    member.send([b"I go on"])
    rig.until(lambda: rig.frames, member)


@pytest.mark.parametrize(("descriptors_max", "peers_max"), [(1024, 992), (16, 12), (1_000_000, 999_968)])
def test_the_reserve_is_small(descriptors_max, peers_max):
    assert module._peers_max(descriptors_max) == peers_max


# -- what no member may do


@pytest.mark.parametrize(
    ("body", "flags", "what"),
    [
        (b"part", BOX_MORE, "sent a message of several frames"),
        (b"x", 0x80, "unknown flags in a MESSAGE"),
        (b"\x04WHAT", BOX_COMMAND, "an unknown command"),
        (b"\x04PING\x00\x64" + bytes(17), BOX_COMMAND, "a PING or PONG that is too long"),
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


def test_what_anybody_on_the_way_may_have_done_is_told_of_nobody(rig, caplog):
    far, hand = rig.by_hand()
    good, bad = framed(hand.message(b"good", 3)), framed(hand.message(b"bad", 4))
    far.sendall(good + bad[:-1] + bytes((bad[-1] ^ 1,)))
    rig.until(lambda: rig.gone)
    rig.turn()
    assert [each[2] for each in rig.frames] == [b"good"]
    assert rig.breaches == []
    assert "does not keep to the protocol: a MESSAGE that does not open" in caplog.text


def test_all_connections_of_a_key_that_would_not_be_let_in_any_more_are_cut_with_the_first():
    barred = set()

    def authorise(key):
        if key.hex() in barred:
            raise Refusal("300")
        return key.hex()

    with listening(authorise=authorise) as rig:
        keys = new_pair()
        theirs, other = [rig.member(keys) for _ in range(3)], rig.member()
        barred.add(keys.public.hex())
        routes = [peer.near_route for peer in theirs]
        rig.listener.cut(routes[0])
        rig.until(lambda: len(rig.gone) == 3, *theirs)
        assert rig.gone.keys() == set(routes)
        other.send([b"still here"])
        rig.until(lambda: rig.frames, other)


def test_who_is_not_let_in_any_more_is_cut_at_a_review():
    removed = set()

    def authorise(key):
        if key.hex() in removed:
            raise Refusal("400")
        return key.hex()

    with listening(authorise=authorise) as rig:
        keys = new_pair()
        gone, other = rig.member(keys), rig.member()
        removed.add(keys.public.hex())
        route = gone.near_route
        rig.listener.review()
        rig.until(lambda: rig.gone, gone)
        assert rig.gone.keys() == {route}
        assert other.near_route in rig.listener._routes


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
