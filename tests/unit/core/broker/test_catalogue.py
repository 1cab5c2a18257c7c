"""Which services a broker knows, and the grants that wait for room."""

from braidmq.core.broker.catalogue import EXPECTED_MAX, POSTPONED_MAX, SERVES_MAX, Catalogue
from braidmq.core.broker.key_usage import KeyUsage
from braidmq.core.broker.transit import Session
from braidmq.core.liveness import Silence
from braidmq.members import Member, Role
from braidmq.settings import Settings


def session(usage: KeyUsage) -> Session:
    return Session(usage.principal.encode(), usage, Member(usage.principal, Role.NODE), Silence(1.5, 3.0), 1.0, 0.0)


def test_key_provides_so_many_services_and_half_of_what_there_is_room_for_at_most() -> None:
    for services_max, most in ((1, 1), (2, 1), (5, 3), (30_000, SERVES_MAX)):
        catalogue, hog = Catalogue(Settings(services_max=services_max)), KeyUsage("hog")
        provided = [catalogue.provide(str(number).encode(), hog) for number in range(SERVES_MAX + 5)]
        assert sum(service is not None for service in provided) == most
        assert "one key" in catalogue.limit(hog)


def test_what_a_key_provides_already_is_no_further_service() -> None:
    catalogue, hog = Catalogue(Settings(services_max=2)), KeyUsage("hog")
    assert catalogue.provide(b"echo", hog) is catalogue.provide(b"echo", hog)
    assert hog.serves == {b"echo": 2}


def test_nothing_gives_way_for_a_key_that_has_its_share_or_where_there_is_room() -> None:
    catalogue, hog, caller = Catalogue(Settings(services_max=3)), KeyUsage("hog"), KeyUsage("caller")
    expected = catalogue.expect(b"expected", caller)
    assert catalogue.displaced(b"one", hog) is None
    catalogue.provide(b"one", hog)
    catalogue.provide(b"two", hog)
    assert catalogue.displaced(b"three", hog) is None
    assert catalogue.displaced(b"three", KeyUsage("other")) is expected


def test_service_that_a_worker_provides_counts_no_more_as_its_callers() -> None:
    catalogue, caller = Catalogue(Settings()), KeyUsage("caller")
    names = [str(number).encode() for number in range(EXPECTED_MAX)]
    for name in names:
        assert catalogue.expect(name, caller) is not None
    assert catalogue.expect(b"more", caller) is None
    catalogue.provide(names[0], KeyUsage("worker"))
    assert caller.expected == EXPECTED_MAX - 1
    assert catalogue.expect(b"more", caller) is not None


def test_grants_that_wait_are_bounded_and_one_key_has_half_of_them() -> None:
    catalogue = Catalogue(Settings())
    hog, other = session(KeyUsage("hog")), session(KeyUsage("other"))
    for number in range(POSTPONED_MAX):
        catalogue.postpone(hog, str(number).encode(), 1)
    assert len(hog.postponed) == POSTPONED_MAX / 2
    catalogue.postpone(other, b"echo", 7)
    catalogue.validate_state({hog, other})
    assert (other, b"echo", 7) in catalogue.take_postponed(2), "keys have their turns"


def test_newest_grant_is_the_one_that_waits() -> None:
    catalogue, worker = Catalogue(Settings()), session(KeyUsage("w"))
    catalogue.postpone(worker, b"echo", 1)
    catalogue.postpone(worker, b"echo", 5)
    catalogue.postpone(worker, b"sum", 1)
    catalogue.withdraw(worker, b"sum")
    catalogue.withdraw(worker, b"none")
    assert catalogue.take_postponed(9) == [(worker, b"echo", 5)]
    assert catalogue.take_postponed(9) == []
    catalogue.validate_state({worker})
