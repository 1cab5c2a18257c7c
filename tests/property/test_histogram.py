"""Histograms beside sorted lists of what they have counted."""

from bisect import bisect_left, bisect_right
from math import ceil

from hypothesis import given
from hypothesis import strategies as st

from braidmq.core.histogram import BUCKETS, Histogram, bucket_of, lower_s

TIMES = st.floats(0.0, 100_000.0, allow_nan=False) | st.floats(0.0, 0.01, allow_nan=False)
MANY = st.lists(TIMES, max_size=60)
SHARES = st.floats(0.0, 1.0, allow_nan=False)


def of(times: list[float]) -> Histogram:
    made = Histogram()
    for each in times:
        made.add(each)
    return made


@given(st.lists(TIMES, min_size=1, max_size=60), SHARES)
def test_quantile_is_within_the_bucket_of_that_of_a_sorted_list(times: list[float], share: float) -> None:
    true = sorted(times)[max(0, ceil(share * len(times)) - 1)]
    told = of(times).quantile(share)
    assert told is not None
    assert abs(told - true) <= max(4.1e-6, true / 14)


@given(TIMES, TIMES)
def test_longer_times_have_no_lower_bucket(one: float, other: float) -> None:
    assert (one <= other) <= (bucket_of(one) <= bucket_of(other))


@given(st.integers(0, BUCKETS - 1))
def test_buckets_are_gapless_and_narrow(bucket: int) -> None:
    lower, upper = lower_s(bucket), lower_s(bucket + 1)
    middle = (lower + upper) / 2
    assert bucket_of(middle) == bucket
    assert upper - lower <= max(8.1e-6, lower / 8 * (1 + 1e-9))


@given(MANY, MANY)
def test_merging_is_counting_all_at_one_place(some: list[float], others: list[float]) -> None:
    merged = Histogram().merge([of(some), of(others)])
    assert merged.encoded() == of(some + others).encoded()
    assert merged.count == len(some) + len(others)


@given(MANY, MANY)
def test_two_looks_give_what_was_counted_between(before: list[float], between: list[float]) -> None:
    first = of(before)
    assert Histogram().merge([first, of(between)]).since(first).encoded() == of(between).encoded()


@given(MANY)
def test_that_travels_is_the_same(times: list[float]) -> None:
    made = of(times)
    found = Histogram.of(made.encoded())
    assert (found.encoded(), found.count) == (made.encoded(), made.count)
    assert len(made.encoded()) <= 2 * BUCKETS


@given(MANY, st.lists(st.integers(0, BUCKETS), unique=True).map(sorted))
def test_cumulative_counts_are_those_of_a_sorted_list_at_the_ends_of_buckets(
    times: list[float], ends: list[int]
) -> None:
    bounds = [lower_s(end) for end in ends]
    ordered = sorted(map(bucket_of, times))
    assert of(times).cumulative(bounds) == [bisect_left(ordered, end) for end in ends]


@given(st.lists(st.integers(-5, 2 * BUCKETS)), SHARES)
def test_whatever_travels_can_be_asked(said: list[int], share: float) -> None:
    found = Histogram.of(said)
    told = found.quantile(share)
    assert (told is None) == (found.count == 0)
    assert told is None or lower_s(0) <= told <= lower_s(BUCKETS)
    assert bisect_right(found.cumulative([lower_s(BUCKETS)]), found.count) == 1
