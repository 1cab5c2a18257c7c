"""When the ends of certificates are told: by each of the marks once, whatever the clock does."""

from itertools import pairwise

import pytest

from braidmq.bounds import DAY_S
from braidmq.core.registry.clocks import Clocks, middle
from braidmq.core.registry.ends import LOOK_S, SET_BACK_S, WARNED_DAYS, Marks

NOW = 1_700_000_000.0


def told(marks: Marks, unix_s: float, end_s: float) -> list[int]:
    """By how many days an end is told at a time."""
    return [span.days for span in marks.spans(unix_s) if span.after_s < end_s <= span.until_s]


@pytest.mark.parametrize(
    ("left_days", "days"),
    [(-400, [0]), (0, [0]), (0.1, [1]), (1, [1]), (6, [7]), (29.9, [30]), (30.1, []), (4_000, [])],
)
def test_the_first_look_tells_what_ends_soon_by_the_least_of_the_marks(left_days: float, days: list[int]) -> None:
    assert told(Marks(), NOW, NOW + left_days * DAY_S) == days


def test_an_end_is_told_once_by_each_mark_as_time_goes_by() -> None:
    marks, end_s, found = Marks(), NOW + 31.5 * DAY_S, []
    for look in range(40 * 24):
        unix_s = NOW + look * 3_600
        found += [(days, round((end_s - unix_s) / DAY_S, 1)) for days in told(marks, unix_s, end_s)]
    assert found == [(30, 30.0), (7, 7.0), (1, 1.0), (0, 0.0)]


def test_what_several_marks_are_passed_by_at_once_is_told_by_the_last_of_them() -> None:
    marks, end_s = Marks(), NOW + 31 * DAY_S
    assert told(marks, NOW, end_s) == []
    assert told(marks, NOW + 30.5 * DAY_S, end_s) == [1]


def test_a_clock_that_is_set_back_a_little_tells_nothing_twice() -> None:
    marks, end_s = Marks(), NOW + 7 * DAY_S
    assert told(marks, NOW, end_s) == [7]
    for back_s in (1.0, SET_BACK_S):
        assert told(marks, NOW - back_s, end_s) == []
    assert told(marks, NOW + LOOK_S, end_s) == []


def test_a_clock_that_was_far_ahead_is_forgotten_once_it_is_right() -> None:
    marks, end_s = Marks(), NOW + 20 * DAY_S
    assert told(marks, NOW + 365 * DAY_S, end_s) == [0]
    assert told(marks, NOW, end_s) == [30]
    assert told(marks, NOW + 13.5 * DAY_S, end_s) == [7]


def test_spans_neither_overlap_nor_leave_a_gap_within_what_is_soon() -> None:
    spans = Marks().spans(NOW)
    assert [span.days for span in spans] == list(WARNED_DAYS)
    for one, other in pairwise(spans):
        assert one.until_s == other.after_s


@pytest.mark.parametrize(("times", "found"), [([3.0], 3.0), ([9.0, 3.0], 3.0), ([1.0, 50.0, 2.0], 2.0)])
def test_the_middle_of_times_is_the_earlier_one_of_two(times: list[float], found: float) -> None:
    assert middle(times) == found


def test_one_clock_of_three_that_is_hours_off_moves_the_time_of_the_net_by_nothing() -> None:
    for off_s in (-5 * 3_600.0, 5 * 3_600.0):
        clocks = Clocks(NOW + off_s, 0.0)
        clocks.hear("b2", NOW, 0.0)
        clocks.hear("b3", NOW + 1.0, 0.0)
        assert clocks.net_s(0.0) in (NOW, NOW + 1.0)
        assert abs(clocks.off_s - off_s) <= 1.0
