"""Connections that a broker ends of its own accord, without sockets: how many at a time, and when."""

from math import inf
from typing import Any

import pytest

from braidmq.carrier import cuts
from braidmq.carrier.cuts import LINGER_S, Cuts
from braidmq.zmtp.violation import Refusal

NOW = 100.0


class FakePeer:
    """A connection with a key."""

    def __init__(self, number: int, principal: str) -> None:
        self.route = number.to_bytes(16)
        self.principal = principal
        self.cut_at = inf
        self.blocked = False
        self.end: object = None
        self.shuts = 0

    def shut(self) -> None:
        self.shuts += 1


class Net:
    """Connections of some keys, and who has been judged and ended."""

    def __init__(self, *principals: str) -> None:
        self.peers = [FakePeer(number, principal) for number, principal in enumerate(principals)]
        self.routes: Any = {peer.route: peer for peer in self.peers}
        self.unwelcome: set[str] = set()
        self.judged: list[str] = []
        self.ended: list[FakePeer] = []
        self.cuts = Cuts(self.routes, self.authorise, self.end)

    def authorise(self, key: bytes) -> str:
        self.judged.append(key.hex())
        if key.hex() in self.unwelcome:
            raise Refusal("400")
        return key.hex()

    def end(self, peer: Any) -> None:
        self.ended.append(peer)
        self.cuts.leave(peer)
        del self.routes[peer.route]


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuts, "REVIEWED_PER_TURN", 2)
    monkeypatch.setattr(cuts, "ENDED_PER_TURN", 3)


@pytest.mark.usefixtures("few")
def test_keys_are_judged_once_each_and_some_in_each_turn() -> None:
    net = Net("aa", "bb", "aa", "cc", "dd", "ee")
    net.unwelcome = {"aa", "dd"}
    net.cuts.review()
    judged = []
    while net.cuts.next_deadline() <= NOW:
        net.cuts.go_on(NOW)
        judged.append(len(net.judged))
    assert judged == [2, 4, 5]
    assert sorted(net.judged) == ["aa", "bb", "cc", "dd", "ee"]
    assert [peer.shuts for peer in net.peers] == [1, 0, 1, 0, 1, 0]
    assert net.cuts.next_deadline() == NOW + LINGER_S


@pytest.mark.usefixtures("few")
def test_connections_are_shut_and_ended_some_in_each_turn() -> None:
    net = Net(*["aa"] * 7)
    net.unwelcome = {"aa"}
    net.cuts.review()
    shut = []
    while net.cuts.next_deadline() <= NOW:
        net.cuts.go_on(NOW)
        shut.append(sum(peer.shuts for peer in net.peers))
    assert shut == [3, 6, 7]
    ended = []
    while net.cuts.next_deadline() <= NOW + LINGER_S:
        net.cuts.go_on(NOW + LINGER_S)
        ended.append(len(net.ended))
    assert ended == [3, 6, 7]
    assert not net.cuts.peers


@pytest.mark.usefixtures("few")
def test_who_ends_first_is_not_waited_for_and_leaves_no_turn_without_work() -> None:
    net = Net(*["aa"] * 4)
    net.cuts.cut(net.peers[1].route)
    net.cuts.go_on(NOW)
    assert not net.ended
    net.peers[1].end = object()
    net.cuts.go_on(NOW)
    assert net.ended == [net.peers[1]]
    assert net.cuts.next_deadline() == inf


def test_what_was_not_sent_yet_is_not_cut_off() -> None:
    net = Net("aa")
    net.peers[0].blocked = True
    net.cuts.cut(net.peers[0].route)
    net.cuts.go_on(NOW)
    assert (net.peers[0].shuts, net.peers[0].cut_at) == (0, NOW + LINGER_S)


def test_a_connection_that_ends_before_its_key_is_judged_is_nobodys_business() -> None:
    net = Net("aa", "aa")
    net.unwelcome = {"aa"}
    net.cuts.review()
    net.end(net.peers[0])
    net.cuts.go_on(NOW)
    assert [peer.shuts for peer in net.peers] == [0, 1]
