import pytest

from braidmq.core.links.lists import LIST_BYTES_EACH, LIST_BYTES_MAX, LIST_BYTES_PER_S, PAPER_BYTES_EACH, Lists
from braidmq.wire.control import Peers, Services
from braidmq.wire.registry import CertificateIs, RosterIs

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


@pytest.mark.parametrize("command", [RosterIs.NUMBER, CertificateIs.NUMBER])
def test_papers_with_a_signature_are_read_at_a_pace_of_their_own(command: int) -> None:
    lists = Lists()
    read = [number for number in range(1_000) if lists.admit(command, b"%d" % number, NOW)]
    assert len(read) == LIST_BYTES_MAX // (PAPER_BYTES_EACH + 3)
    waited = [lists.admit(command, b"later", NOW + moment / 100) for moment in range(1, 1_001)]
    assert sum(waited) == pytest.approx(10.0 * LIST_BYTES_PER_S / PAPER_BYTES_EACH, abs=1)


def test_end_of_a_session_forgets_what_waits_but_pays_for_nothing() -> None:
    lists = spent()
    assert not lists.admit(Services.NUMBER, b"old", NOW)
    lists.clear()
    assert not lists.waiting
    assert not lists.admit(Services.NUMBER, b"new", NOW)
