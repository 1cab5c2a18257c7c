"""Handlers that go on after their deadline, and requests whose handlers cannot even begin."""

from typing import Any

import pytest

from braidmq.core.worker.overdue import STOP_S, STRAY_AGAIN_S, STRAY_S
from braidmq.core.worker.worker import WAIT_S_MAX
from braidmq.settings import Settings
from braidmq.wire.envelope import (
    LOST,
    REJECT,
    WORKING,
    Reason,
)
from tests.support.rigs.jobs import answer_of, strays


class TestOverdue:
    def test_handler_is_stopped_soon_after_its_deadline(self, make: Any) -> None:
        """Whoever could have called it off may be dead."""
        rig = make("a", serves={"echo": 1})
        rig["a"].ask(1, time_ms=1_000)
        rig["a"].crash()
        rig.advance(1.0)
        assert not rig.stopped
        rig.advance(STOP_S + 0.02)
        assert rig.stopped == rig.jobs
        rig.finish(rig.jobs[0], None)
        assert len(rig.worker) == 0
        rig.advance(5.0)
        assert rig.stopped == rig.jobs, "it is told once"
        assert not any("goes on" in line for line in rig.log)

    def test_handler_that_does_not_stop_loses_its_place_and_that_is_told_once(self, make: Any) -> None:
        rig = make("a", serves={"echo": 1})
        tag = rig["a"].ask(1, time_ms=1_000)
        rig.advance(1.0 + STOP_S + 0.02)
        assert rig.stopped == rig.jobs
        assert not rig["a"].answers()
        rig.advance(STRAY_S)
        assert answer_of(rig["a"], tag).command == LOST
        rig.advance(150.0)
        assert sum("goes on after the deadline" in line for line in rig.log) == 1
        assert strays(rig.worker) == 1
        rig["a"].ask(2)
        assert len(rig.jobs) == 2, "its place is free"
        rig.finish(rig.jobs[0])
        assert strays(rig.worker) == 0
        assert len(rig.worker) == 1, "its end is nobody else's"

    @pytest.mark.parametrize("time_ms", [5_000, 20])
    def test_what_waits_for_its_place_gets_it_or_ends_though_its_own_time_is_over_then(
        self, make: Any, time_ms: int
    ) -> None:
        rig = make("a", "b", serves={"echo": 1})
        rig["a"].ask(1)
        rig.finish(rig.jobs[0])  # so that it is known that a place is soon free
        rig["a"].ask(2, time_ms=1_000)
        rig.advance(1.0 + STOP_S + STRAY_S - 0.005)
        rig["b"].ask(3, time_ms=time_ms)
        assert len(rig.worker) == 2, "it does not wait"
        rig.now += 2 * WAIT_S_MAX  # the timers of both are due in one turn
        rig.advance(0.0)
        assert strays(rig.worker) == 1
        assert len(rig.jobs) == (3 if time_ms > 20 else 2)
        for job in rig.jobs[1:]:
            rig.finish(job)
        rig.advance(10.0)
        assert len(rig.worker) == 0

    def test_copy_of_what_goes_on_without_a_place_is_lost(self, make: Any) -> None:
        rig = make("a", serves={"echo": 1})
        rig["a"].ask(1, time_ms=1_000)
        rig.advance(1.0 + STOP_S + STRAY_S + 0.02)
        rig["a"].answers()
        tag = rig["a"].ask(1)
        assert answer_of(rig["a"], tag).command == LOST
        assert len(rig.jobs) == 1

    def test_it_is_remembered_from_its_end_on(self, make: Any) -> None:
        rig = make("a", serves={"echo": 1}, settings=Settings(dedup_s=2.0))
        rig["a"].ask(1, time_ms=1_000)
        for _ in range(3):
            rig.advance(5.0)
            rig["a"].answers()
            tag = rig["a"].ask(1)
            assert answer_of(rig["a"], tag).command == LOST
        rig.finish(rig.jobs[0])
        rig.advance(1.5)
        tag = rig["a"].ask(1)
        assert answer_of(rig["a"], tag).command == LOST
        assert len(rig.jobs) == 1

    def test_as_many_go_on_without_a_place_as_there_are_places_and_more_keep_theirs(self, make: Any) -> None:
        rig = make("a", serves={"echo": 2})
        for number in range(2):
            rig["a"].ask(number, time_ms=1_000)
        rig.advance(2.0)
        for number in range(2, 4):
            rig["a"].ask(number, time_ms=1_000)
        rig.advance(3.0)
        assert len(rig.jobs) == len(rig.stopped) == 4
        assert sum("another one may begin" in line for line in rig.log) == 2
        assert sum("its place stays taken, as 2 others go on, too" in line for line in rig.log) == 2
        rig["a"].answers()
        tag = rig["a"].ask(4)
        rig.advance(2 * WAIT_S_MAX)
        assert answer_of(rig["a"], tag).code == Reason.BUSY
        rig.finish(rig.jobs[0])
        rig.advance(STRAY_AGAIN_S + 0.02)
        rig["a"].ask(5)
        assert len(rig.jobs) == 5, "another one goes on in its stead"
        rig.finish(rig.jobs[2])
        rig.finish(rig.jobs[1])
        rig.finish(rig.jobs[3])
        assert strays(rig.worker) == 0

    def test_handler_that_was_called_off_early_keeps_its_place_until_its_deadline(self, make: Any) -> None:
        rig = make("a", serves={"echo": 1})
        tag = rig["a"].ask(1, time_ms=5_000)
        rig["a"].cancel(1, tag)
        rig.advance(4.0)
        assert rig.stopped == rig.jobs
        assert len(rig.worker) == 1
        rig.advance(1.0 + STOP_S + STRAY_S + 0.02)
        assert len(rig.worker) == 0

    def test_that_it_was_too_late_when_a_thread_came_to_it_may_be_told_even_then(self, make: Any) -> None:
        rig = make("a", serves={"echo": 1})
        rig["a"].ask(1, time_ms=1_000)
        rig.advance(2.0)
        rig.worker.on_late(rig.jobs[0], rig.now)
        assert strays(rig.worker) == 0
        rig.worker.validate_state()

    def test_working_is_said_until_then(self, make: Any) -> None:
        rig = make("a", serves={"echo": 1})
        rig["a"].ask(1, time_ms=1_000, working_ms=300)
        rig.advance(3.0)
        assert len(rig["a"].take(WORKING)) == 3


class TestUnable:
    def test_what_cannot_begin_here_goes_back_and_so_does_what_waits(self, make: Any) -> None:
        rig = make("a", "b", serves={"echo": 1})
        tags = [broker.ask(number) for number, broker in enumerate(rig.brokers.values())]
        rig.worker.on_unable(rig.jobs[0], rig.now)
        rig.advance(0.0)
        answers = [answer for broker in rig.brokers.values() for answer in broker.answers()]
        assert [(answer.tag, answer.command, answer.code) for answer in answers] == [
            (tag, REJECT, Reason.BUSY) for tag in tags
        ]
        assert len(rig.worker) == rig.worker.executed == 0
        rig.worker.validate_state()
        rig["a"].ask(0)
        assert len(rig.jobs) == 2, "it was not run, and may be"
