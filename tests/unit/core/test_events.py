import logging
from importlib import import_module
from pkgutil import iter_modules

import msgspec
import pytest

from braidmq.core import events
from braidmq.core.events.event import DEBUG, DETAIL_CHARS_MAX, INFO, WARNING, Event, fields_of
from braidmq.core.events.log import BUDGETS_MAX, EVENTS_MAX, LINES_MAX, PERIOD_S, EventLog, LeftOut, MoreLikeThis

NASTY = "\n2026-01-01 00:00:00.000 INFO    \x1b[2Jforged\r\x07\x9b31m\x85\u2028\u2029\u202e\u2066\x00{}\udcff"


class Came(Event, frozen=True):
    def text(self):
        return f"{self.about} connected"


class Went(Event, frozen=True):
    def text(self):
        return f"{self.about} disconnected"


class Told(Event, frozen=True):
    level = WARNING
    what: str

    def text(self):
        return f"{self.about} sent {self.what}: cut"


class Noted(Event, frozen=True):
    level: int

    def text(self):
        return self.about


def _kinds():
    """Every kind of event that there is."""
    for module in iter_modules(events.__path__):
        name = f"braidmq.core.events.{module.name}"
        for each in vars(import_module(name)).values():
            if isinstance(each, type) and issubclass(each, Event) and each is not Event and each.__module__ == name:
                yield each


KINDS = list(_kinds())


def an_event(kind, text):
    """Return an event of a kind that says `text` wherever it says anything."""
    values = {str: text, bool: False, int: 10, float: 2.5, Event: Came(text)}
    return kind(*(values[field.type] for field in msgspec.structs.fields(kind)))


@pytest.fixture
def log():
    kept = EventLog()
    kept.on_timer(100.0)
    yield kept
    kept.validate_state()


def texts(log):
    return [str(event) for event in log.take()]


@pytest.mark.parametrize("kind", KINDS)
def test_a_logger_takes_the_fields_of_an_event(kind):
    taken = vars(logging.makeLogRecord({})).keys() | {"message", "asctime"}
    assert not fields_of(an_event(kind, "text")).keys() & taken


def test_events_come_out_in_order_and_only_once(log):
    log.add(Came("n1"))
    log.add(Told("n2", "nonsense"))
    assert log.take() == [Came("n1"), Told("n2", "nonsense")]
    assert log.take() == []


def test_kinds_of_events_have_names_of_their_own():
    names = [kind.kind for kind in KINDS]
    assert len(names) == len(set(names)) >= 37


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_event_is_escaped_and_bounded_in_its_fields_and_its_text(kind):
    event = an_event(kind, NASTY + "x" * 100_000)
    fields = fields_of(event)
    assert fields.pop("event") == kind.__name__
    assert set(fields) == set(kind.__struct_fields__)
    for text in (str(event), event.text(), event.about, *(each for each in fields.values() if isinstance(each, str))):
        assert text.isprintable()
        assert text.isascii()
        assert len(text) < len(kind.__struct_fields__) * (DETAIL_CHARS_MAX + 500)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_event_can_be_logged_with_its_fields(kind):
    event = an_event(kind, "n1")
    fields = fields_of(event)
    record = logging.getLogger("x").makeRecord("x", event.level, "", 0, "%s", (event,), None, extra=fields)
    assert record.getMessage() == str(event)
    assert fields.items() <= vars(record).items()
    assert fields.keys().isdisjoint(vars(logging.makeLogRecord({})))
    assert "n1" in str(event) or kind is LeftOut
    assert event.level in (10, 20, 30, 40)
    assert msgspec.json.encode(fields)


def test_what_others_have_said_is_escaped_wherever_it_stands(log):
    log.add(Told(NASTY, NASTY))
    (text,) = texts(log)
    assert text.isprintable()
    assert text.isascii()
    assert text.endswith(": cut")
    assert text.count("\\x1b[2Jforged") == 2


def test_a_text_that_forgets_to_use_the_fields_is_escaped_all_the_same():
    class Raw(Event, frozen=True):
        def text(self):
            return NASTY

    assert str(Raw("n1")).isprintable()


def test_a_long_detail_is_cut_and_what_follows_it_is_kept(log):
    log.add(Told("n1", "x" * 1_000_000))
    (text,) = texts(log)
    assert text.endswith("x... and 999,500 characters more: cut")
    assert len(text) < DETAIL_CHARS_MAX + 100


def test_flood_is_bounded_and_what_is_dropped_is_counted_and_told(log):
    for number in range(EVENTS_MAX + 7):
        log.add(Noted(str(number), INFO))
    *first, last = log.take()
    assert [str(event) for event in first] == [str(number) for number in range(EVENTS_MAX)]
    assert last == LeftOut("others", INFO, 7)
    assert str(last) == "7 more lines were left out here: too many at one time"
    log.add(Noted("again", INFO))
    assert texts(log) == ["again"]


def test_flood_of_news_does_not_drown_a_warning(log):
    for number in range(EVENTS_MAX):
        log.add(Noted(str(number), INFO))
    for number in range(EVENTS_MAX + 3):
        log.add(Noted(f"warning {number}", WARNING))
    assert texts(log)[EVENTS_MAX:-1] == [f"warning {number}" for number in range(EVENTS_MAX)]


def test_a_member_that_repeats_itself_gets_a_line_in_a_period_and_nothing_is_lost_from_the_count(log):
    told, counted = 0, 0
    for second in range(600):
        for _ in range(90):
            log.add(Came("weak"))
            log.add(Went("weak"))
        log.on_timer(101.0 + second)
        for text in texts(log):
            told += 1
            more, _, rest = text.partition(" more lines like this of weak: ")
            assert rest in ("weak connected", "weak disconnected", "")
            counted += int(more.replace(",", "")) if rest else 1
    log.sum_up()
    counted += sum(int(text.partition(" ")[0].replace(",", "")) for text in texts(log))
    assert counted == 600 * 180
    assert told <= 2 * (LINES_MAX + 600 / PERIOD_S + 1)


def test_who_floods_the_log_takes_no_line_from_anybody_else_nor_from_news_of_another_kind(log):
    for _ in range(10_000):
        log.add(Came("weak"))
    log.add(Came("n1"))
    log.add(Noted("weak", WARNING))
    log.add(Noted("weak", INFO))
    log.add(Went("weak"))
    assert texts(log) == [*["weak connected"] * LINES_MAX, "n1 connected", "weak", "weak", "weak disconnected"]


def test_after_a_quiet_period_all_of_a_member_s_lines_are_told_again(log):
    for _ in range(LINES_MAX + 1):
        log.add(Came("n1"))
    log.on_timer(100.0 + PERIOD_S)
    (summary,) = log.take()[LINES_MAX:]
    assert summary == MoreLikeThis("n1", INFO, "Came", 1, Came("n1"))
    assert str(summary) == "1 more line like this of n1: n1 connected"
    assert fields_of(summary)["last"] == "n1 connected"
    log.add(Came("n1"))
    log.on_timer(100.0 + 2 * PERIOD_S)
    assert texts(log) == ["1 more line like this of n1: n1 connected"]
    log.on_timer(100.0 + 3 * PERIOD_S)
    log.add(Came("n1"))
    assert texts(log) == ["n1 connected"]


def test_members_beyond_the_table_share_a_budget_for_each_level(log):
    for number in range(BUDGETS_MAX):
        log.add(Came(f"n{number}"))
        if number % 500 == 0:
            log.take()
    log.take()
    for number in range(100):
        for level in (DEBUG, INFO, WARNING):
            log.add(Noted(f"more{number}", level))
            log.validate_state()
    assert len(texts(log)) == 3 * LINES_MAX
    log.on_timer(100.0 + PERIOD_S)
    assert [text.partition(":")[0] for text in texts(log)] == ["90 more lines like this of others"] * 3
