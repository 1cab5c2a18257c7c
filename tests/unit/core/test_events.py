import pytest

from braidmq.core.events import (
    BUDGETS_MAX,
    DEBUG,
    DETAIL_CHARS_MAX,
    EVENTS_MAX,
    INFO,
    LINES_MAX,
    PERIOD_S,
    WARNING,
    Event,
    EventLog,
)

NASTY = "\n2026-01-01 00:00:00.000 INFO    \x1b[2Jforged\r\x07\x9b31m\x85\u2028\u2029\u202e\u2066\x00{}\udcff"


@pytest.fixture
def log():
    events = EventLog()
    events.on_timer(100.0)
    yield events
    events.validate_state()


def texts(log):
    return [event.text for event in log.take()]


def test_events_come_out_in_order_and_only_once(log):
    log.add(INFO, "{} connected", "n1")
    log.add(WARNING, "{} sent {}", "n2", "nonsense")
    assert log.take() == [Event(INFO, "n1 connected"), Event(WARNING, "n2 sent nonsense")]
    assert log.take() == []


def test_what_others_have_said_is_escaped_wherever_it_stands(log):
    log.add(WARNING, "{} sent {}: cut", NASTY, NASTY)
    (text,) = texts(log)
    assert text.isprintable()
    assert text.isascii()
    assert text.endswith(": cut")
    assert text.count("\\x1b[2Jforged") == 2


def test_a_long_detail_is_cut_and_what_follows_it_is_kept(log):
    log.add(WARNING, "{} sent {}: it is counted", "n1", "x" * 1_000_000)
    (text,) = texts(log)
    assert text.endswith("x... and 999,500 characters more: it is counted")
    assert len(text) < DETAIL_CHARS_MAX + 100


def test_a_form_that_asks_for_more_or_less_than_there_is_does_no_harm(log):
    log.add(INFO, "a bundle of {} {", "n1", "too many")
    log.add(INFO, "{} and {} and {}", "n1")
    assert texts(log)[0].startswith("a bundle of n1")


def test_flood_is_bounded_and_what_is_dropped_is_counted_and_told(log):
    for number in range(EVENTS_MAX + 7):
        log.add(INFO, "{}", str(number))
    *first, last = log.take()
    assert [event.text for event in first] == [str(number) for number in range(EVENTS_MAX)]
    assert last == Event(INFO, "7 more lines were left out here: too many at one time")
    log.add(INFO, "{}", "again")
    assert texts(log) == ["again"]


def test_flood_of_news_does_not_drown_a_warning(log):
    for number in range(EVENTS_MAX):
        log.add(INFO, "{}", str(number))
    for number in range(EVENTS_MAX + 3):
        log.add(WARNING, "{}", f"warning {number}")
    assert texts(log)[EVENTS_MAX:-1] == [f"warning {number}" for number in range(EVENTS_MAX)]


def test_a_member_that_repeats_itself_gets_a_line_in_a_period_and_nothing_is_lost_from_the_count(log):
    told, counted = 0, 0
    for second in range(600):
        for _ in range(90):
            log.add(INFO, "{} connected", "weak")
            log.add(INFO, "{} disconnected", "weak")
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
        log.add(INFO, "{} connected", "weak")
    log.add(INFO, "{} connected", "n1")
    log.add(WARNING, "{} connected", "weak")
    log.add(INFO, "{} is leaving", "weak")
    assert texts(log) == [*["weak connected"] * LINES_MAX, "n1 connected", "weak connected", "weak is leaving"]


def test_after_a_quiet_period_all_of_a_member_s_lines_are_told_again(log):
    for _ in range(LINES_MAX + 1):
        log.add(INFO, "{} connected", "n1")
    log.on_timer(100.0 + PERIOD_S)
    assert texts(log)[LINES_MAX:] == ["1 more line like this of n1: n1 connected"]
    log.add(INFO, "{} connected", "n1")
    log.on_timer(100.0 + 2 * PERIOD_S)
    assert texts(log) == ["1 more line like this of n1: n1 connected"]
    log.on_timer(100.0 + 3 * PERIOD_S)
    log.add(INFO, "{} connected", "n1")
    assert texts(log) == ["n1 connected"]


def test_members_beyond_the_table_share_a_budget_for_each_level(log):
    for number in range(BUDGETS_MAX):
        log.add(INFO, "{} connected", f"n{number}")
        if number % 500 == 0:
            log.take()
    log.take()
    for number in range(100):
        for level in (DEBUG, INFO, WARNING):
            log.add(level, "{} connected", f"more{number}")
            log.validate_state()
    assert len(texts(log)) == 3 * LINES_MAX
    log.on_timer(100.0 + PERIOD_S)
    assert [text.partition(":")[0] for text in texts(log)] == ["90 more lines like this of others"] * 3
