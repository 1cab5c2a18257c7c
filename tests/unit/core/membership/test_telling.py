import random

import pytest

from braidmq.core.membership.peer_record import PeerRecord
from braidmq.core.membership.suspicion import Suspicion
from braidmq.core.membership.telling import Telling
from braidmq.wire.gossip import RUMORS_MAX, Gossip, Rumor, Sync

NOW = 100.0
OWN = Rumor("me", 3, "alive", "", b"my certificate")


class Certificates:
    def certificate(self, name: str) -> bytes | None:
        return b"of " + name.encode()

    def admit(self, name: str, certificate: bytes, now: float) -> bool:
        raise AssertionError


@pytest.fixture
def members() -> dict[str, PeerRecord]:
    return {name: PeerRecord(name, 0, "alive", NOW) for name in ("a", "b", "c")}


@pytest.fixture
def telling(members: dict[str, PeerRecord]) -> Telling:
    return Telling(OWN, members, Certificates(), 2, random.Random(1))


def suspect(member: PeerRecord) -> None:
    member.state = "suspect"
    member.suspicion = Suspicion("b", 1.0, 4, NOW)


def test_certificate_goes_with_who_is_alive(telling: Telling, members: dict[str, PeerRecord]) -> None:
    telling.spread(members["a"])
    members["b"].state = "dead"
    telling.spread(members["b"])
    assert telling.news() == [Rumor("a", 0, "alive", "", b"of a"), Rumor("b", 0, "dead")]


def test_accusation_names_its_accuser(telling: Telling, members: dict[str, PeerRecord]) -> None:
    suspect(members["a"])
    telling.spread(members["a"], "b")
    assert telling.news() == [Rumor("a", 0, "suspect", "b")]


def test_suspect_is_told_of_it_first_and_once(telling: Telling, members: dict[str, PeerRecord]) -> None:
    suspect(members["a"])
    telling.spread(members["a"], "b")
    for number in range(RUMORS_MAX):
        telling.rumors.put(Rumor(f"x{number}", 0, "dead"))
    news = telling.news(of="a")
    assert news[0] == Rumor("a", 0, "suspect", "me"), "it is this broker that says so"
    assert [each.name for each in news].count("a") == 1
    assert len(news) <= RUMORS_MAX


def test_sync_holds_all_and_says_what_this_broker_is_now(telling: Telling) -> None:
    rows = [Rumor(name, 0, "alive") for name in ("a", "b", "c")]
    assert telling.sync(answer=True) == Sync([OWN, *rows], True)
    later = Rumor("me", 4, "leaving", "", b"my certificate")
    telling.spread_own(later)
    assert telling.sync(answer=False) == Sync([later, *rows], False)
    assert telling.news() == [later]


def test_gossip_goes_round_among_those_that_are_not_dead(telling: Telling, members: dict[str, PeerRecord]) -> None:
    telling.spread_own(OWN)
    telling.gossip(["a", "b", "c"])
    (last,) = members.keys() - telling.sends.keys()
    members[last].state = "dead"
    others = list(telling.sends)
    for _ in range(3):
        telling.spread_own(OWN)
        telling.gossip(others)
    assert {name: len(messages) for name, messages in telling.sends.items()} == dict.fromkeys(others, 4)
    assert telling.sends[others[0]][0] == Gossip([OWN])


def test_nothing_new_is_no_reason_to_speak(telling: Telling) -> None:
    telling.gossip(["a", "b", "c"])
    assert not telling.sends
