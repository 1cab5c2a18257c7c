"""The buckets of histograms, and what travels of them. What holds for all inputs: tests/property/test_histogram.py."""

import pytest

from braidmq.core.histogram import BUCKETS, COUNT_MAX, UNITS_PER_S, Histogram, bucket_of, lower_s


def of(*seconds: float) -> Histogram:
    made = Histogram()
    for each in seconds:
        made.add(each)
    return made


@pytest.mark.parametrize(
    ("seconds", "bucket"),
    [(0.0, 0), (7.9e-6, 0), (8.1e-6, 1), (15.1 / UNITS_PER_S, 15), (16.1 / UNITS_PER_S, 16), (0.001, 39),
     (1.0, 119), (60.0, 166), (86_400.0, 250)],
)  # fmt: skip
def test_bucket_of_a_time(seconds: float, bucket: int) -> None:
    assert bucket_of(seconds) == bucket
    assert lower_s(bucket) <= seconds < lower_s(bucket + 1)


@pytest.mark.parametrize("seconds", [-1.0, -1e-9])
def test_time_that_went_back_is_no_time(seconds: float) -> None:
    assert bucket_of(seconds) == 0


def test_what_takes_longer_than_all_counts_in_the_last_bucket() -> None:
    assert bucket_of(lower_s(BUCKETS)) == bucket_of(1e12) == BUCKETS - 1


def test_encoded_names_the_buckets_that_are_not_empty_in_order() -> None:
    made = of(1.0, 0.0, 1.0)
    made.add(0.001, 7)
    assert made.encoded() == [0, 1, 39, 7, 119, 2]
    assert made.count == 10
    assert Histogram().encoded() == []


@pytest.mark.parametrize(
    ("said", "counted"),
    [
        ([], []),
        ([5], []),
        ([5, 1, 6], [5, 1]),
        ([999, 1], [BUCKETS - 1, 1]),
        ([-3, 1], [0, 1]),
        ([5, -1], []),
        ([5, 1, 5, 2], [5, 3]),
        ([5, 2**80], [5, COUNT_MAX]),
        ([5, COUNT_MAX, 5, COUNT_MAX], [5, COUNT_MAX]),
    ],
)
def test_whatever_a_peer_has_encoded_is_some_histogram(said: list[int], counted: list[int]) -> None:
    found = Histogram.of(said)
    assert found.encoded() == counted
    assert found.count == sum(counted[1::2])


def test_nothing_has_no_quantile() -> None:
    assert Histogram().quantile(0.5) is None


def test_since_leaves_out_what_was_there_before() -> None:
    before = of(0.001, 1.0)
    after = Histogram().merge([before, of(0.001, 60.0)])
    assert after.since(before).encoded() == of(0.001, 60.0).encoded()
    assert after.since(after).count == 0


def test_since_is_all_there_is_where_counting_has_begun_anew() -> None:
    restarted = of(0.001)
    found = restarted.since(of(0.001, 1.0))
    assert found.encoded() == restarted.encoded()
    assert found is not restarted


def test_cumulative_counts_what_lies_within_each_bound() -> None:
    made = of(0.0005, 0.05, 0.05, 3.0)
    assert made.cumulative([0.001, 0.1, 1.0, 10.0]) == [1, 3, 3, 4]
    assert Histogram().cumulative([1.0]) == [0]
