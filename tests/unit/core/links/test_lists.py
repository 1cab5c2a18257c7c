from braidmq.core.links.lists import LIST_BYTES_EACH, LIST_BYTES_MAX, LIST_BYTES_PER_S, Lists
from braidmq.wire.control import Peers, Services

NOW = 100.0
LARGEST = bytes(LIST_BYTES_MAX)


def spent(now: float = NOW) -> Lists:
    """Return lists of which as much has come as may."""
    lists = Lists()
    assert lists.admit(Services.NUMBER, LARGEST, now)
    return lists


def test_largest_one_is_read_at_once() -> None:
    assert not spent().waiting


def test_one_that_comes_too_soon_waits_until_it_is_paid_for() -> None:
    lists = spent()
    message = bytes(LIST_BYTES_PER_S - LIST_BYTES_EACH)
    assert not lists.admit(Services.NUMBER, message, NOW)
    assert list(lists.due(NOW + 0.9)) == []
    assert list(lists.due(NOW + 1.1)) == [message]
    assert list(lists.due(NOW + 10.0)) == []


def test_newest_one_of_each_kind_waits() -> None:
    lists = spent()
    for message in (b"one", b"two"):
        assert not lists.admit(Services.NUMBER, message, NOW)
        assert not lists.admit(Peers.NUMBER, message + b"!", NOW)
    assert list(lists.due(NOW + 1.0)) == [b"two", b"two!"]


def test_one_that_is_read_takes_the_place_of_one_that_waits() -> None:
    lists = spent()
    assert not lists.admit(Services.NUMBER, LARGEST, NOW)
    assert lists.admit(Services.NUMBER, b"newer", NOW + 1.0)
    assert not lists.waiting


def test_small_one_does_not_wait_behind_a_large_one() -> None:
    lists = spent()
    assert not lists.admit(Peers.NUMBER, LARGEST, NOW)
    assert not lists.admit(Services.NUMBER, b"small", NOW)
    assert list(lists.due(NOW + 1.0)) == [b"small"]


def test_end_of_a_session_forgets_what_waits_but_pays_for_nothing() -> None:
    lists = spent()
    assert not lists.admit(Services.NUMBER, b"old", NOW)
    lists.clear()
    assert not lists.waiting
    assert not lists.admit(Services.NUMBER, b"new", NOW)
