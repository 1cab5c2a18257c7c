import pytest

from braidmq.core.events.log import EventLog
from braidmq.core.membership.scrutiny import CHANGES_MAX, COMPLAINTS_MAX, FALSE_MAX, PERIOD_S, Scrutiny
from braidmq.wire.gossip import Rumor

NOW = 100.0


class Certificates:
    """Those of brokers whose names begin with `b` are known."""

    def __init__(self) -> None:
        self.asked = 0

    def certificate(self, name: str) -> bytes | None:
        return name.encode() if name.startswith("b") else None

    def admit(self, name: str, certificate: bytes, now: float) -> bool:
        self.asked += 1
        return name.startswith("b") or certificate == b"valid"


@pytest.fixture
def certificates() -> Certificates:
    return Certificates()


@pytest.fixture
def events() -> EventLog:
    return EventLog()


@pytest.fixture
def scrutiny(certificates: Certificates, events: EventLog) -> Scrutiny:
    return Scrutiny(certificates, events, NOW)


def forged(name: str = "x") -> Rumor:
    return Rumor(name, 0, "alive", "", b"forged")


def test_changes_are_bounded_for_each_sender_and_broker_in_a_period(scrutiny: Scrutiny) -> None:
    assert all(scrutiny.may_change("b1", "b2") for _ in range(CHANGES_MAX))
    assert not scrutiny.may_change("b1", "b2")
    assert scrutiny.may_change("b1", "b3")
    assert scrutiny.may_change("b3", "b2")
    scrutiny.on_timer(NOW + PERIOD_S - 0.1)
    assert not scrutiny.may_change("b1", "b2")
    scrutiny.on_timer(NOW + PERIOD_S)
    assert scrutiny.may_change("b1", "b2")
    scrutiny.validate_state()


def test_broker_is_admitted_by_a_certificate_that_is_known_or_comes_along(scrutiny: Scrutiny) -> None:
    assert scrutiny.admits("b1", Rumor("b2", 0, "alive"), NOW)
    assert scrutiny.admits("b1", Rumor("x", 0, "alive", "", b"valid"), NOW)
    assert (scrutiny.unknown, scrutiny.lies) == (0, 0)


def test_broker_without_a_certificate_is_unknown_but_no_lie(scrutiny: Scrutiny) -> None:
    assert not scrutiny.admits("b1", Rumor("x", 0, "alive"), NOW)
    assert (scrutiny.unknown, scrutiny.lies) == (1, 0)


def test_who_hands_on_false_certificates_costs_a_bounded_number_of_checks(
    scrutiny: Scrutiny, certificates: Certificates
) -> None:
    for _ in range(FALSE_MAX + 10):
        assert not scrutiny.admits("b1", forged(), NOW)
    assert certificates.asked == FALSE_MAX
    assert scrutiny.unknown == scrutiny.lies == FALSE_MAX + 10
    assert not scrutiny.admits("b1", Rumor("x", 0, "alive", "", b"valid"), NOW)
    assert scrutiny.admits("b1", Rumor("b2", 0, "alive"), NOW), "what needs no check is heeded"
    assert scrutiny.admits("b3", Rumor("x", 0, "alive", "", b"valid"), NOW), "and so are others"
    scrutiny.on_timer(NOW + PERIOD_S)
    assert scrutiny.admits("b1", Rumor("x", 0, "alive", "", b"valid"), NOW + PERIOD_S)


def test_each_kind_of_complaint_of_a_broker_is_told_once(scrutiny: Scrutiny, events: EventLog) -> None:
    for _ in range(3):
        scrutiny.complain("b1", "tells of x with a certificate that is not valid for it")
        scrutiny.complain("b1", "tells of y with a certificate that is not valid for it")
        scrutiny.complain("b1", "changes its mind")
    assert scrutiny.lies == 9
    assert len(events.take()) == 2


def test_complaints_are_bounded(scrutiny: Scrutiny) -> None:
    for number in range(COMPLAINTS_MAX + 10):
        scrutiny.complain(f"b{number}", "lies")
    assert scrutiny.lies == COMPLAINTS_MAX + 10
    scrutiny.validate_state()
