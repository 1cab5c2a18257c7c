"""What a broker refuses: counted, told rarely, kept for reports, and bounded whatever comes."""

import pytest

from braidmq.core.broker.dispatch import ECHO_BYTES_MAX
from braidmq.core.broker.refusals import DETAIL_CHARS_MAX, SENTENCES, TOLD_S, Refusals, Refused
from braidmq.core.events.event import WARNING
from braidmq.core.events.log import EventLog
from braidmq.members import ECHO_SERVICE, Standing
from braidmq.observer import BrokerObserver
from braidmq.wire.control import Goodbye, Hello, RefusalStatus, Welcome, encode_control
from braidmq.wire.envelope import REJECT, REPLY, Outcome, Reason
from braidmq.wire.gossip import Ping
from tests.support.rigs.broker_rig import Rig

LINE_CHARS_MAX = 400


class Watcher(BrokerObserver):
    def __init__(self) -> None:
        self.seen: list[tuple[str, ...]] = []

    def on_refused(self, kind: str, who: str, where: str, what: str, now: float) -> None:
        self.seen.append((kind, who, where, what))


class Book:
    """Refusals, and what comes of them."""

    def __init__(self) -> None:
        self.counters: dict[str, int] = {}
        self.events = EventLog()
        self.observer = Watcher()
        self.refusals = Refusals(self.counters, self.events, self.observer)

    def lines(self) -> list[str]:
        self.refusals.validate_state()
        return [str(event) for event in self.events.take()]


@pytest.fixture
def book() -> Book:
    return Book()


def test_every_kind_has_a_counter_and_a_sentence(book: Book) -> None:
    assert set(SENTENCES) == set(Refused)
    assert book.counters == {f"refused_{kind.value}": 0 for kind in Refused}


@pytest.mark.parametrize("kind", Refused)
def test_the_first_one_is_told_at_once_and_the_others_together(book: Book, kind: Refused) -> None:
    for second in range(1, 1_001):
        book.refusals.note(kind, "the key abc...", second / 1_000, where="192.0.2.1", what="a service")
    book.refusals.on_tick(TOLD_S / 2)
    (first,) = book.lines()
    book.refusals.on_tick(TOLD_S + 1.0)
    (second_line,) = book.lines()
    assert (first.split()[0], second_line.split()[0]) == ("1", "999")
    assert max(map(len, (first, second_line))) <= LINE_CHARS_MAX
    book.refusals.on_tick(3 * TOLD_S)
    assert book.lines() == []
    assert book.counters[f"refused_{kind.value}"] == 1_000


def test_kinds_do_not_share_a_line(book: Book) -> None:
    for kind in Refused:
        book.refusals.note(kind, "w", 1.0, where="192.0.2.1", what=f"does {kind}")
    assert len(set(book.lines())) == len(Refused)


def test_what_others_say_is_cut_and_escaped(book: Book) -> None:
    book.refusals.note(Refused.CALL, "w", 1.0, what="\x1b[2J\n" + "x" * 10_000)
    (line,) = book.lines()
    assert line.isprintable()
    assert len(line) <= LINE_CHARS_MAX
    (row,) = book.refusals.rows(1.0)
    assert row.what.isprintable()
    assert len(row.what) <= 4 * DETAIL_CHARS_MAX


def test_what_has_a_line_of_its_own_is_counted_only(book: Book) -> None:
    book.refusals.note(Refused.SERVE, "w", 1.0, what="x", quiet=True)
    book.refusals.on_tick(2 * TOLD_S)
    assert book.lines() == []
    assert book.counters["refused_serve"] == 1


def test_an_observer_hears_each_of_them_and_a_report_has_the_newest(book: Book) -> None:
    book.refusals.note(Refused.UNKNOWN, "the key a...", 1.0, where="192.0.2.1")
    book.refusals.note(Refused.UNKNOWN, "the key b...", 3.0, where="192.0.2.2")
    assert book.observer.seen == [
        ("unknown", "the key a...", "192.0.2.1", ""),
        ("unknown", "the key b...", "192.0.2.2", ""),
    ]
    assert book.refusals.rows(3.5) == [RefusalStatus("unknown", 2, "the key b...", "192.0.2.2", "", 500)]


class TestAtABroker:
    def test_a_call_that_is_not_allowed(self) -> None:
        rig = Rig()
        client = rig.client(calls=("echo",))
        client.request(service="stock")
        assert "client: it may not call stock" in "".join(map(str, rig.events))
        assert (rig.core.counters["denied"], rig.core.counters["refused_call"]) == (1, 1)

    def test_a_service_that_is_not_allowed(self) -> None:
        rig = Rig()
        rig.connect("worker", serves=("echo",)).ready("stock", 1)
        assert rig.core.counters["refused_serve"] == 1
        assert [str(event) for event in rig.events if event.level == WARNING] == [
            "worker may not serve 'stock': its READY is ignored"
        ]

    def test_a_report_that_is_not_allowed(self) -> None:
        rig = Rig()
        assert rig.client().status().denied
        assert rig.core.counters["refused_observe"] == 1

    def test_a_node_that_speaks_as_a_broker(self) -> None:
        rig = Rig()
        rig.client().control(Ping(1))
        assert rig.core.counters["refused_role"] == 1
        assert rig.logged("client sent what only brokers may say") == 1

    def test_another_major_version_is_told_which_one_is_spoken_here(self) -> None:
        rig = Rig()
        rig.register("alice")
        alice = rig.stranger("alice")
        hello = bytearray(encode_control(Hello(), 0))
        hello[4] = 0x20
        alice.frame(bytes(hello))
        assert alice.take() == [Goodbye("no-session", "this broker speaks BRAID/1, and not BRAID/2")]
        assert rig.core.counters["refused_version"] == 1

    @pytest.mark.parametrize("standing", [Standing.REMOVED, Standing.REVOKED, Standing.EXPIRED])
    def test_a_member_that_is_none_any_more_is_told_why(self, standing: Standing) -> None:
        rig = Rig()
        client = rig.client()
        del rig.registry.members[client.principal]
        rig.registry.standings[client.principal] = standing
        rig.change_registry()
        (goodbye,) = client.take()
        assert isinstance(goodbye, Goodbye)
        assert standing.value in goodbye.text
        again = rig.stranger("client", route=b"R" * 16)
        again.hello()
        assert rig.core.counters[f"refused_{standing.value}"] == 1

    def test_the_report_has_them(self) -> None:
        rig = Rig()
        rig.client(calls=("echo",)).request(service="stock")
        report = rig.core.report(rig.now)
        assert [(each.kind, each.count, each.who, each.what) for each in report.refusals] == [
            ("call", 1, "client", "stock")
        ]

    def test_the_transport_tells_of_those_without_a_session(self) -> None:
        rig = Rig()
        rig.core.on_refused(Refused.UNKNOWN, "the key ab...", rig.now, where="192.0.2.1", what="")
        assert rig.core.counters["refused_unknown"] == 1
        assert "the key ab... is not registered here" in "".join(map(str, rig.core.take_events()))


class TestWelcome:
    def welcome_of(self, rig: Rig) -> tuple[int, int]:
        rig.register("alice")
        alice = rig.stranger("alice")
        alice.hello()
        (welcome,) = alice.of(Welcome)
        return welcome.time_ms, welcome.registry

    def test_tells_the_clock_and_the_registry(self) -> None:
        rig = Rig()
        rig.core.on_surroundings(1_800_000_000.5, 7, rig.now)
        assert self.welcome_of(rig) == (1_800_000_000_500, 7)

    def test_tells_neither_where_they_are_not_known(self) -> None:
        assert self.welcome_of(Rig()) == (0, 0)


class TestEcho:
    """Every broker answers `braid.echo` itself."""

    def test_any_node_gets_its_payload_back(self) -> None:
        rig = Rig()
        client = rig.client(calls=())
        sent = client.request(ECHO_SERVICE, b"ping")
        answer = client.one()
        assert (answer.command, answer.code, answer.tag, answer.payload, answer.sender) == (
            REPLY,
            Outcome.RESULT,
            sent.tag,
            b"ping",
            b"b1",
        )

    def test_large_or_late_ones_are_none(self) -> None:
        rig = Rig()
        client = rig.client()
        client.request(ECHO_SERVICE, bytes(ECHO_BYTES_MAX + 1))
        assert client.answer() == (REJECT, Reason.NO_WORKER)
        client.request(ECHO_SERVICE, time_ms=0)
        assert client.answer() == (REJECT, Reason.EXPIRED)

    def test_nobody_else_may_provide_it(self) -> None:
        rig = Rig()
        rig.connect("worker", serves=("*",)).ready(ECHO_SERVICE, 1)
        assert not rig.core.dispatcher.services
        assert rig.core.counters["refused_serve"] == 1
