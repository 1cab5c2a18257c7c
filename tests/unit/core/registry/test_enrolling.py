"""What brokers tell each other of those whom tokens have made members: all of it, and no faster than it can be read."""

import pytest

from braidmq.carrier.roll import TokenRoll
from braidmq.core.registry.enrolling import LOOK_S, MESSAGES_PER_LOOK, TELL_PAUSE_S, EnrolmentCore
from braidmq.wire.registry import ENROLMENTS_TOLD_MAX


class Roll(TokenRoll):
    """So many rows, of which each has its number as its revision."""

    def __init__(self, count):
        super().__init__()
        self.count = count

    @property
    def revision(self):
        return self.count

    def rows_since(self, revision, most=1):
        last = min(self.count, revision + most)
        return [(b"%d" % number, number) for number in range(revision + 1, last + 1)], last


def rows(core):
    return [row.seen_s for _, message in core.take_sends() for row in message.rows]


def run(core, now, until):
    found = []
    while core.due_at <= until:
        now = max(now, core.due_at)
        core.on_timer((), 0.0, now)
        core.validate_state()
        found += rows(core)
    return found


@pytest.mark.parametrize("count", [0, 1, ENROLMENTS_TOLD_MAX, 3_000])
def test_a_broker_that_is_met_is_told_of_all(count):
    core = EnrolmentCore(Roll(count), 5.0)
    core.on_met("b", 5.0)
    assert rows(core) + run(core, 5.0, 5.0 + LOOK_S - 0.1) == list(range(1, count + 1))
    assert core.due_at == 5.0 + LOOK_S


def test_what_is_new_is_told_at_once():
    roll = Roll(3)
    core = EnrolmentCore(roll, 5.0)
    core.on_met("b", 5.0)
    assert rows(core) == [1, 2, 3]
    roll.count = 4
    core.on_timer((), 0.0, 6.0)
    assert rows(core) == [4]


def test_who_is_met_again_and_again_is_told_no_faster_than_it_can_be_read():
    core, told = EnrolmentCore(Roll(16_384), 0.0), 0
    for number in range(10_000):
        now = number / 10_000
        core.on_met("b", now)
        core.on_timer((), 0.0, now)
        told += len(rows(core))
    assert told <= (1.0 / TELL_PAUSE_S + 1) * MESSAGES_PER_LOOK * ENROLMENTS_TOLD_MAX
