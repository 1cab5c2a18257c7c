from braidmq.core.events import EVENTS_MAX, INFO, WARNING, Event, EventLog


def test_events_come_out_in_order_and_only_once() -> None:
    log = EventLog()
    log.add(INFO, "one")
    log.add(WARNING, "two")
    assert log.take() == [Event(INFO, "one"), Event(WARNING, "two")]
    assert log.take() == []


def test_flood_is_bounded_and_what_is_dropped_is_counted() -> None:
    log = EventLog()
    for number in range(EVENTS_MAX + 7):
        log.add(INFO, str(number))
    assert log.dropped == 7
    assert [event.text for event in log.take()] == [str(number) for number in range(EVENTS_MAX)]
    log.add(INFO, "again")
    assert len(log.take()) == 1


def test_flood_of_news_does_not_drown_a_warning() -> None:
    log = EventLog()
    for number in range(EVENTS_MAX):
        log.add(INFO, str(number))
    for number in range(EVENTS_MAX + 3):
        log.add(WARNING, f"warning {number}")
    assert [event.text for event in log.take()][EVENTS_MAX:] == [f"warning {number}" for number in range(EVENTS_MAX)]
    assert log.dropped == 3
