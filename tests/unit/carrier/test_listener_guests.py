"""Who connects to a broker, over real sockets: strangers, storms of handshakes, no descriptors left."""

import socket
import struct

import pytest

from braidmq.carrier import descriptors as module
from braidmq.carrier.doorstep import ADDRESS_CONNECTIONS_MAX, STALE_S, Doorstep
from braidmq.carrier.entrance import PAUSE_S
from braidmq.carrier.gate import Throng
from braidmq.carrier.listener import (
    ACCEPTED_PER_TURN,
    HANDSHAKES_PER_TURN,
)
from braidmq.settings import Settings
from braidmq.zmtp.violation import Refusal
from tests.support.listeners import Far, is_open, listening, new_pair
from tests.support.scarcity import descriptors, only
from tests.support.zmtp import COMMAND, framed, greeting

RESET = struct.pack("ii", 1, 0)


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


def test_half_open_connections_of_all_addresses_have_a_limit():
    with listening() as rig:
        rig.now = 100.0
        rig.listener._doorstep = Doorstep(rig.listener._settings.handshake_s_max, 100)
        made = [rig.far(host=f"127.0.0.{2 + number // 10}") for number in range(120)]
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
    assert module.peers_max(descriptors_max) == peers_max


def test_a_member_that_says_nothing_after_its_handshake_is_ended_in_time(rig):
    rig.now = 100.0
    silent, other = rig.member(), rig.member()
    other.send([b"something"])
    rig.until(lambda: rig.frames, other)
    assert rig.listener.next_deadline() == 100.0 + rig.listener._settings.handshake_s_max
    rig.now = 99.9 + rig.listener._settings.handshake_s_max
    rig.turn()
    assert len(rig.listener._peers) == 2
    rig.now = 100.0 + rig.listener._settings.handshake_s_max
    rig.until(lambda: silent.ended, silent)
    assert [peer.route for peer in rig.listener._peers.values()] == [other.near_route]
    assert rig.listener.next_deadline() is None


def test_a_member_that_speaks_right_behind_its_handshake_is_not_waited_for(rig):
    rig.now = 100.0
    far, hand = rig.by_hand()
    far.sendall(framed(hand.message(b"something", 3)))
    rig.until(lambda: rig.frames)
    assert rig.listener.next_deadline() is None
