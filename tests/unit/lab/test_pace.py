from hypothesis import given, settings
from hypothesis import strategies as st

from braidmq.lab.pace import BURST_MAX, Pace


def test_calls_are_due_at_the_rate_and_none_is_taken_twice():
    pace = Pace(100.0, 4.0)
    assert pace.take(100.0) == [100.0]
    assert pace.take(100.1) == []
    assert pace.wait_s(100.1) == 0.15000000000000568
    assert pace.take(100.6) == [100.25, 100.5]
    assert pace.wait_s(101.0) == 0.0


def test_after_a_delay_they_come_in_bursts_with_the_times_at_which_they_were_due():
    pace = Pace(0.0, 100.0)
    first, second = pace.take(0.4), pace.take(0.4)
    assert len(first) == BURST_MAX
    assert (first + second) == [number / 100.0 for number in range(41)]


def test_no_more_are_due_than_there_are():
    pace = Pace(0.0, 10.0, count=3)
    assert pace.take(60.0) == [0.0, 0.1, 0.2]
    assert pace.done
    assert pace.take(61.0) == []


@settings(deadline=None)
@given(st.floats(0.1, 10_000.0), st.lists(st.floats(0.0, 0.5), max_size=30))
def test_none_begins_before_it_is_due_and_waiting_makes_one_due(rate, pauses):
    pace, now = Pace(5.0, rate), 5.0
    for pause in pauses:
        now += pause
        assert all(due <= now + 1e-9 for due in pace.take(now))
        assert pace.take(now + pace.wait_s(now) + 1e-9) != []
