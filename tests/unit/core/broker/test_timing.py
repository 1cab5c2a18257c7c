"""Which replies of a service are measured, and that each counts once."""

from braidmq.core.broker.timing import EACH_MAX, STRIDE, Timing
from braidmq.core.histogram import bucket_of


def passed(timing: Timing, seconds: float) -> bool:
    """Pass a reply as the dispatcher does; return whether it was measured."""
    timing.left -= 1
    if timing.left:
        return False
    timing.measure(seconds)
    return True


def test_first_ones_are_all_measured() -> None:
    timing = Timing()
    assert all(passed(timing, 0.001) for _ in range(EACH_MAX))
    assert timing.encoded() == [bucket_of(0.001), EACH_MAX]


def test_then_every_seventh_is_and_counts_for_all_seven() -> None:
    timing = Timing()
    for _ in range(EACH_MAX):
        passed(timing, 0.001)
    measured = [passed(timing, 1.0) for _ in range(10 * STRIDE)]
    assert sum(measured) == 10
    assert timing.encoded() == [bucket_of(0.001), EACH_MAX, bucket_of(1.0), 10 * STRIDE]


def test_replies_are_counted_one_by_one() -> None:
    timing = Timing()
    for count in range(EACH_MAX + 3 * STRIDE):
        assert timing.replies == count
        passed(timing, 0.001)


def test_after_a_minute_each_one_is_measured_again() -> None:
    timing = Timing()
    for _ in range(EACH_MAX + STRIDE):
        passed(timing, 0.001)
    timing.renew()
    for _ in range(STRIDE):  # the one that is due ends the old way
        passed(timing, 0.001)
    assert all(passed(timing, 0.001) for _ in range(EACH_MAX - STRIDE))
    assert not passed(timing, 0.001)


def test_every_place_in_a_bundle_is_measured_in_its_turn() -> None:
    timing = Timing()
    for _ in range(EACH_MAX):
        passed(timing, 0.0)
    for size in (2, 8, 10, 16, 64, 100, 128):
        places = {number % size for number in range(7 * size * STRIDE) if passed(timing, 0.0)}
        assert places == set(range(size))
