"""Which replies of a service are measured, and that each counts once."""

from braidmq.core.broker.timing import EACH_MAX, STRIDE
from braidmq.core.broker.transit import Service
from braidmq.core.histogram import bucket_of
from braidmq.settings import Settings


def new() -> Service:
    return Service(b"echo", Settings())


def passed(service: Service, seconds: float) -> bool:
    """Pass a reply as the dispatcher does; return whether it was measured."""
    service.unmeasured -= 1
    if service.unmeasured:
        return False
    service.unmeasured = service.timing.measure(seconds)
    return True


def test_first_ones_are_all_measured() -> None:
    service = new()
    assert all(passed(service, 0.001) for _ in range(EACH_MAX))
    assert service.timing.encoded() == [bucket_of(0.001), EACH_MAX]


def test_then_one_of_many_is_and_counts_for_all_of_them() -> None:
    service = new()
    for _ in range(EACH_MAX):
        passed(service, 0.001)
    measured = [passed(service, 1.0) for _ in range(10 * STRIDE)]
    assert sum(measured) == 10
    assert service.timing.encoded() == [bucket_of(0.001), EACH_MAX, bucket_of(1.0), 10 * STRIDE]


def test_replies_are_counted_one_by_one() -> None:
    service = new()
    for count in range(EACH_MAX + 3 * STRIDE):
        assert service.replies == count
        passed(service, 0.001)


def test_after_a_minute_each_one_is_measured_again() -> None:
    service = new()
    for _ in range(EACH_MAX + STRIDE):
        passed(service, 0.001)
    service.timing.renew()
    for _ in range(STRIDE):  # the one that is due ends the old way
        passed(service, 0.001)
    assert all(passed(service, 0.001) for _ in range(EACH_MAX - STRIDE))
    assert not passed(service, 0.001)


def test_every_place_in_a_bundle_is_measured_in_its_turn() -> None:
    service = new()
    for _ in range(EACH_MAX):
        passed(service, 0.0)
    for size in (2, 8, 10, 16, 64, 100, 128):
        places = {number % size for number in range(7 * size * STRIDE) if passed(service, 0.0)}
        assert places == set(range(size))
