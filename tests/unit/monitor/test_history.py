import pytest

from braidmq.monitor.history import NET, SERIES, STEPS, SUBJECT_BYTES, SUBJECTS_MAX, History


def row(requests=None, p99=None):
    return (requests, None, None, None, None, None, p99)


def read(history, subject=NET, span="hour", name="requests_per_s"):
    past = history.past(subject, span, 0.0)
    return past.first_s, past.series[name]


def test_each_second_has_its_value():
    history = History()
    for second in (100.2, 101.3, 102.1):
        history.note({NET: row(second)}, second)
    assert read(history) == (100.0, pytest.approx([100.2, 101.3, 102.1], abs=1e-3))


def test_a_second_without_a_look_has_none():
    history = History()
    for second in (100.0, 103.0):
        history.note({NET: row(second)}, second)
    assert read(history) == (100.0, [100.0, None, None, 103.0])


def test_values_that_repeat_are_there_for_each_of_their_seconds():
    history, expected = History(), []
    for second in range(200):
        value = 1.0 if second < 70 else 2.0 if second < 150 else float(second)
        history.note({NET: row(value)}, 1_000.0 + second)
        expected.append(value)
        if second in (5, 69, 70, 119):
            assert read(history) == (1_000.0, expected)
    assert read(history) == (1_000.0, expected)


def test_a_minute_of_values_that_repeat_has_their_mean():
    history = History()
    for second in range(180):
        history.note({NET: row(4.0 if 30 <= second < 140 else 1.0, p99=None if second < 90 else 7.0)}, 60.0 + second)
    first_s, minutes = read(history, span="day")
    assert (first_s, minutes) == (60.0, [2.5, 4.0, 2.0])
    assert read(history, span="day", name="p99_ms")[1] == [None, 7.0, 7.0]


def test_a_second_without_a_look_has_none_between_values_that_repeat():
    history = History()
    for second in (100.0, 101.0, 104.0, 105.0):
        history.note({NET: row(1.0)}, second)
    assert read(history) == (100.0, [1.0, 1.0, None, None, 1.0, 1.0])


def test_the_later_of_two_looks_in_one_second_counts_for_values_that_have_repeated():
    history = History()
    for second, value in ((100.0, 1.0), (101.0, 1.0), (101.9, 2.0), (102.0, 2.0)):
        history.note({NET: row(value)}, second)
    assert read(history) == (100.0, [1.0, 2.0, 2.0])


def test_the_later_of_two_looks_in_one_second_counts():
    history = History()
    history.note({NET: row(1.0)}, 100.1)
    history.note({NET: row(2.0)}, 100.9)
    assert read(history) == (100.0, [2.0])


def test_what_is_older_than_an_hour_goes():
    history, count = History(), STEPS["hour"][1]
    for second in range(count + 10):
        history.note({NET: row(float(second))}, float(second))
    first_s, values = read(history)
    assert (first_s, len(values), values[0], values[-1]) == (10.0, count, 10.0, count + 9.0)


def test_after_a_pause_of_hours_nothing_old_is_left():
    history, count = History(), STEPS["hour"][1]
    for second in range(10):
        history.note({NET: row(1.0)}, float(second))
    history.note({NET: row(2.0)}, 5.0 * count)
    first_s, values = read(history)
    assert (first_s, values) == (4.0 * count + 1, [None] * (count - 1) + [2.0])


def test_a_minute_has_the_mean_of_its_seconds_and_of_latencies_the_largest():
    history = History()
    for second, (requests, p99) in enumerate([(1.0, 5.0), (3.0, 9.0), (2.0, 1.0)]):
        history.note({NET: row(requests, p99)}, 120.0 + second)
    history.note({NET: row(7.0)}, 180.0)
    assert read(history, span="day") == (120.0, [2.0, 7.0])
    assert read(history, span="day", name="p99_ms") == (120.0, [9.0, None])


def test_minutes_without_a_look_have_none_and_days_end():
    history, count = History(), STEPS["day"][1]
    for minute in range(count + 3):
        if minute % 100 != 50:
            history.note({NET: row(float(minute))}, 60.0 * minute + 7)
    first_s, values = read(history, span="day")
    assert (first_s, len(values)) == (60.0 * 2, count + 1)
    assert (values[0], values[48], values[49], values[-1]) == (2.0, None, 51.0, count + 2.0)


def test_what_was_never_told_is_none_and_weighs_nothing():
    history = History()
    history.note({NET: row(1.0)}, 100.0)
    assert read(history, name="p99_ms") == (100.0, [None])
    assert history.values_bytes == 4 * STEPS["hour"][1]
    history.note({NET: row(1.0)}, 160.0)
    assert history.values_bytes == SUBJECT_BYTES / len(SERIES)


def test_what_nobody_knows_has_no_past():
    assert History().past("service:echo", "hour", 0.0) is None


def test_subjects_are_bounded_and_so_is_their_memory():
    history = History()
    everything = (1.0,) * len(SERIES)
    many = {f"service:{number}": everything for number in range(SUBJECTS_MAX + 5)}
    for now_s in (100.0, 160.0):
        history.note({NET: everything, **many}, now_s)
    assert [name for name in many if history.past(name, "hour", 0.0) is None] == list(many)[SUBJECTS_MAX:]
    assert history.values_bytes == (SUBJECTS_MAX + 1) * SUBJECT_BYTES
    assert history.values_bytes < 37 * 1024 * 1024


def test_one_that_is_no_longer_told_of_makes_room():
    history = History()
    many = {f"service:{number}": row(1.0) for number in range(SUBJECTS_MAX)}
    history.note({NET: row(), **many}, 100.0)
    del many["service:7"], many["service:9"]
    history.note({NET: row(), "service:9": row(1.0), **many}, 101.0)
    history.note({NET: row(), "service:new": row(2.0), **many}, 102.0)
    assert read(history, "service:new") == (102.0, [2.0])
    assert history.past("service:7", "hour", 0.0) is None
    assert history.past("service:9", "hour", 0.0) is not None
    assert read(history) == (100.0, [None, None, None])
