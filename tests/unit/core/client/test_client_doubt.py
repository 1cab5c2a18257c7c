"""What a client holds back so that no attempt overtakes an earlier one unflagged, and what it tells of each."""

from typing import Any

import pytest

from braidmq.core.client.client import ClientCore
from braidmq.core.patience import HOLD_S_MIN, hold_s, promise_s
from braidmq.errors import AttemptsExhausted, DeadlineExceeded
from braidmq.messages import Reply
from braidmq.settings import Settings
from braidmq.wire import control
from braidmq.wire.envelope import CANCEL, RENEW, Envelope, Progress, Reason, Withdrawal
from braidmq.wire.extension import Field, field_of, pack_field
from tests.support.rigs.calls import HOLD_S, UNPAID, called_back, error_of, flagged, reply_of, spend_budget
from tests.support.rigs.node_rig import WORKER, Broker, NodeRig

INTERVAL_S = 0.333
FIRST, SECOND = b"process1", b"process2"


def instance(of: bytes) -> bytes:
    return pack_field(Field.INSTANCE, of)


def next_attempt(rig: NodeRig, most: float = 3.0) -> tuple[Broker, Envelope]:
    """Let time pass until another attempt is sent, and return it."""
    began = rig.now
    while not (sent := rig.sent()):
        assert rig.now - began < most, "no further attempt"
        rig.advance(0.01)
    (attempt,) = sent
    return attempt


def waited_s(rig: NodeRig, most: float = 3.0) -> float:
    """Let time pass until another attempt is sent, and return how long that took."""
    began = rig.now
    next_attempt(rig, most)
    return rig.now - began


def queued(rig: NodeRig, broker: Broker, request: Envelope) -> Envelope:
    """Tell that a request waits; return the RENEW that comes back."""
    broker.working(request, Progress.QUEUED, time_ms=int(rig.now * 1000) & 0xFFFFFFFF)
    (renew,) = broker.take(RENEW)
    assert isinstance(renew, Envelope)
    return renew


def test_process_with_an_endless_name_is_not_addressed(make: Any) -> None:
    """Whatever a broker says of who is silent, a further attempt can be written."""
    rig = make("a", "b")
    rig.call()
    broker, request = rig.attempt()
    broker.working(request, Progress.SILENT, extension=instance(bytes(60_000)))
    broker.crash()
    _, further = next_attempt(rig)
    assert len(further.extension) < 1_000


class TestHold:
    def test_young_call_goes_on_no_sooner_than_its_other_copy_may_begin(self, make: Any) -> None:
        rig = make("a", "b", settings=Settings(failover_spread_s=0.0))
        rig.call()
        broker, request = rig.attempt()
        assert hold_s(INTERVAL_S, request.code) >= HOLD_S_MIN
        broker.crash()
        assert HOLD_S_MIN - 0.01 <= waited_s(rig) <= HOLD_S_MIN + 0.03

    def test_it_is_longer_over_a_path_that_is_slow(self, make: Any) -> None:
        rig = make("a", settings=Settings(failover_spread_s=0.0))
        rig.call()
        request = rig["a"].request()
        rig.advance(0.1)
        rig["a"].reply(request)
        rig.call()
        request = rig["a"].request()
        assert 0.4 <= hold_s(INTERVAL_S, request.code) <= 0.5
        rig["a"].lose(request)  # a worker has had it: the first half is over
        assert 0.2 <= waited_s(rig) <= 0.25

    @pytest.mark.parametrize(("ran_s", "hold"), [(0.097, HOLD_S_MIN), (5.0, HOLD_S_MIN), (0.02, 0.37)])
    def test_the_time_that_a_reply_says_its_handler_ran_is_none_of_the_path(
        self, make: Any, ran_s: float, hold: float
    ) -> None:
        rig = make("a")
        rig.call()
        request = rig["a"].request()
        rig.advance(0.1)
        rig["a"].reply(request, time_ms=int(ran_s * 1000))
        rig.call()
        assert hold - 0.01 <= hold_s(INTERVAL_S, rig["a"].request().code) <= hold + 0.03

    def test_it_is_not_longer_because_requests_run_for_long(self, make: Any) -> None:
        rig = make("a")
        rig.call()
        request = rig["a"].request()
        for _ in range(6):
            rig.advance(INTERVAL_S)
            rig["a"].working(request)
        rig["a"].reply(request)
        rig.call()
        assert hold_s(INTERVAL_S, rig["a"].request().code) < HOLD_S_MIN + 0.02

    @pytest.mark.parametrize("latency_s", [0.9, 5.0])
    def test_it_stays_below_the_exchange_timeout(self, make: Any, latency_s: float) -> None:
        rig = make("a", settings=Settings(exchange_timeout_s=1.0))
        rig.call(timeout_s=30.0)
        request = rig["a"].request()
        rig.advance(latency_s)
        rig["a"].reply(request)
        rig.call()
        assert 0.0 < hold_s(INTERVAL_S, rig.sent()[-1][1].code) < 0.9

    def test_call_whose_connection_was_given_up_for_its_silence_has_been_held_long_enough(self, make: Any) -> None:
        settings = Settings(heartbeat_s=0.1, suspect_after_s=0.12, dead_after_s=0.2, failover_spread_s=0.0)
        rig = make("a", "b", settings=settings)
        rig.call()
        broker, _ = rig.attempt()
        broker.beats = False
        assert INTERVAL_S - 0.02 <= waited_s(rig) <= INTERVAL_S + 0.05
        assert any("silent for too long" in line for line in rig.log)

    def test_call_that_waits_for_the_budget_is_held_back_as_long_as_any(self, make: Any) -> None:
        settings = Settings(
            retry_budget_max=1.0, retry_budget_ratio=0.0, retry_budget_per_s=50.0, failover_spread_s=0.0
        )
        rig = make("a", "b", settings=settings)
        rig.call(attempts=5)
        broker, request = rig.attempt()
        broker.lose(request)
        broker, request = next_attempt(rig)
        rig.client._budget.spend(rig.now)
        broker.lose(request)
        assert HOLD_S_MIN / 2.0 - 0.01 <= waited_s(rig) <= HOLD_S_MIN / 2.0 + 0.03

    def test_what_is_known_to_run_is_not_held_back(self, make: Any) -> None:
        rig = make("a", "b", settings=Settings(failover_spread_s=0.0))
        rig.call()
        broker, request = rig.attempt()
        broker.working(request)
        broker.crash()
        assert waited_s(rig) < 0.02


class TestLoss:
    @pytest.mark.parametrize(
        ("had_s", "waits_s"), [(0.0, HOLD_S_MIN / 2.0), (0.06, HOLD_S_MIN / 2.0 - 0.06), (1.0, 0.0)]
    )
    def test_what_a_worker_has_had_for_long_is_not_waited_for(self, make: Any, had_s: float, waits_s: float) -> None:
        rig = make("a", "b", settings=Settings(failover_spread_s=0.0))
        rig.call()
        broker, request = rig.attempt()
        broker.lose(request, time_ms=int(had_s * 1000))
        assert waits_s - 0.01 <= waited_s(rig) <= waits_s + 0.03


class TestPromise:
    def test_call_that_waits_is_renewed_each_time_it_is_told(self, make: Any) -> None:
        rig = make("a")
        rig.call()
        request = rig["a"].request()
        for _ in range(3):
            rig.advance(0.3)
            written_ms = int(rig.now * 1000) & 0xFFFFFFFF
            renew = queued(rig, rig["a"], request)
            assert (renew.id, renew.tag, renew.time_ms) == (request.id, request.tag, written_ms)

    def test_it_holds_though_the_broker_is_gone(self, make: Any) -> None:
        rig = make("a", "b", settings=Settings(failover_spread_s=0.0))
        rig.call(timeout_s=10.0)
        broker, request = rig.attempt()
        rig.advance(0.3)
        queued(rig, broker, request)
        broker.crash()
        promised_s = promise_s(INTERVAL_S)
        assert promised_s - 0.02 <= waited_s(rig) <= promised_s + 0.03

    def test_it_makes_no_hold_shorter_that_is_longer(self, make: Any) -> None:
        """A hold is 2.5 intervals at most, and a promise two."""
        rig = make("a", "b", settings=Settings(exchange_timeout_s=0.09, failover_spread_s=0.0))
        rig.call(timeout_s=10.0)
        broker, request = rig.attempt()
        held_s = hold_s(0.03, request.code)
        assert held_s > promise_s(0.03)
        queued(rig, broker, request)
        broker.crash()
        assert waited_s(rig) >= held_s

    def test_what_was_superseded_is_not_renewed(self, make: Any) -> None:
        rig = make("a", "b")
        rig.call()
        first, request = rig.attempt()
        rig.advance(1.05)
        assert rig.attempt()[0] is not first
        first.working(request, Progress.QUEUED)
        assert not first.take(RENEW)

    def test_what_runs_is_not_renewed(self, make: Any) -> None:
        rig = make("a")
        rig.call()
        rig["a"].working(rig["a"].request())
        assert not rig["a"].take(RENEW)


class TestSuperseded:
    def test_silent_attempt_is_withdrawn_when_another_one_is_sent(self, make: Any) -> None:
        rig = make("a", "b")
        rig.call()
        first, request = rig.attempt()
        rig.advance(1.05)
        second, _ = rig.attempt()
        (cancel,) = first.take(CANCEL)
        assert (cancel.code, cancel.tag) == (Withdrawal.SUPERSEDED, request.tag)
        assert not second.take(CANCEL)

    def test_last_attempt_is_not_withdrawn(self, make: Any) -> None:
        rig = make("a", "b")
        id_ = rig.call(attempts=1)
        broker, request = rig.attempt()
        rig.advance(1.5)
        assert not broker.take(CANCEL)
        broker.reply(request)
        assert reply_of(rig, id_)

    def test_attempt_that_waits_for_the_budget_is_withdrawn_only_then(self, make: Any) -> None:
        rig = make("a", "b", settings=Settings(**UNPAID))
        spend_budget(rig)
        rig.call(attempts=5, timeout_s=60.0)
        broker, request = rig.attempt()
        rig.advance(1.05)
        rig.sent()
        broker.take(CANCEL)
        rig.advance(1.05)
        assert not [cancel for each in rig.brokers.values() for cancel in each.take(CANCEL)]
        broker.reply(request)

    def test_it_may_still_be_answered_and_refused(self, make: Any) -> None:
        rig = make("a", "b")
        id_ = rig.call(attempts=2, timeout_s=60.0)
        first, request = rig.attempt()
        rig.advance(1.05)
        second, retry = rig.attempt()
        first.reject(request, Reason.EXPIRED)
        second.lose(retry)
        error_of(rig, id_, AttemptsExhausted, attempts=2, maybe_executed=True)


class TestWho:
    """Which worker has a request, and which one is silent."""

    def test_retry_names_the_process_that_runs_it(self, make: Any) -> None:
        rig = make("a", "b")
        rig.call(headers={"k": "v"})
        broker, request = rig.attempt()
        broker.working(request, extension=instance(FIRST))
        broker.crash()
        rig.advance(HOLD_S)
        _, retry = rig.attempt()
        assert retry.receiver == WORKER
        assert field_of(retry.extension, Field.INSTANCE) == FIRST
        assert retry.extension.startswith(request.extension)

    def test_another_process_of_the_name_takes_its_place(self, make: Any) -> None:
        rig = make("a", "b")
        rig.call()
        broker, request = rig.attempt()
        broker.working(request, extension=instance(FIRST))
        broker.working(request, extension=instance(SECOND))
        broker.lose(request)
        assert field_of(rig.attempt()[1].extension, Field.INSTANCE) == SECOND

    def test_worker_that_is_silent_is_avoided(self, make: Any) -> None:
        rig = make("a", "b")
        rig.call(attempts=2)
        broker, request = rig.attempt()
        rig.advance(0.5)
        broker.working(request, Progress.SILENT, extension=instance(FIRST))
        rig.advance(0.52)
        _, retry = rig.attempt()
        assert retry.receiver == b""
        assert field_of(retry.extension, Field.AVOID) == FIRST + WORKER

    def test_word_of_a_silent_worker_is_no_sign_of_life(self, make: Any) -> None:
        rig = make("a", "b")
        rig.call()
        broker, request = rig.attempt()
        rig.advance(0.9)
        broker.working(request, Progress.SILENT)
        rig.advance(0.12)
        assert rig.sent()

    def test_nonsense_in_place_of_a_process_is_none(self, make: Any) -> None:
        rig = make("a", "b")
        rig.call()
        broker, request = rig.attempt()
        broker.working(request, extension=b"\x02\xff")
        broker.lose(request)
        assert rig.attempt()[1].extension == b""


class TestFree:
    """Retries that cost nothing of the budget: they add no work, or a death has caused them."""

    @pytest.mark.parametrize("running", [True, False])
    def test_deaths_of_brokers_are(self, make: Any, running: bool) -> None:
        rig = make("a", "b", "c", settings=Settings(**UNPAID, reconnect_s=0.01, reconnect_s_max=0.01))
        spend_budget(rig)
        id_ = rig.call(attempts=20, timeout_s=60.0)
        for _ in range(8):
            broker, request = rig.attempt()
            if running:
                broker.working(request)
            broker.die()
            rig.advance(HOLD_S)
        broker, request = rig.attempt()
        broker.reply(request)
        assert reply_of(rig, id_).retry_count == 8

    def test_copies_to_the_worker_that_has_the_request_are(self, make: Any) -> None:
        rig = make("a", "b", settings=Settings(**UNPAID))
        spend_budget(rig)
        rig.call(attempts=20, timeout_s=60.0)
        for _ in range(5):
            broker, request = rig.attempt()
            broker.working(request)
            broker.lose(request)
        assert rig.attempt()[1].retry_count == 5

    def test_losses_of_workers_are_not(self, make: Any) -> None:
        rig = make("a", "b", settings=Settings(**UNPAID))
        spend_budget(rig)
        rig.call(attempts=20, timeout_s=60.0)
        for _ in range(2):
            broker, request = rig.attempt()
            broker.working(request)
            broker.lose(request, sender=WORKER)
            rig.advance(HOLD_S)
        assert not rig.sent()


class TestStall:
    """Its own standstill is nobody's silence."""

    def call_and_stall(self, make: Any, seconds: float) -> tuple[NodeRig, list[tuple[Broker, Envelope]]]:
        rig: NodeRig = make("a", "b", settings=Settings(exchange_timeout_s=1.0))
        for _ in range(20):
            rig.call(timeout_s=10.0)
        sent = rig.sent()
        rig.now += seconds
        return rig, sent

    @pytest.mark.parametrize("seconds", [1.3, 2.5, 3.5, 8.0])
    def test_what_has_come_meanwhile_is_read_before_anything_is_judged(self, make: Any, seconds: float) -> None:
        rig, sent = self.call_and_stall(make, seconds)
        for broker, request in sent[: len(sent) // 2]:
            broker.reply(request)
        rig.core.on_timer(rig.now)
        rig.pump()
        assert not rig.sent()
        for broker, request in sent[len(sent) // 2 :]:
            broker.reply(request)
        assert len(rig.results) == 20
        assert all(isinstance(each, Reply) and not each.possible_duplicate for each in rig.results.values())

    def test_real_silence_counts_afterwards(self, make: Any) -> None:
        rig, sent = self.call_and_stall(make, 5.0)
        rig.jump(0.0)
        for broker, request in sent:
            broker.working(request, Progress.SILENT)
        rig.advance(0.9)
        assert not rig.sent()
        rig.advance(0.2)
        assert len(rig.sent()) == len(sent)

    def test_deadline_passes_all_the_same(self, make: Any) -> None:
        rig, _ = self.call_and_stall(make, 10.1)
        rig.core.on_timer(rig.now)
        rig.pump()
        assert {type(each) for each in rig.results.values()} == {DeadlineExceeded}

    def test_broker_is_not_given_up_for_it(self, make: Any) -> None:
        rig = make("a")
        rig.jump(30.0)
        assert rig["a"].connected
        rig.advance(1.0)
        assert rig["a"].connected


def test_death_of_the_only_worker_in_its_job_is_told_as_such(make: Any) -> None:
    rig = make("a", settings=Settings(wait_for_worker="never"))
    id_ = rig.call(attempts=3)
    request = rig["a"].request()
    rig["a"].working(request)
    rig["a"].lose(request, sender=WORKER)
    rig.advance(HOLD_S)
    for _ in range(2):
        for broker, retry in rig.sent():
            assert flagged(retry)
            broker.reject(retry, Reason.NO_WORKER)
        rig.advance(1.0)
    error = error_of(rig, id_, AttemptsExhausted, attempts=3, maybe_executed=True)
    assert "may have been run" in str(error)


def test_cancel_of_a_call_calls_every_copy_back(make: Any) -> None:
    rig = make("a", "b")
    id_ = rig.call()
    first, _ = rig.attempt()
    rig.advance(1.05)
    second, _ = rig.attempt()
    rig.cancel(id_)
    assert len(called_back(first)) == len(called_back(second)) == 1


def test_unknown_progress_is_a_sign_of_life(make: Any) -> None:
    rig = make("a", "b")
    rig.call()
    broker, request = rig.attempt()
    rig.advance(0.9)
    broker.working(request, 77)
    rig.advance(0.5)
    assert not rig.sent()


def test_client_core_is_told_of_stalls_by_the_links(make: Any, monkeypatch: Any) -> None:
    stalls: list[float] = []
    rig = make("a")
    if not hasattr(ClientCore.on_stall, "__code__"):
        pytest.skip("the code is compiled: it cannot be watched")
    monkeypatch.setattr(ClientCore, "on_stall", lambda self, stalled_s, now: stalls.append(stalled_s))
    rig.advance(1.0)
    assert stalls == []
    rig.call(timeout_s=10.0)  # a node with nothing under way looks less often, and so does not know of all of it
    rig.jump(0.5)
    assert stalls == [pytest.approx(0.5, abs=0.05)]
    rig["a"].say(control.Heartbeat())
