"""Calls that one attempt does not answer: unsent, lost or silent; how often and how soon they are tried again."""

from typing import Any

import pytest

from braidmq.core.client.call import Stage
from braidmq.core.links.link import Failure
from braidmq.errors import (
    AttemptsExhausted,
    DeadlineExceeded,
    NoBroker,
    NoWorker,
    Overloaded,
)
from braidmq.messages import Reply
from braidmq.settings import Settings
from braidmq.wire.envelope import Progress, Reason, encode
from tests.support.rigs.calls import HOLD_S, UNPAID, called_back, error_of, flagged, reply_of, spend_budget
from tests.support.rigs.node_rig import Broker


class TestUnsent:
    def test_goes_another_path_at_once_without_a_flag(self, make: Any) -> None:
        rig = make("a", "b")
        rig["a"].reads = rig["b"].reads = False
        id_ = rig.call()
        first = rig["a"] if rig["a"].unread else rig["b"]
        second = rig.other(first)
        second.reads = True
        first.crash()
        request = second.request()
        assert not flagged(request)
        assert (request.retry_count, request.id) == (0, id_)

    def test_is_no_attempt(self, make: Any) -> None:
        rig = make("a", "b")
        rig["a"].reads = rig["b"].reads = False
        id_ = rig.call(attempts=1)
        first = rig["a"] if rig["a"].unread else rig["b"]
        rig.other(first).reads = True
        first.crash()
        rig.other(first).crash()
        error_of(rig, id_, AttemptsExhausted, attempts=1, maybe_executed=True)

    def test_was_certainly_not_run(self, make: Any) -> None:
        rig = make("a")
        rig["a"].reads = False
        id_ = rig.call(timeout_s=1.0)
        rig["a"].crash()
        rig.advance(1.1)
        error_of(rig, id_, NoBroker, attempts=0, maybe_executed=False)

    def test_includes_what_the_shell_has_not_even_taken(self, make: Any) -> None:
        rig = make("a", "b")
        id_ = rig.client.request("echo", b"", now=rig.now)
        rig.begun.add(id_)
        path = next(broker for broker in rig.brokers.values() if broker.link.in_flight)
        path.die()
        assert not flagged(rig.other(path).request())

    def test_of_an_older_attempt_says_nothing_about_the_newest(self, make: Any) -> None:
        rig = make("a")
        id_ = rig.call()
        request = rig["a"].request()
        rig["a"].working(request, Progress.SILENT)
        rig.advance(1.1)
        rig["a"].request()
        rig["a"].refusal = Failure.UNREACHABLE
        rig.client.on_unsent(rig["a"].link, [])
        rig["a"].die(unsent=[encode(request)])
        rig.advance(5.0)
        error_of(rig, id_, NoBroker, attempts=2, maybe_executed=True)

    def test_flapping_connection_does_not_let_a_call_grow(self, make: Any) -> None:
        rig = make("a", settings=Settings(reconnect_s=0.001))
        rig["a"].reads = False
        id_ = rig.call(timeout_s=60.0)
        for _ in range(30):
            rig["a"].die()
            while not rig["a"].connected:
                rig.advance(0.1)
        assert len(rig.client._calls[id_].tried) == 1


class TestUnknown:
    def test_death_of_the_path_sends_a_flagged_copy_over_another(self, make: Any) -> None:
        rig = make("a", "b")
        rig.call()
        first, request = rig.attempt()
        first.crash()
        rig.advance(HOLD_S)
        second, retry = rig.attempt()
        assert second is not first
        assert flagged(retry)
        assert (retry.id, retry.retry_count) == (request.id, 1)

    def test_silence_sends_a_flagged_copy_over_another_path(self, make: Any) -> None:
        rig = make("a", "b", settings=Settings(exchange_timeout_s=1.0))
        rig.call()
        first, request = rig.attempt()
        rig.advance(0.99)
        assert not rig.sent()
        rig.advance(0.03)
        second, retry = rig.attempt()
        assert second is not first
        assert flagged(retry)
        assert (retry.id, retry.retry_count) == (request.id, 1)

    def test_lost_sends_a_flagged_copy_once_the_lost_one_cannot_begin_any_more(self, make: Any) -> None:
        rig = make("a", "b")
        rig.call()
        first, request = rig.attempt()
        first.lose(request)
        assert not rig.sent()
        rig.advance(HOLD_S)
        second, retry = rig.attempt()
        assert second is not first
        assert flagged(retry)
        assert retry.retry_count == 1

    def test_reply_to_the_copy_says_that_it_may_have_run_twice(self, make: Any) -> None:
        rig = make("a", "b")
        id_ = rig.call()
        broker, request = rig.attempt()
        broker.lose(request)
        rig.advance(HOLD_S)
        broker, request = rig.attempt()
        broker.reply(request)
        assert reply_of(rig, id_).possible_duplicate
        assert reply_of(rig, id_).retry_count == 1

    def test_loss_of_the_last_attempt_is_an_error_that_may_have_been_run(self, make: Any) -> None:
        rig = make("a", "b")
        id_ = rig.call(attempts=1)
        broker, _ = rig.attempt()
        broker.crash()
        error_of(rig, id_, AttemptsExhausted, attempts=1, maybe_executed=True)

    def test_retry_count_counts_only_what_may_have_been_run(self, make: Any) -> None:
        rig = make("a", "b")
        rig.call(attempts=5)
        broker, request = rig.attempt()
        broker.reject(request, Reason.DRAINING)
        broker, request = rig.attempt()
        broker.lose(request)
        rig.advance(HOLD_S)
        broker, request = rig.attempt()
        broker.lose(request)
        rig.advance(HOLD_S)
        assert rig.attempt()[1].retry_count == 2

    def test_first_failover_is_free(self, make: Any) -> None:
        rig = make("a", "b", settings=Settings(**UNPAID))
        spend_budget(rig)
        rig.call()
        broker, request = rig.attempt()
        broker.lose(request)
        rig.advance(HOLD_S)
        assert rig.attempt()

    def test_further_failovers_wait_for_the_budget(self, make: Any) -> None:
        rig = make("a", "b", settings=Settings(**UNPAID))
        spend_budget(rig)
        id_ = rig.call(attempts=20, timeout_s=60.0)
        for _ in range(2):
            broker, request = rig.attempt()
            broker.lose(request)
            rig.advance(HOLD_S)
        rig.advance(59.0 - 2 * HOLD_S)
        assert not rig.sent()
        rig.advance(1.1)
        error_of(rig, id_, DeadlineExceeded, attempts=2, maybe_executed=True)

    def test_failover_that_waited_for_the_budget_goes_on_when_it_allows(self, make: Any) -> None:
        rig = make("a", "b", settings=Settings(**{**UNPAID, "retry_budget_per_s": 0.5}))
        spend_budget(rig)
        rig.call(attempts=20, timeout_s=60.0)
        for _ in range(2):
            broker, request = rig.attempt()
            broker.lose(request)
            rig.advance(HOLD_S)
        rig.advance(1.9 - HOLD_S)
        assert not rig.sent()
        rig.advance(3.0)
        assert rig.sent()

    def test_failovers_after_a_death_are_spread_in_time(self, make: Any) -> None:
        rig = make("a", "b", settings=Settings(failover_spread_s=0.05))
        for _ in range(100):
            rig.call()
        rig["b"].requests()
        moved = len(rig["a"].requests())
        rig.advance(HOLD_S)
        rig["a"].crash()
        waves = []
        for _ in range(7):
            waves.append(len(rig["b"].requests()))
            rig.advance(0.01)
        assert sum(waves) == moved
        assert waves[0] == 0
        assert sum(wave > 0 for wave in waves) >= 4
        assert max(waves) < moved / 2

    def test_single_failover_of_a_call_that_is_not_young_is_hardly_delayed(self, make: Any) -> None:
        rig = make("a", "b")
        rig.call()
        broker, _ = rig.attempt()
        rig.advance(HOLD_S)
        broker.crash()
        rig.advance(0.02)
        assert rig.sent()

    def test_what_is_known_to_run_goes_on_at_once(self, make: Any) -> None:
        rig = make("a", "b")
        rig.call()
        broker, request = rig.attempt()
        broker.working(request)
        broker.lose(request)
        assert rig.attempt()


class TestBudget:
    def test_retries_within_a_burst_stay_within_the_budget(self, make: Any) -> None:
        rig = make("a", "b", settings=Settings(**{**UNPAID, "retry_budget_max": 7}))
        for _ in range(50):
            rig.call()
        first = rig.sent()
        for broker, request in first:
            broker.reject(request, Reason.BUSY)
        assert len(rig.sent()) == 7
        assert rig.client.retries == 7
        assert sum(isinstance(outcome, Overloaded) for outcome in rig.results.values()) == 43

    def test_spent_budget_is_told(self, make: Any) -> None:
        rig = make("a", "b", settings=Settings(**UNPAID))
        spend_budget(rig)
        id_ = rig.call()
        for _ in range(2):  # the first one is paid with what the call earned that was retried before
            broker, request = rig.attempt()
            broker.reject(request, Reason.BUSY)
        assert "budget" in str(error_of(rig, id_, Overloaded, attempts=2, maybe_executed=False))

    def test_calls_whose_broker_has_lost_its_workers_move_on_without_the_budget(self, make: Any) -> None:
        """They come back all at once, and go where there are workers: that multiplies no overload."""
        rig = make("a", "b", settings=Settings(**UNPAID))
        spend_budget(rig)
        ids = [rig.call() for _ in range(40)]
        lost = rig["a"].requests()
        assert lost
        for request in lost:
            rig["a"].reject(request, Reason.NO_WORKER)
        for request in rig["b"].requests():
            rig["b"].reply(request)
        assert all(isinstance(rig.results[id_], Reply) for id_ in ids)

    def test_call_that_nobody_reports_workers_for_pays_for_each_try(self, make: Any) -> None:
        rig = make("a", "b", provides=(), settings=Settings(**UNPAID))
        rig.advance(0.1)
        id_ = rig.call()
        broker, request = rig.attempt()
        broker.reject(request, Reason.NO_WORKER)
        broker, request = rig.attempt()
        broker.reject(request, Reason.NO_WORKER)
        rig.advance(5.0)
        error_of(rig, id_, NoWorker, attempts=2, maybe_executed=False)

    def test_spent_budget_does_not_end_a_call_that_may_still_be_answered(self, make: Any) -> None:
        rig = make("a", "b", settings=Settings(**UNPAID))
        spend_budget(rig)
        id_ = rig.call()
        first, request = rig.attempt()
        rig.advance(1.05)
        second, retry = rig.attempt()
        second.reject(retry, Reason.BUSY)
        assert id_ not in rig.results
        first.reply(request)
        assert reply_of(rig, id_).broker == first.name

    def test_leaving_a_draining_broker_costs_nothing(self, make: Any) -> None:
        rig = make("a", "b", settings=Settings(**UNPAID))
        spend_budget(rig)
        rig.call()
        broker, request = rig.attempt()
        broker.reject(request, Reason.DRAINING)
        assert rig.attempt()

    def test_silent_attempts_of_many_calls_stay_within_the_budget(self, make: Any) -> None:
        settings = Settings(retry_budget_max=5, retry_budget_ratio=0.0, retry_budget_per_s=1.0, attempts=20)
        rig = make("a", "b", settings=settings)
        for _ in range(40):
            rig.call(timeout_s=20.0)
        rig.advance(15.0)
        free = 40
        assert 5 <= rig.client.retries - free <= 5 + 15 + 1


class TestAttempts:
    @pytest.mark.parametrize("attempts", [1, 2, 5])
    def test_request_leaves_this_node_no_more_often_than_allowed(self, make: Any, attempts: int) -> None:
        rig = make("a", "b", "c")
        id_ = rig.call(attempts=attempts, timeout_s=60.0)
        seen = 0
        while id_ not in rig.results:
            rig.advance(0.1)
            for number, (broker, request) in enumerate(rig.sent()):
                seen += 1
                if number % 2:
                    broker.reject(request)
                else:
                    broker.lose(request)
        assert seen == attempts
        error_of(rig, id_, AttemptsExhausted, attempts=attempts, maybe_executed=True)

    def test_every_broker_is_tried_before_one_is_tried_again(self, make: Any) -> None:
        rig = make("a", "b", "c")
        rig.call(attempts=5)
        tried = []
        for _ in range(3):
            broker, request = rig.attempt()
            tried.append(broker.name)
            broker.lose(request)
            rig.advance(HOLD_S)
        assert sorted(tried) == ["a", "b", "c"]

    def test_tried_broker_is_tried_again_if_there_is_no_other(self, make: Any) -> None:
        rig = make("a")
        rig.call()
        rig["a"].lose(rig["a"].request())
        rig.advance(HOLD_S)
        assert flagged(rig["a"].request())

    def test_late_answer_to_an_earlier_attempt_ends_the_call(self, make: Any) -> None:
        rig = make("a", "b")
        id_ = rig.call()
        first, request = rig.attempt()
        rig.advance(1.05)
        _, retry = rig.attempt()
        first.reply(request, b"late")
        assert reply_of(rig, id_).payload == b"late"
        assert retry.id == request.id

    def test_answer_calls_the_other_copies_back(self, make: Any) -> None:
        rig = make("a", "b")
        rig.call()
        first, request = rig.attempt()
        rig.advance(1.05)
        second, retry = rig.attempt()
        first.reply(request)
        assert not called_back(first)
        (cancel,) = called_back(second)
        assert cancel.tag == retry.tag

    def test_after_the_last_attempt_a_late_answer_still_counts(self, make: Any) -> None:
        rig = make("a")
        id_ = rig.call(attempts=1)
        request = rig["a"].request()
        rig.advance(3.0)
        assert id_ not in rig.results
        rig["a"].reply(request, b"late")
        assert reply_of(rig, id_).payload == b"late"

    def test_listening_ends_when_no_answer_can_come_any_more(self, make: Any) -> None:
        rig = make("a", "b")
        id_ = rig.call(attempts=2)
        first, request = rig.attempt()
        rig.advance(1.05)
        second, _ = rig.attempt()
        rig.advance(1.05)
        assert [call.stage for call in rig.client._calls.values()] == [Stage.LISTENING]
        first.lose(request)
        assert id_ not in rig.results
        second.crash()
        error_of(rig, id_, AttemptsExhausted, attempts=2, maybe_executed=True)

    def test_listening_ends_at_the_deadline(self, make: Any) -> None:
        rig = make("a")
        id_ = rig.call(attempts=1, timeout_s=3.0)
        rig.advance(3.05)
        error_of(rig, id_, DeadlineExceeded, attempts=1, maybe_executed=True)

    def test_answer_of_a_session_that_is_gone_is_not_awaited(self, make: Any) -> None:
        rig = make("a", "b")
        id_ = rig.call(attempts=2)
        first, _ = rig.attempt()
        rig.advance(1.05)
        second, _ = rig.attempt()
        first.die()
        rig.advance(0.2)
        assert first.connected
        second.crash()
        error_of(rig, id_, AttemptsExhausted, attempts=2, maybe_executed=True)


def test_all_attempts_carry_the_same_id_service_payload_and_headers(make: Any) -> None:
    rig = make("a", "b")
    rig.call(payload=b"same", headers={"k": "v"})
    broker, first = rig.attempt()
    broker.lose(first)
    rig.advance(HOLD_S)
    _, second = rig.attempt()
    assert (first.id, first.service, first.payload, first.extension) == (
        second.id, second.service, second.payload, second.extension,
    )  # fmt: skip


def test_everything_heals_after_a_storm(make: Any) -> None:
    rig = make("a", "b", "c", settings=Settings(attempts=20, timeout_s=30.0, retry_budget_max=1000))
    ids = [rig.call() for _ in range(30)]
    brokers: list[Broker] = list(rig.brokers.values())
    for turn in range(6):
        brokers[turn % 3].die()
        rig.advance(0.5)
    for _ in range(100):
        for broker, request in rig.sent():
            broker.reply(request)
        rig.advance(0.1)
    assert all(isinstance(rig.results[id_], Reply) for id_ in ids)


class TestDropped:
    def test_attempt_that_was_called_back_before_it_left_is_not_listened_for(self, make: Any) -> None:
        rig = make("a", "b", settings=Settings(**UNPAID))
        rig["a"].reads = rig["b"].reads = False
        id_ = rig.call(attempts=2, timeout_s=60.0)
        first = rig["a"] if rig["a"].unread else rig["b"]
        second = rig.other(first)
        second.reads = True
        (request,) = first.unread
        rig.advance(1.5)
        second.lose(second.request())
        assert rig.client._calls[id_].stage is Stage.LISTENING
        rig.core.on_dropped(first.name, request, rig.now)
        rig.pump()
        error_of(rig, id_, AttemptsExhausted, attempts=2, maybe_executed=True)

    def test_call_that_goes_on_is_not_disturbed(self, make: Any) -> None:
        rig = make("a", "b", settings=Settings(**UNPAID))
        rig["a"].reads = rig["b"].reads = False
        id_ = rig.call(attempts=2, timeout_s=60.0)
        first = rig["a"] if rig["a"].unread else rig["b"]
        second = rig.other(first)
        second.reads = True
        (request,) = first.unread
        rig.advance(1.5)
        rig.core.on_dropped(first.name, request, rig.now)
        rig.core.on_dropped(first.name, request, rig.now)
        second.reply(second.request(), payload=b"done")
        assert reply_of(rig, id_).payload == b"done"
        rig.core.on_dropped(first.name, request, rig.now)
