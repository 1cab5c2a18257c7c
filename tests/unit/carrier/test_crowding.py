"""Whose turn it is when a key has begun more large messages than it may have."""

import math

import pytest

from braidmq.carrier.crowding import Crowding
from braidmq.carrier.keys import KeyUse
from braidmq.carrier.reassembly import STEP_BYTES

MOST = 10 * STEP_BYTES


def using(**sizes: int) -> KeyUse:
    use = KeyUse("key")
    for name, steps in sizes.items():
        grow(use, int(name[1:]), steps * STEP_BYTES)
    return use


def grow(use: KeyUse, descriptor: int, size: int) -> None:
    use.joining[descriptor] = use.joining.get(descriptor, 0) + size
    use.joining_bytes += size


def end(use: KeyUse, descriptor: int) -> None:
    use.joining_bytes -= use.joining.pop(descriptor)


@pytest.fixture
def some() -> Crowding:
    return Crowding(MOST, 2.0)


def test_who_has_no_more_than_it_may_is_nobodys_business(some: Crowding) -> None:
    some.note(using(d1=4, d2=6))
    assert (len(some), some.review(0.0), some.next_deadline()) == (0, [], math.inf)


def test_the_one_of_which_most_has_come_goes_on(some: Crowding) -> None:
    use = using(d1=3, d2=5, d3=4)
    some.note(use)
    assert some.review(0.0) == [(use, 2)]
    assert some.next_deadline() == 2.0
    grow(use, 3, 4 * STEP_BYTES)
    assert some.review(1.0) == [(use, 2)], "and no other one takes its place"


def test_it_has_its_time_for_each_step(some: Crowding) -> None:
    use = using(d1=3, d2=8)
    some.note(use)
    some.review(0.0)
    grow(use, 2, STEP_BYTES - 1)
    some.review(1.0)
    assert some.overdue(1.9) == []
    assert some.overdue(2.0) == [2]
    grow(use, 2, 1)
    some.review(1.5)
    assert some.overdue(3.4) == []
    assert some.overdue(3.5) == [2]


def test_when_it_is_complete_the_next_one_follows_until_there_is_room(some: Crowding) -> None:
    use = using(d1=6, d2=8, d3=7)
    some.note(use)
    some.review(0.0)
    end(use, 2)
    assert some.review(1.0) == [(use, 3)]
    assert some.next_deadline() == 3.0
    end(use, 3)
    assert some.review(1.5) == [(use, -1)]
    assert some.review(1.6) == []
    assert (len(some), some.next_deadline()) == (0, math.inf)


def test_when_it_has_begun_another_one_somebody_else_may_be_ahead(some: Crowding) -> None:
    use = using(d1=6, d2=8)
    some.note(use)
    some.review(0.0)
    end(use, 2)
    grow(use, 2, 5 * STEP_BYTES)
    assert some.review(1.0) == [(use, 1)]
