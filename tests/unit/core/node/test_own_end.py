"""What a node tells of its own certificate, and of its clock: brokers say what time it is."""

from typing import Any

import pytest

from braidmq.bounds import DAY_S
from braidmq.core.links.link import BrokerAddress
from braidmq.members import Member, Role
from braidmq.observer import NodeObserver
from braidmq.wire.registry import CertificateIs

UNIX_S = 1_700_000_000.0


class Papers:
    """A certificate that ends."""

    def __init__(self, left_days: float) -> None:
        self.member = Member("node", Role.NODE)
        self.blob = b""
        self.invitation = b""
        self.serial = 0
        self.roster = 0
        self.not_after = int(UNIX_S + left_days * DAY_S)

    @property
    def addresses(self) -> list[BrokerAddress]:
        return []

    def lacks(self, address: BrokerAddress) -> bool:
        return False

    def take_roster(self, roster: bytes) -> bool:
        return False

    def take_certificate(self, message: CertificateIs) -> bool:
        return False


class Watching(NodeObserver):
    """What an observer was told of ends."""

    def __init__(self) -> None:
        self.ends: list[tuple[str, int]] = []

    def on_certificate_end(self, member: str, left_s: float, now: float) -> None:
        self.ends.append((member, round(left_s)))


def look(rig: Any, unix_s: float = UNIX_S) -> list[str]:
    """Let the node look at its clock; return what it warns of."""
    rig.core.on_clock(unix_s, rig.now)
    return [str(event) for event in rig.core.take_events()]


def tell(rig: Any, **ahead_s: float) -> None:
    """Let brokers have said what time it is."""
    for name, seconds in ahead_s.items():
        rig.core.links.links[name].unix_ahead_s = UNIX_S + seconds - rig.now


def test_the_end_of_its_certificate_is_told_once_by_each_mark(make: Any) -> None:
    watching = Watching()
    rig = make("a", papers=Papers(8), observer=watching)
    assert [line.partition("; ")[0] for line in look(rig)] == [
        "the certificate of node, this process, ends within 30 days"
    ]
    assert look(rig, UNIX_S + 60) == []
    assert "ends within 7 days" in look(rig, UNIX_S + DAY_S)[0]
    assert "has ended" in look(rig, UNIX_S + 9 * DAY_S)[0]
    assert watching.ends == [("node", 8 * DAY_S), ("node", 7 * DAY_S), ("node", -DAY_S)]


def test_a_newer_certificate_that_ends_later_is_what_counts(make: Any) -> None:
    papers = Papers(1.5)
    rig = make("a", papers=papers)
    assert len(look(rig)) == 1
    papers.not_after += 100 * DAY_S
    assert look(rig, UNIX_S + 2 * DAY_S) == []


def test_a_certificate_that_does_not_end_is_never_told(make: Any) -> None:
    papers = Papers(0)
    papers.not_after = 0
    assert look(make("a", papers=papers)) == []


@pytest.mark.parametrize("off_s", [-40 * DAY_S, 40 * DAY_S])
def test_a_clock_that_is_off_is_told_and_ends_nothing(make: Any, off_s: float) -> None:
    rig = make("a", "b", papers=Papers(35))
    tell(rig, a=0.0, b=1.0)
    (line,) = look(rig, UNIX_S + off_s)
    assert line.startswith(f"the clock of node is {abs(off_s):.0f} s {'ahead of' if off_s > 0 else 'behind'} ")
    assert look(rig, UNIX_S + off_s) == [], "it is told once"
    assert look(rig, UNIX_S) == []
    assert len(look(rig, UNIX_S + off_s)) == 1, "and again when it was right meanwhile"


def test_what_ends_is_told_by_the_clocks_of_the_brokers(make: Any) -> None:
    rig = make("a", "b", "c", papers=Papers(10))
    tell(rig, a=-1.0, b=5 * DAY_S, c=5 * DAY_S)
    lines = look(rig, UNIX_S)
    assert any("ends within 7 days" in line for line in lines)
    assert any("432000 s behind" in line for line in lines)


def test_brokers_that_do_not_tell_the_time_leave_it_to_this_machine(make: Any) -> None:
    rig = make("a", papers=Papers(40))
    assert look(rig, UNIX_S + 30 * DAY_S) == [
        "the certificate of node, this process, ends within 30 days; renew it with `braidmq renew node`"
    ]
