"""What a broker tells observers, its log and its own observer of the registry, and of what ends."""

from collections.abc import Generator
from typing import Any

import pytest

from braidmq.bounds import DAY_S
from braidmq.core.broker import ends as ends_module
from braidmq.core.broker import last_seen as last_seen_module
from braidmq.core.broker.broker import TICK_S
from braidmq.core.broker.last_seen import LastSeen
from braidmq.core.events.registry import CertificatesEnd, OwnCertificateEnds
from braidmq.core.links.link import BrokerAddress
from braidmq.core.registry.ends import LOOK_S
from braidmq.core.registry.ledger import Candidate
from braidmq.members import Role
from braidmq.observer import BrokerObserver
from braidmq.wire.control import REPORT_CLAIMED_MAX, REPORT_CLAIMS_MAX, Report, Status
from braidmq.wire.limits import CLAIMS_ASKED_MAX
from braidmq.wire.registry import CertificateIs, RegistryVersion
from braidmq.wire.registry_status import ClaimStatus, EndStatus, RegistryStatus, SeenStatus, TokenStatus
from tests.support.rigs.broker_rig import BROKER, Rig
from tests.support.rigs.node_rig import address

UNIX_S = 1_700_000_000.0


class Book:
    """A registry whose members are names."""

    def __init__(self, **left_days: float) -> None:
        self.version = 7
        self.digest = b"\xab\xcd"
        self.brokers: tuple[str, ...] = (BROKER,)
        self.members_total = 4
        self.roll = None
        self.roster = (0, b"")
        self.names: set[str] | None = None
        self.closing = sorted((int(UNIX_S + days * DAY_S), name) for name, days in left_days.items())

    def since(self, version: int) -> tuple[int, bytes]:
        return 0, b""

    def check(self, data: bytes, since: int) -> Generator[None, None, Candidate]:
        raise AssertionError(data)

    def adopt(self, candidate: Candidate, source: str, now: float) -> None:
        raise AssertionError(candidate)

    def ending(self, after_s: float, until_s: float) -> list[tuple[int, str]]:
        return [each for each in self.closing if after_s < each[0] <= until_s]

    def tokens(self, unix_s: float) -> list[TokenStatus]:
        return [TokenStatus(3, "r-*", 5, 2, int(UNIX_S + 100 - unix_s))]

    def enrolled(self, unix_s: float, most: int) -> tuple[list[SeenStatus], int]:
        return [SeenStatus("r-1", 8, 3)], 1

    def claims(self, name: str, unix_s: float, most: int) -> list[ClaimStatus]:
        return [ClaimStatus(b"r-1 by token 3", 8)] * most if name == "r-1" else []

    def has(self, name: str) -> bool:
        return self.names is None or name in self.names

    @property
    def addresses(self) -> list[BrokerAddress]:
        return [address(name) for name in self.brokers]

    def certificate(self, principal: str) -> tuple[int, CertificateIs] | None:
        return None


class Watching(BrokerObserver):
    """What an observer was told of ends."""

    def __init__(self) -> None:
        self.ends: list[tuple[str, float]] = []

    def on_certificate_end(self, member: str, left_s: float, now: float) -> None:
        self.ends.append((member, left_s))


def made(book: Book, observer: BrokerObserver | None = None) -> Rig:
    return Rig(credentials=book, unix_s=UNIX_S, observer=observer)


def lines(rig: Rig) -> list[tuple[Any, ...]]:
    """What was told of ends, and forget it."""
    found: list[tuple[Any, ...]] = []
    for event in rig.events:
        if isinstance(event, CertificatesEnd):
            found.append((event.days, event.count, event.names))
        elif isinstance(event, OwnCertificateEnds):
            found.append((event.about, event.days))
    rig.events.clear()
    return found


def status(rig: Rig) -> RegistryStatus:
    found = rig.core.report(rig.now).registry
    assert found is not None
    return found


class TestReport:
    def test_the_registry_is_told_with_what_ends_and_who_has_it(self) -> None:
        rig = made(Book(n1=5, n2=-1, n3=31))
        rig.stall(10.0)
        assert status(rig) == RegistryStatus(
            version=7,
            digest="abcd",
            members=4,
            ends=[EndStatus("n2", -DAY_S - 10), EndStatus("n1", 5 * DAY_S - 10)],
            ends_total=2,
            tokens=[TokenStatus(3, "r-*", 5, 2, 90)],
            enrolled=[SeenStatus("r-1", 8, 3)],
            enrolled_total=1,
        )

    def test_an_observer_hears_who_claims_the_names_that_it_asks_for(self) -> None:
        rig = made(Book())
        observer = rig.connect("observer", observe=True)
        observer.control(Status(["r-1", "nobody"]))
        rig.advance(TICK_S)
        (report,) = observer.of(Report)
        assert isinstance(report, Report)
        assert report.registry is not None
        claims = [ClaimStatus(b"r-1 by token 3", 8)] * REPORT_CLAIMS_MAX
        assert report.registry.claims == {"r-1": claims, "nobody": []}
        told = observer.status().registry
        assert told is not None
        assert told.claims == {}

    def test_the_names_of_one_report_are_bounded_and_only_those_who_may_observe_ask(self) -> None:
        rig = made(Book())
        weak, names = rig.client("weak"), [f"n{number}" for number in range(3 * CLAIMS_ASKED_MAX)]
        weak.control(Status(names[:1]))
        eyes = [rig.connect(f"eye{number}", observe=True) for number in range(3)]
        for number, eye in enumerate(eyes):
            eye.control(Status(names[number * CLAIMS_ASKED_MAX + 1 : (number + 1) * CLAIMS_ASKED_MAX]))
        rig.advance(TICK_S)
        (report,) = eyes[0].of(Report)
        assert isinstance(report, Report)
        assert report.registry is not None
        assert len(report.registry.claims) == REPORT_CLAIMED_MAX
        assert names[0] not in report.registry.claims

    def test_a_broker_without_a_registry_tells_none(self) -> None:
        assert Rig().core.report(1_000.0).registry is None

    def test_each_row_of_a_broker_has_its_version_as_far_as_it_was_heard(self) -> None:
        book = Book()
        book.brokers = (BROKER, "b2", "b3")
        rig = made(book)
        for name in ("b2", "b3"):
            rig.peer(name)
        rig.peers["b2"].say(RegistryVersion(6, b"", int(UNIX_S * 1000)))
        rows = {row.name: row.registry for row in rig.core.report(rig.now).brokers}
        assert rows == {BROKER: 7, "b2": 6, "b3": 0}

    def test_a_clock_that_is_off_is_told_as_far_as_it_is_off(self) -> None:
        book = Book()
        book.brokers = (BROKER, "b2", "b3")
        rig = made(book)
        for name in ("b2", "b3"):
            rig.peer(name).say(RegistryVersion(7, book.digest, int((UNIX_S - 18_000) * 1000)))
        assert status(rig).clock_off_s == 18_000

    def test_members_that_are_gone_are_told_with_when_they_were_heard_last(self) -> None:
        rig = made(Book())
        first, second = rig.client("first"), rig.client("second")
        assert status(rig).seen == []
        rig.now += 0.5
        first.heartbeat()
        first.disconnect()
        rig.now += 0.25
        second.disconnect()
        rig.now += 20.0
        assert status(rig).seen == [SeenStatus("second", 20), SeenStatus("first", 20)]
        rig.connect("first", calls=("*",))
        assert [row.name for row in status(rig).seen] == ["second"]

    def test_who_is_no_member_any_more_is_forgotten(self) -> None:
        book = Book()
        rig = made(book)
        for name in ("gone", "kept"):
            rig.client(name).disconnect()
        book.names = {"kept"}
        rig.change_registry()
        assert [row.name for row in status(rig).seen] == ["kept"]

    def test_an_observer_gets_it(self) -> None:
        rig = made(Book())
        observer = rig.connect("observer", observe=True)
        report = observer.status()
        assert report.registry is not None
        assert report.registry.version == 7


class TestEnds:
    def test_all_that_end_by_one_mark_share_a_line_and_the_own_has_one(self) -> None:
        rig = made(Book(n1=0.5, n2=0.6, n3=5, n4=20, n5=-2, n6=40, **{BROKER: 6}))
        rig.advance(0.1)
        assert lines(rig) == [(0, 1, "n5"), (1, 2, "n1, n2"), (BROKER, 7), (7, 1, "n3"), (30, 1, "n4")]
        rig.stall(LOOK_S)
        rig.stall(2 * LOOK_S)
        assert lines(rig) == []

    def test_it_is_told_again_by_the_next_mark_and_at_the_end(self) -> None:
        book = Book(n1=1 + 2 * LOOK_S / DAY_S)
        rig = made(book)
        rig.advance(0.1)
        assert lines(rig) == [(7, 1, "n1")]
        rig.stall(LOOK_S)
        rig.stall(2 * LOOK_S)
        assert lines(rig) == [(1, 1, "n1")]

    def test_nothing_is_told_before_the_others_were_heard(self) -> None:
        book = Book(n1=5)
        book.brokers = (BROKER, "b2")
        rig = made(book)
        rig.core.learn(address("b2"), rig.now)
        rig.advance(0.2)
        assert lines(rig) == []
        rig.stall(3.0)
        rig.stall(0.1)
        assert lines(rig) == [(7, 1, "n1")]

    def test_a_line_names_some_of_many(self) -> None:
        rig = made(Book(**{f"n{number:02}": 3 for number in range(11)}))
        rig.advance(0.1)
        ((days, count, names),) = lines(rig)
        assert (days, count) == (7, 11)
        assert names.endswith("n06, n07 and 3 more")

    def test_an_observer_hears_of_each(self, patch_cores: pytest.MonkeyPatch) -> None:
        patch_cores.setattr(ends_module, "OBSERVED_MAX", 2)
        watching = Watching()
        rig = made(Book(n1=3, n2=2, n3=4, **{BROKER: 20}), watching)
        rig.advance(0.1)
        assert [name for name, _ in watching.ends] == ["n2", "n1", BROKER]
        assert watching.ends[0][1] == pytest.approx(2 * DAY_S, abs=1.0)

    @pytest.mark.parametrize(
        ("event", "said"),
        [
            (CertificatesEnd("b1", 0, 1, "n1"), "1 certificate has ended: n1; brokers refuse what has ended"),
            (CertificatesEnd("b1", 1, 1, "n1"), "1 certificate ends within 1 day: n1; renew it with `braidmq renew`"),
            (CertificatesEnd("b1", 7, 2_000, "n1, n2"), "2,000 certificates end within 7 days: n1, n2; renew"),
            (OwnCertificateEnds("b1", 30), "the certificate of b1, this process, ends within 30 days; renew it with"),
            (OwnCertificateEnds("b1", 0), "the certificate of b1, this process, has ended: brokers refuse it; renew"),
        ],
    )
    def test_the_lines_say_what_to_do(self, event: CertificatesEnd | OwnCertificateEnds, said: str) -> None:
        assert event.text().startswith(said)


class TestLastSeen:
    def test_those_that_were_heard_longest_ago_are_forgotten_first(self, patch_cores: pytest.MonkeyPatch) -> None:
        patch_cores.setattr(last_seen_module, "SEEN_MAX", 3)
        seen = LastSeen()
        for number in range(5):
            seen.note(f"n{number}", float(number))
        seen.note("n2", 1.0)
        seen.validate_state()
        assert seen.rows((), 10.0, 9) == [SeenStatus("n2", 8), SeenStatus("n4", 6), SeenStatus("n3", 7)]
        assert [row.name for row in seen.rows({"n4"}, 10.0, 1)] == ["n2"]

    def test_brokers_are_remembered_too(self) -> None:
        rig = made(Book())
        rig.connect("b2", role=Role.BROKER).disconnect()
        assert [row.name for row in status(rig).seen] == ["b2"]
