import math
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from braidmq.histogram import BUCKETS_MAX, GROWTH, LOW_MS, Histogram


def filled(latencies_ms):
    histogram = Histogram()
    for latency in latencies_ms:
        histogram.add(latency / 1000.0)
    return histogram


def test_an_empty_histogram_has_percentiles_of_zero():
    assert Histogram().percentile_ms(99) == 0.0
    assert Histogram().total == 0


@pytest.mark.parametrize("percent", [1, 50, 90, 99, 99.9, 100])
def test_a_percentile_is_at_most_one_bucket_above_the_true_one(percent):
    rng = Random(1)
    latencies = sorted(rng.lognormvariate(3, 1.5) for _ in range(5_000))
    true = latencies[max(0, -int(-len(latencies) * percent // 100) - 1)]
    assert true <= filled(latencies).percentile_ms(percent) * (1 + 1e-9)
    assert filled(latencies).percentile_ms(percent) <= true * GROWTH * (1 + 1e-9)


def test_the_last_percentile_is_the_exact_maximum():
    assert filled([1.0, 2.0, 123.456]).percentile_ms(100) == pytest.approx(123.456)
    assert filled([1.0] * 999 + [5_000.0]).percentile_ms(99) == pytest.approx(1.0, rel=0.02)


def test_buckets_are_bounded_for_any_latency():
    histogram = filled([0.0, 1e-9, *(10.0**power for power in range(-5, 12))])
    assert set(histogram.counts) <= set(range(BUCKETS_MAX))
    assert histogram.percentile_ms(0) > 0
    assert histogram.max_ms == pytest.approx(1e11)


def test_merging_is_like_adding_to_one():
    assert Histogram.merged([filled([1, 5, 9]), filled([2, 5]), Histogram()]) == filled([1, 5, 9, 2, 5])


def test_merging_leaves_the_parts_alone():
    part = filled([1])
    Histogram.merged([part, filled([1])])
    assert part == filled([1])


def test_a_window_holds_what_was_added_since():
    window = filled([1, 1, 5, 80, 80]).since(filled([1, 5]))
    assert window.counts == filled([1, 80, 80]).counts
    assert window.percentile_ms(50) == pytest.approx(80, rel=0.02)


def test_a_histogram_survives_json():
    histogram = filled([0.5, 12, 12, 3_000])
    assert msgspec.json.decode(msgspec.json.encode(histogram), type=Histogram) == histogram


latencies = st.lists(st.integers(0, 10**9).map(lambda us: us / 1000.0), min_size=1, max_size=200)


@settings(deadline=None)
@given(latencies, st.floats(0.0, 100.0))
def test_any_percentile_is_that_of_the_sorted_list_or_up_to_a_bucket_above(latencies_ms, percent):
    ordered = sorted(latencies_ms)
    true = ordered[max(0, math.ceil(len(ordered) * percent / 100.0) - 1)]
    told = filled(latencies_ms).percentile_ms(percent)
    ends_ms = LOW_MS * GROWTH ** (BUCKETS_MAX - 1)  # what is longer is told as the last bucket, or as the maximum
    assert min(true, ends_ms) * (1 - 1e-9) <= told <= max(LOW_MS, true * GROWTH) * (1 + 1e-9)


@settings(deadline=None)
@given(st.lists(latencies, max_size=5))
def test_histograms_of_any_parts_add_up_to_that_of_the_whole(parts):
    whole = filled([each for part in parts for each in part])
    assert Histogram.merged(map(filled, parts)) == whole
    assert len(whole.counts) <= BUCKETS_MAX
