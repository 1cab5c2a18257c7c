import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from braidmq.core.timers import EMPTY_MAX, GRAIN_S, Timers


def test_key_falls_due_never_early_and_a_grain_late_at_most() -> None:
    timers: Timers[str] = Timers()
    timers.add("a", 10.0)
    assert timers.take_due(9.999) == []
    assert timers.take_due(10.0 + GRAIN_S) == ["a"]
    assert timers.take_due(99.0) == []


def beside(due: float, ulps: int) -> float:
    """Return the instant that is so many floats away from the border of a bucket near `due`."""
    due = round(due, 2)
    for _ in range(abs(ulps)):
        due = math.nextafter(due, math.inf if ulps > 0 else 0.0)
    return due


@given(st.floats(0.0, 1e7), st.integers(-2, 2))
def test_deadline_is_never_early_whatever_the_rounding(due: float, ulps: int) -> None:
    due = beside(due, ulps)
    timers: Timers[str] = Timers()
    timers.add("a", due)
    deadline = timers.next_deadline()
    assert deadline is not None
    assert due <= deadline <= due + GRAIN_S * 1.001
    assert timers.take_due(deadline) == ["a"], "a shell that comes at the deadline finds what is due"


@given(st.floats(0.0, 1e7), st.integers(-2, 2), st.floats(0.0, 10.0))
def test_what_is_added_again_at_its_instant_falls_due_after_it(due: float, ulps: int, before_s: float) -> None:
    due = beside(due, ulps)
    timers: Timers[str] = Timers()
    timers.add("a", due)
    now = timers.next_deadline()
    assert now is not None
    assert timers.take_due(now) == ["a"]
    number = timers.add("a", now - before_s)
    assert number == timers.number(now - before_s)
    later = timers.next_deadline()
    assert later is not None
    assert now < later <= now + GRAIN_S * 1.001


def test_earliest_key_falls_due_first() -> None:
    timers: Timers[str] = Timers()
    for key, due in (("c", 3.0), ("a", 1.0), ("b", 2.0)):
        timers.add(key, due)
    assert timers.take_due(5.0) == ["a", "b", "c"]


def test_cancelled_key_does_not_fall_due_and_sets_no_deadline() -> None:
    timers: Timers[str] = Timers()
    number = timers.add("a", 1.0)
    timers.add("b", 2.0)
    timers.cancel("a", number)
    deadline = timers.next_deadline()
    assert deadline is not None
    assert deadline > 1.9
    assert timers.take_due(5.0) == ["b"]


def test_cancelling_what_is_not_there_does_nothing() -> None:
    timers: Timers[str] = Timers()
    number = timers.add("a", 1.0)
    timers.take_due(2.0)
    timers.cancel("a", number)
    timers.cancel("b", 12345)
    assert timers.next_deadline() is None


def test_key_may_be_added_anew() -> None:
    timers: Timers[str] = Timers()
    number = timers.add("a", 1.0)
    timers.cancel("a", number)
    timers.add("a", 3.0)
    assert timers.take_due(2.0) == []
    assert timers.take_due(4.0) == ["a"]


def test_length_counts_the_keys() -> None:
    timers: Timers[int] = Timers()
    numbers = {key: timers.add(key, key % 3) for key in range(10)}
    assert len(timers) == 10
    timers.validate_state(numbers)
    timers.cancel(0, numbers.pop(0))
    timers.validate_state(numbers)
    with pytest.raises(AssertionError):
        timers.validate_state({})


def test_empty_buckets_do_not_pile_up() -> None:
    timers: Timers[int] = Timers()
    timers.add(-1, 1.0)
    for key in range(1000):
        timers.cancel(key, timers.add(key, 10.0 + key * 0.1))
    assert len(timers._buckets) <= EMPTY_MAX + 2
    assert timers.take_due(2.0) == [-1]
    assert timers.next_deadline() is None
    assert not timers._buckets


def test_random_use_keeps_it_consistent() -> None:
    rng = random.Random(5)
    timers: Timers[int] = Timers()
    held: dict[int, int] = {}
    now = 0.0
    for key in range(5_000):
        held[key] = timers.add(key, now + rng.random() * 5)
        if rng.random() < 0.7:
            gone = rng.choice(list(held))
            timers.cancel(gone, held.pop(gone))
        if rng.random() < 0.05:
            now += rng.random()
            for due in timers.take_due(now):
                del held[due]
        timers.validate_state(held)
