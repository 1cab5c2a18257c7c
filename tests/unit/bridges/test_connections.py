"""Which foreign connection is which, whatever order the news of them comes in."""

import pytest

from braidmq.bridges import connections
from braidmq.bridges.connections import Connections
from braidmq.bridges.port import Peer

A, B = b"\0AAAA", b"\0BBBB"


@pytest.fixture
def known():
    return Connections()


def joined(known, route, descriptor):
    known.on_accepted(descriptor)
    peer = Peer(route)
    assert known.add(peer, descriptor)
    return peer


def test_peer_is_known_by_its_route_until_its_connection_ends(known):
    peer = joined(known, A, 7)
    assert known.known(A) is peer
    known.on_disconnected(7)
    assert known.gone == [peer]
    assert peer.gone
    assert known.known(A) is None
    assert len(known) == 0


def test_connection_that_never_spoke_takes_nobody_with_it(known):
    known.on_accepted(7)
    known.on_disconnected(7)
    peer = joined(known, B, 7)
    assert known.gone == []
    assert known.known(B) is peer


def test_last_message_of_a_connection_that_has_ended_is_heard(known):
    known.on_accepted(7)
    known.on_disconnected(7)
    peer = Peer(A)
    assert known.add(peer, 7)
    assert known.gone == [peer]
    assert len(known) == 0


def test_end_that_was_not_told_is_noticed_by_who_comes_next(known):
    first = joined(known, A, 7)
    known.on_accepted(7)
    assert known.gone == [first]
    second = Peer(B)
    assert known.add(second, 7)
    third = Peer(b"\0CCCC")
    assert known.add(third, 7)
    assert known.gone == [first, second]


def test_name_that_a_program_gives_itself_may_come_back_over_another_connection(known):
    first = joined(known, b"worker", 7)
    assert known.known(b"worker") is None
    assert known.find(b"worker", 7) is first
    assert known.find(b"worker", 8) is None
    second = joined(known, b"worker", 8)
    assert known.gone == [first]
    known.on_disconnected(7)
    assert known.find(b"worker", 8) is second
    assert known.gone == [first]


def test_peer_that_cannot_be_reached_is_told_once(known):
    peer = joined(known, A, 7)
    known.end(peer)
    known.end(peer)
    known.on_disconnected(7)
    assert known.gone == [peer]


def test_only_so_many_are_known(known, monkeypatch):
    monkeypatch.setattr(connections, "PEERS_MAX", 2)
    joined(known, A, 7)
    joined(known, B, 8)
    known.on_accepted(9)
    assert not known.add(Peer(b"\0CCCC"), 9)
    known.on_disconnected(7)
    assert known.add(Peer(b"\0CCCC"), 9)


def test_of_too_many_that_say_nothing_the_oldest_is_told_once(known, monkeypatch):
    monkeypatch.setattr(connections, "SILENT_MAX", 2)
    for descriptor in (7, 8, 9):
        known.on_accepted(descriptor)
    assert known.add(Peer(A), 7)
    assert known.too_silent() is None, "one has spoken"
    known.on_accepted(10)
    assert known.too_silent() == 8
    assert known.too_silent() is None
    known.on_disconnected(9)
    known.on_accepted(11)
    assert known.too_silent() is None
