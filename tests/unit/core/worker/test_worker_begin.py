"""Whether a handler may begin: who counts on its request, whether it is in time, and whether it is in doubt."""

from typing import Any

import pytest

from braidmq.core.patience import HOLD_S_MIN, HOLD_UNITS
from braidmq.core.staleness import Staleness
from braidmq.core.worker.worker import LOOK_S
from braidmq.wire import control
from braidmq.wire.envelope import (
    REJECT,
    REQUEST,
    UINT32,
    Envelope,
    Flag,
    Reason,
    Withdrawal,
    encode,
)
from tests.support.rigs.jobs import answer_of

SURE_S = HOLD_S_MIN / 2.0


class TestBegin:
    def test_job_whose_deadline_passed_before_it_began_is_refused_and_makes_room(self, make: Any) -> None:
        rig = make("a", "b", serves={"echo": 1})
        rig.begins = False
        late, waiting = rig["a"].ask(1, time_ms=4000), rig["b"].ask(2, time_ms=60_000)
        (job,) = rig.jobs
        rig.now += 4.001
        assert not rig.begin(job)
        answer = answer_of(rig["a"], late)
        assert (answer.command, answer.code) == (REJECT, Reason.EXPIRED)
        assert rig.begin(rig.jobs[1])
        rig.finish(rig.jobs[1])
        assert answer_of(rig["b"], waiting).payload == b"pong"
        assert rig.worker.executed == 1

    @pytest.mark.parametrize(("stopped_s", "flags"), [(SURE_S - 0.01, 0), (SURE_S + 0.01, Flag.POSSIBLE_DUPLICATE)])
    def test_job_that_could_not_begin_for_half_of_its_hold_is_flagged(
        self, make: Any, stopped_s: float, flags: int
    ) -> None:
        rig = make("a", serves={"echo": 1})
        rig.begins = False
        rig["a"].ask(1, working_ms=300)
        rig.now += stopped_s
        assert rig.begin(rig.jobs[0])
        assert rig.jobs[0].request.flags == flags

    def test_standstill_of_the_process_counts_though_a_timer_came_first(self, make: Any) -> None:
        rig = make("a", serves={"echo": 1})
        rig.begins = False
        rig["a"].ask(1, working_ms=300)
        rig.jump(2.5)
        assert rig.begin(rig.jobs[0])
        assert rig.jobs[0].request.flags & Flag.POSSIBLE_DUPLICATE

    @pytest.mark.parametrize("how", list(Withdrawal))
    def test_job_that_nobody_counts_on_does_not_begin(self, make: Any, how: Withdrawal) -> None:
        rig = make("a", serves={"echo": 1})
        rig.begins = False
        tag = rig["a"].ask(1)
        rig["a"].cancel(1, tag, how)
        assert not rig.begin(rig.jobs[0])
        answer = answer_of(rig["a"], tag)
        assert (answer.command, answer.code) == (REJECT, Reason.EXPIRED)
        assert len(rig.worker) == 0
        assert not rig.stopped

    def test_job_whose_broker_is_dead_does_not_begin(self, make: Any) -> None:
        rig = make("a", "b", serves={"echo": 1})
        rig.begins = False
        rig["a"].ask(1)
        rig["a"].crash()
        assert not rig.begin(rig.jobs[0])
        rig["b"].ask(1, retry_count=1, flags=Flag.POSSIBLE_DUPLICATE)
        assert rig.begin(rig.jobs[1])
        assert rig.jobs[1].request.flags & Flag.POSSIBLE_DUPLICATE

    def test_job_begins_for_a_copy_that_is_counted_on(self, make: Any) -> None:
        rig = make("a", "b", serves={"echo": 1})
        rig.begins = False
        first = rig["a"].ask(1)
        rig["b"].ask(1, retry_count=1, flags=Flag.POSSIBLE_DUPLICATE)
        rig["a"].cancel(1, first, Withdrawal.SUPERSEDED)
        assert rig.begin(rig.jobs[0])

    def test_news_is_looked_for_before_a_job_that_was_handed_out_some_time_ago(self, make: Any) -> None:
        rig = make("a", serves={"echo": 1})
        rig.begins = False
        rig["a"].ask(1)
        (job,) = rig.jobs
        assert not rig.worker.must_look(job, rig.now)
        assert rig.worker.must_look(job, rig.now + 2 * LOOK_S)

    @pytest.mark.parametrize(("delay_s", "flagged"), [(SURE_S - 0.01, False), (SURE_S + 0.01, True)])
    def test_request_that_was_late_by_half_of_its_hold_is_flagged(
        self, make: Any, delay_s: float, flagged: bool
    ) -> None:
        rig = make("a", serves={"echo": 4})
        rig["a"].ask(1, working_ms=333, sent_at=rig.now - delay_s)
        assert bool(rig.jobs[0].request.flags & Flag.POSSIBLE_DUPLICATE) is flagged

    @pytest.mark.parametrize(("delay_s", "flagged"), [(0.15, False), (0.18, True)])
    def test_client_may_have_told_a_longer_hold(self, make: Any, delay_s: float, flagged: bool) -> None:
        rig = make("a", serves={"echo": 4})
        rig["a"].ask(1, working_ms=333, code=HOLD_UNITS, sent_at=rig.now - delay_s)
        assert bool(rig.jobs[0].request.flags & Flag.POSSIBLE_DUPLICATE) is flagged


class TestExpiry:
    def test_expired_request_is_not_started(self, make: Any) -> None:
        rig = make("a", serves={"echo": 4})
        answer = answer_of(rig["a"], rig["a"].ask(1, time_ms=0))
        assert (answer.command, answer.code) == (REJECT, Reason.EXPIRED)
        assert not rig.jobs

    def test_time_on_the_way_counts(self, make: Any) -> None:
        rig = make("a", serves={"echo": 4})
        rig["a"].ask(1, time_ms=1000, sent_at=rig.now - 0.9)
        assert len(rig.jobs) == 1
        assert rig.jobs[0].deadline == pytest.approx(rig.now + 0.1, abs=0.01)
        answer = answer_of(rig["a"], rig["a"].ask(2, time_ms=1000, sent_at=rig.now - 1.1))
        assert (answer.command, answer.code) == (REJECT, Reason.EXPIRED)

    def test_each_message_of_a_frame_has_its_own_age(self, make: Any) -> None:
        """An older message has waited for a full pipe, and the request was added to it."""
        rig = make("a", serves={"echo": 4})
        old = control.encode_control(control.Heartbeat(), int((rig.now - 0.9) * 1000) & UINT32)
        request = Envelope(REQUEST, bytes(16), service=b"echo", sender=b"c", time_ms=1000)
        request.sent_ms = int(rig.now * 1000) & UINT32
        rig["a"].say_bytes(old + encode(request))
        assert rig.jobs[0].deadline == pytest.approx(rig.now + 1.0, abs=0.01)

    @pytest.mark.parametrize("together", [True, False], ids=["in one frame", "in two"])
    def test_delay_of_a_whole_session_shows_in_what_was_sent_later_and_has_come_at_the_same_moment(
        self, make: Any, together: bool
    ) -> None:
        rig = make("a", serves={"echo": 4})
        rig["a"].link.staleness = Staleness()
        request = Envelope(REQUEST, bytes(16), service=b"echo", sender=b"c", time_ms=1000, working_ms=300)
        request.sent_ms = int((rig.now - 0.5) * 1000) & UINT32
        later = control.encode_control(control.Heartbeat(), int(rig.now * 1000) & UINT32)
        if not together:
            rig.core.on_latest("a", later, rig.now)
            rig.core.on_latest("a", b"short", rig.now)
        rig["a"].say_bytes(encode(request) + later * together)
        (job,) = rig.jobs
        assert job.deadline == pytest.approx(rig.now + 0.5, abs=0.01)
        assert job.request.flags & Flag.POSSIBLE_DUPLICATE

    def test_request_that_expires_while_it_waits_is_not_started(self, make: Any) -> None:
        rig = make("a", "b", serves={"echo": 1})
        rig["a"].ask(1)
        tag = rig["b"].ask(2, time_ms=10)
        rig.now += 0.011
        rig.finish(rig.jobs[0])
        assert len(rig.jobs) == 1
        assert answer_of(rig["b"], tag).code == Reason.EXPIRED

    def test_request_that_expires_while_it_waits_is_refused_even_if_nothing_ends(self, make: Any) -> None:
        rig = make("a", "b", serves={"echo": 1})
        rig["a"].ask(1)
        tag = rig["b"].ask(2, time_ms=5)
        rig.advance(0.02)
        assert answer_of(rig["b"], tag).code == Reason.EXPIRED
        assert len(rig.worker) == 1
