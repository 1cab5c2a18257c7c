"""How long a message may take whose fragments come, and how much of them a key may have."""

import math

import pytest

from braidmq.carrier.options import frame_bytes_max
from braidmq.carrier.reassembly import STEP_BYTES, Reassemblies, joining_bytes_max
from braidmq.settings import KIB, MIB, Settings


def test_a_message_that_does_not_go_on_is_overdue() -> None:
    some = Reassemblies(10.0)
    some.note(1, 1_000, 1_000, now=0.0)
    some.note(2, 1_000, 1_000, now=3.0)
    assert some.next_deadline() == 10.0
    assert some.overdue(9.9) == []
    assert some.overdue(10.0) == [1]
    assert some.overdue(13.0) == [1, 2]


def test_a_message_that_goes_on_has_more_time() -> None:
    some = Reassemblies(10.0)
    some.note(1, STEP_BYTES, STEP_BYTES, now=0.0)
    some.note(2, STEP_BYTES, STEP_BYTES, now=1.0)
    some.note(1, 2 * STEP_BYTES, 2 * STEP_BYTES, now=5.0)
    assert some.overdue(14.9) == [2]
    assert some.next_deadline() == 11.0


def test_single_bytes_are_no_going_on() -> None:
    some = Reassemblies(10.0)
    for second in range(10):
        some.note(1, 1_000 + second, 1_000 + second, now=float(second))
    assert some.overdue(10.0) == [1]


def test_the_next_message_has_its_own_time() -> None:
    some = Reassemblies(10.0)
    some.note(1, 5 * STEP_BYTES, 5 * STEP_BYTES, now=0.0)
    some.note(1, STEP_BYTES, 6 * STEP_BYTES, now=4.0)
    assert some.next_deadline() == 14.0


@pytest.mark.parametrize("more", [-1, 0, 1, STEP_BYTES - 1])
def test_a_message_that_has_as_much_as_the_one_before_had_is_another_one(more: int) -> None:
    some = Reassemblies(10.0)
    some.note(1, 5 * STEP_BYTES, 5 * STEP_BYTES, now=0.0)
    some.note(1, 5 * STEP_BYTES + more, 20 * STEP_BYTES, now=4.0)
    assert some.next_deadline() == 14.0


def test_a_message_that_has_hardly_begun_has_its_own_time() -> None:
    some = Reassemblies(10.0)
    some.note(1, 100 * STEP_BYTES, 100 * STEP_BYTES, now=0.0)
    some.note(1, 1, 100 * STEP_BYTES + 2, now=9.0)  # the last byte of the one, the first byte of the other
    assert some.overdue(10.0) == []
    some.note(1, 2, 100 * STEP_BYTES + 3, now=10.0)
    assert some.next_deadline() == 19.0


def test_what_is_complete_or_has_ended_is_forgotten() -> None:
    some = Reassemblies(10.0)
    some.note(1, 0, 9_000, now=0.0)
    some.note(2, 1_000, 1_000, now=0.0)
    some.note(3, 1_000, 1_000, now=0.0)
    some.note(2, 0, 1_500, now=1.0)
    some.leave(3)
    some.leave(4)
    assert len(some) == 0
    assert some.next_deadline() == math.inf
    assert some.overdue(100.0) == []


def test_a_key_may_have_as_much_as_may_wait_for_it_and_one_message_at_least() -> None:
    assert joining_bytes_max(Settings(outbox_bytes_max=64 * MIB)) == 64 * MIB
    small = Settings.test(outbox_bytes_max=64 * KIB, in_flight_bytes_max=64 * KIB, payload_bytes_max=MIB)
    assert joining_bytes_max(small) == frame_bytes_max(small) > MIB
