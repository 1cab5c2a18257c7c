from typing import Any

import pytest

from braidmq.core.call import Stage
from braidmq.core.link import Failure, LinkState
from braidmq.errors import (
    AccessDenied,
    AttemptsExhausted,
    BraidError,
    ConfigError,
    DeadlineExceeded,
    NoBroker,
    NotRegistered,
    NoWorker,
    Overloaded,
    PayloadTooLarge,
    RequestError,
    ServiceError,
)
from braidmq.messages import Reply
from braidmq.settings import Settings
from braidmq.wire import control
from braidmq.wire.envelope import (
    CANCEL,
    LOST,
    REPLY,
    Envelope,
    Flag,
    Progress,
    Reason,
    decode_headers,
    encode,
)
from rigs.node_rig import START, WORKER, Broker, NodeRig, address, answer_to

UNPAID = {"retry_budget_max": 1.0, "retry_budget_ratio": 0.0, "retry_budget_per_s": 0.0}


def reply_of(rig: NodeRig, id_: bytes) -> Reply:
    outcome = rig.results[id_]
    assert isinstance(outcome, Reply)
    return outcome


def error_of(rig: NodeRig, id_: bytes, kind: type[BraidError], *, attempts: int, maybe_executed: bool) -> RequestError:
    """Return the error that the call ended with; it says what the call knows."""
    error = rig.results[id_]
    assert type(error) is kind
    assert isinstance(error, RequestError)
    assert (error.request_id, error.service) == (id_, "echo")
    assert (error.attempts, error.maybe_executed) == (attempts, maybe_executed)
    return error


def flagged(request: Envelope) -> bool:
    return bool(request.flags & Flag.POSSIBLE_DUPLICATE)


def spend_budget(rig: NodeRig) -> None:
    """Spend the only token of an UNPAID budget."""
    id_ = rig.call(attempts=2)
    broker, request = rig.attempt()
    broker.reject(request, Reason.BUSY)
    broker, request = rig.attempt()
    broker.reply(request)
    del rig.results[id_]
    rig.begun.discard(id_)


class TestFirstAttempt:
    def test_carries_what_the_caller_gave(self, make: Any) -> None:
        rig = make("a")
        rig.call("echo", b"ping", timeout_s=2.0, headers={"traceparent": "00"})
        request = rig["a"].request()
        assert (request.service, request.payload, request.time_ms) == (b"echo", b"ping", 2000)
        assert decode_headers(request.extension) == {"traceparent": "00"}
        assert not flagged(request)
        assert (request.retry_count, request.receiver, request.sender) == (0, b"", b"")

    def test_asks_for_working_at_a_third_of_the_exchange_timeout(self, make: Any) -> None:
        rig = make("a", settings=Settings(exchange_timeout_s=0.9))
        rig.call()
        assert rig["a"].request().working_ms == 300

    def test_reply_reaches_the_caller_with_its_metadata(self, make: Any) -> None:
        rig = make("a")
        id_ = rig.call()
        rig["a"].reply(rig["a"].request(), b"pong")
        reply = reply_of(rig, id_)
        assert (reply.payload, reply.sender, reply.receiver, reply.service) == (b"pong", "worker", "node", "echo")
        assert (reply.original_id, reply.broker) == (id_, "a")
        assert (reply.possible_duplicate, reply.retry_count) == (False, 0)
        assert reply.id != id_

    def test_ids_and_tags_are_never_used_twice(self, make: Any) -> None:
        rig = make("a")
        ids = {rig.call() for _ in range(50)}
        requests = rig["a"].requests()
        assert len(ids) == len({request.tag for request in requests}) == 50
        assert all(request.id[0] < 0x80 for request in requests)

    def test_waits_for_the_first_broker(self, make: Any) -> None:
        rig = make("a", connect=False)
        rig.call()
        assert not rig.sent()
        rig.advance(0.1)
        assert rig.attempt()[0].name == "a"

    def test_error_of_the_handler_reaches_the_caller(self, make: Any) -> None:
        rig = make("a")
        id_ = rig.call()
        rig["a"].fail(rig["a"].request(), ServiceError("OUT_OF_STOCK", "none left", {"sku": 7}))
        error = error_of(rig, id_, ServiceError, attempts=1, maybe_executed=True)
        assert isinstance(error, ServiceError)
        assert (error.code, error.message, error.details) == ("OUT_OF_STOCK", "none left", {"sku": 7})

    def test_malformed_error_of_the_handler_is_an_internal_error(self, make: Any) -> None:
        rig = make("a")
        id_ = rig.call()
        rig["a"].reply(rig["a"].request(), b"\xc1", code=1)
        error = error_of(rig, id_, ServiceError, attempts=1, maybe_executed=True)
        assert isinstance(error, ServiceError)
        assert error.code == "INTERNAL"
        assert any("not BRAID/1" in line for line in rig.log)

    def test_unknown_outcome_of_a_reply_is_an_error_and_no_result(self, make: Any) -> None:
        rig = make("a")
        id_ = rig.call()
        rig["a"].reply(rig["a"].request(), b"pong", code=9)
        error_of(rig, id_, ServiceError, attempts=1, maybe_executed=True)


class TestArguments:
    @pytest.mark.parametrize(
        "options",
        [
            {"service": "no service"},
            {"service": ""},
            {"payload": "text"},
            {"timeout_s": 0.0},
            {"timeout_s": -1.0},
            {"timeout_s": float("nan")},
            {"timeout_s": 86_401.0},
            {"attempts": 0},
            {"attempts": 21},
            {"headers": {"a": 1}},
        ],
        ids=str,
    )
    def test_wrong_argument_is_refused_and_nothing_is_sent(self, make: Any, options: dict[str, Any]) -> None:
        rig = make("a")
        with pytest.raises(ConfigError):
            rig.call(**options)
        assert not rig.sent()
        assert not len(rig.client)

    def test_payload_above_this_nodes_limit_is_refused(self, make: Any) -> None:
        rig = make("a", settings=Settings(payload_bytes_max=2048))
        with pytest.raises(PayloadTooLarge, match="limit of 2048") as caught:
            rig.call(payload=bytes(2049))
        assert caught.value.request_id == b""
        assert not caught.value.maybe_executed
        rig.call(payload=bytes(2048))

    def test_payload_above_the_smallest_brokers_limit_is_refused(self, make: Any) -> None:
        rig = make("a", "b", connect=False)
        rig["b"].payload_bytes_max = 1500
        rig.advance(0.1)
        with pytest.raises(PayloadTooLarge, match="limit of 1500"):
            rig.call(payload=bytes(1501))
        rig["b"].crash()
        rig.call(payload=bytes(1501))


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


class TestRejected:
    @pytest.mark.parametrize("reason", [Reason.NO_WORKER, Reason.BUSY, Reason.DRAINING, Reason.EXPIRED])
    def test_goes_another_path_at_once_without_a_flag(self, make: Any, reason: Reason) -> None:
        rig = make("a", "b")
        rig.call()
        first, request = rig.attempt()
        first.reject(request, reason)
        second, retry = rig.attempt()
        assert second is not first
        assert retry.id == request.id
        assert retry.tag != request.tag
        assert not flagged(retry)
        assert retry.retry_count == 0

    @pytest.mark.parametrize(
        ("reason", "kind"),
        [
            (Reason.NO_WORKER, NoWorker),
            (Reason.BUSY, Overloaded),
            (Reason.DRAINING, Overloaded),
            (Reason.EXPIRED, DeadlineExceeded),
            (99, AttemptsExhausted),
        ],
    )
    def test_error_names_the_reason_and_promises_that_nothing_ran(
        self, make: Any, reason: int, kind: type[RequestError]
    ) -> None:
        rig = make("a", "b")
        id_ = rig.call(attempts=2)
        for _ in range(2):
            broker, request = rig.attempt()
            broker.reject(request, reason)
        error_of(rig, id_, kind, attempts=2, maybe_executed=False)

    def test_denied_is_final(self, make: Any) -> None:
        rig = make("a", "b")
        id_ = rig.call()
        broker, request = rig.attempt()
        broker.reject(request, Reason.DENIED)
        assert "--call" in str(error_of(rig, id_, AccessDenied, attempts=1, maybe_executed=False))
        assert not rig.sent()

    def test_too_large_is_final(self, make: Any) -> None:
        rig = make("a", "b")
        id_ = rig.call()
        broker, request = rig.attempt()
        broker.reject(request, Reason.TOO_LARGE)
        assert broker.name in str(error_of(rig, id_, PayloadTooLarge, attempts=1, maybe_executed=False))

    def test_no_worker_is_told_only_if_every_broker_says_so(self, make: Any) -> None:
        rig = make("a", "b")
        id_ = rig.call(attempts=2)
        for reason in (Reason.BUSY, Reason.NO_WORKER):
            broker, request = rig.attempt()
            broker.reject(request, reason)
        error_of(rig, id_, Overloaded, attempts=2, maybe_executed=False)

    def test_rejection_after_a_loss_does_not_take_the_flag_off(self, make: Any) -> None:
        rig = make("a", "b")
        id_ = rig.call(attempts=3)
        broker, request = rig.attempt()
        broker.lose(request)
        broker, request = rig.attempt()
        broker.reject(request, Reason.BUSY)
        rig.advance(0.2)
        broker, request = rig.attempt()
        assert flagged(request)
        assert request.retry_count == 1
        broker.reject(request, Reason.BUSY)
        error_of(rig, id_, Overloaded, attempts=3, maybe_executed=True)

    def test_backs_off_after_every_broker_has_refused(self, make: Any) -> None:
        rig = make("a", "b", settings=Settings(backoff_s=0.2, backoff_s_max=1.0))
        rig.call()
        for _ in range(2):
            broker, request = rig.attempt()
            broker.reject(request)
        assert not rig.sent()
        rig.advance(0.22)
        assert len(rig.sent()) == 1

    def test_backoff_grows_with_full_jitter_up_to_its_maximum(self, make: Any) -> None:
        pauses: dict[int, list[float]] = {}
        for seed in range(30):
            rig = make("a", seed=seed, settings=Settings(backoff_s=0.1, backoff_s_max=0.4, retry_budget_max=50))
            rig.call(attempts=6, timeout_s=60.0)
            for round_ in range(5):
                rig["a"].reject(rig["a"].request())
                since = rig.now
                while rig.client._parked or not any(isinstance(m, Envelope) for m in rig["a"].inbox):
                    rig.advance(0.005)
                pauses.setdefault(round_, []).append(rig.now - since)
        for round_, limit in enumerate((0.1, 0.2, 0.4, 0.4, 0.4)):
            assert max(pauses[round_]) <= limit + 0.02
            assert max(pauses[round_]) > limit * 0.7
            assert min(pauses[round_]) < limit * 0.3

    def test_comes_back_no_sooner_than_told(self, make: Any) -> None:
        rig = make("a", settings=Settings(backoff_s=0.001, backoff_s_max=0.5))
        rig.call()
        rig["a"].reject(rig["a"].request(), retry_after_ms=300)
        rig.advance(0.29)
        assert not rig.sent()
        rig.advance(0.03)
        assert rig.sent()

    def test_broker_cannot_put_a_call_off_for_longer_than_the_longest_pause(self, make: Any) -> None:
        rig = make("a", settings=Settings(backoff_s=0.001, backoff_s_max=0.5))
        rig.call()
        rig["a"].reject(rig["a"].request(), retry_after_ms=0xFFFFFFFF)
        rig.advance(0.52)
        assert rig.sent()

    def test_pinned_call_backs_off_and_returns_to_its_broker(self, make: Any) -> None:
        rig = make("a", "b")
        rig.call(via="a", attempts=3)
        for _ in range(2):
            rig["a"].reject(rig["a"].request())
            rig.advance(0.3)
        assert rig["a"].request()
        assert not rig["b"].requests()


class TestUnknown:
    def test_death_of_the_path_sends_a_flagged_copy_over_another(self, make: Any) -> None:
        rig = make("a", "b")
        rig.call()
        first, request = rig.attempt()
        first.crash()
        rig.advance(0.06)
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

    def test_lost_sends_a_flagged_copy_at_once(self, make: Any) -> None:
        rig = make("a", "b")
        rig.call()
        first, request = rig.attempt()
        first.lose(request)
        second, retry = rig.attempt()
        assert second is not first
        assert flagged(retry)
        assert retry.retry_count == 1

    def test_reply_to_the_copy_says_that_it_may_have_run_twice(self, make: Any) -> None:
        rig = make("a", "b")
        id_ = rig.call()
        broker, request = rig.attempt()
        broker.lose(request)
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
        broker, request = rig.attempt()
        broker.lose(request)
        assert rig.attempt()[1].retry_count == 2

    def test_first_failover_is_free(self, make: Any) -> None:
        rig = make("a", "b", settings=Settings(**UNPAID))
        spend_budget(rig)
        rig.call()
        broker, request = rig.attempt()
        broker.lose(request)
        assert rig.attempt()

    def test_further_failovers_wait_for_the_budget(self, make: Any) -> None:
        rig = make("a", "b", settings=Settings(**UNPAID))
        spend_budget(rig)
        id_ = rig.call(attempts=20, timeout_s=60.0)
        for _ in range(2):
            broker, request = rig.attempt()
            broker.lose(request)
        rig.advance(59.0)
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
        rig.advance(1.9)
        assert not rig.sent()
        rig.advance(3.0)
        assert rig.sent()

    def test_failovers_after_a_death_are_spread_in_time(self, make: Any) -> None:
        rig = make("a", "b", settings=Settings(failover_spread_s=0.05))
        for _ in range(100):
            rig.call()
        rig["b"].requests()
        moved = len(rig["a"].requests())
        rig["a"].crash()
        waves = []
        for _ in range(7):
            waves.append(len(rig["b"].requests()))
            rig.advance(0.01)
        assert sum(waves) == moved
        assert waves[0] == 0
        assert sum(wave > 0 for wave in waves) >= 4
        assert max(waves) < moved / 2

    def test_single_failover_is_hardly_delayed(self, make: Any) -> None:
        rig = make("a", "b")
        rig.call()
        broker, _ = rig.attempt()
        broker.crash()
        rig.advance(0.02)
        assert rig.sent()


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
        broker, request = rig.attempt()
        broker.reject(request, Reason.BUSY)
        assert "budget" in str(error_of(rig, id_, Overloaded, attempts=1, maybe_executed=False))

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
        assert sorted(tried) == ["a", "b", "c"]

    def test_tried_broker_is_tried_again_if_there_is_no_other(self, make: Any) -> None:
        rig = make("a")
        rig.call()
        rig["a"].lose(rig["a"].request())
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
        assert not first.take(CANCEL)
        (cancel,) = second.take(CANCEL)
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


class TestWorking:
    def test_keeps_a_long_request_alive(self, make: Any) -> None:
        rig = make("a", "b")
        id_ = rig.call(timeout_s=60.0)
        broker, request = rig.attempt()
        for _ in range(40):
            rig.advance(0.9)
            broker.working(request)
        assert not rig.sent()
        broker.reply(request)
        assert not reply_of(rig, id_).possible_duplicate

    def test_in_a_brokers_queue_keeps_it_alive_too(self, make: Any) -> None:
        rig = make("a", "b")
        rig.call()
        broker, request = rig.attempt()
        rig.advance(0.9)
        broker.working(request, Progress.QUEUED, sender=b"a")
        rig.advance(0.9)
        assert not rig.sent()
        rig.advance(0.2)
        assert rig.attempt()[1].receiver == b""

    def test_does_not_outlast_the_deadline(self, make: Any) -> None:
        rig = make("a")
        id_ = rig.call(timeout_s=2.0)
        request = rig["a"].request()
        for _ in range(4):
            rig.advance(0.51)
            rig["a"].working(request)
        error_of(rig, id_, DeadlineExceeded, attempts=1, maybe_executed=True)

    def test_names_the_worker_that_a_retry_after_a_death_is_addressed_to(self, make: Any) -> None:
        rig = make("a", "b")
        rig.call()
        broker, request = rig.attempt()
        broker.working(request, sender=b"worker-7")
        broker.crash()
        rig.advance(0.05)
        assert rig.attempt()[1].receiver == b"worker-7"

    def test_second_silence_drops_the_worker(self, make: Any) -> None:
        rig = make("a", "b", "c")
        rig.call()
        broker, request = rig.attempt()
        broker.working(request)
        rig.advance(1.05)
        assert rig.attempt()[1].receiver == WORKER
        rig.advance(1.05)
        assert rig.attempt()[1].receiver == b""

    @pytest.mark.parametrize("answer", ["lose", "reject"])
    def test_worker_that_has_nothing_to_tell_is_not_asked_again(self, make: Any, answer: str) -> None:
        rig = make("a", "b")
        rig.call()
        broker, request = rig.attempt()
        broker.working(request)
        getattr(broker, answer)(request, sender=WORKER)
        assert rig.attempt()[1].receiver == b""

    def test_worker_that_a_broker_lost_may_be_reached_over_another(self, make: Any) -> None:
        rig = make("a", "b")
        rig.call()
        broker, request = rig.attempt()
        broker.working(request)
        broker.lose(request)
        assert rig.attempt()[1].receiver == WORKER

    def test_of_an_earlier_attempt_does_not_keep_the_current_one_alive(self, make: Any) -> None:
        rig = make("a", "b", "c")
        rig.call()
        first, request = rig.attempt()
        rig.advance(1.05)
        rig.attempt()
        for _ in range(4):
            first.working(request)
            rig.advance(0.27)
        assert rig.attempt()[1].receiver == b""


class TestAnswers:
    def test_after_the_end_are_dropped_and_counted(self, make: Any) -> None:
        rig = make("a")
        id_ = rig.call()
        request = rig["a"].request()
        rig["a"].reply(request, b"first")
        for _ in range(2):
            rig["a"].reply(request, b"second")
        assert reply_of(rig, id_).payload == b"first"
        assert rig.client.late == 2

    @pytest.mark.parametrize("answer", ["reply", "working", "reject", "lose"])
    def test_with_a_wrong_tag_are_ignored(self, make: Any, answer: str) -> None:
        rig = make("a", "b")
        id_ = rig.call()
        broker, request = rig.attempt()
        request.tag += 1
        getattr(broker, answer)(request)
        assert id_ not in rig.results
        assert not rig.sent()
        assert rig.client.late == 1
        assert rig.client._calls[id_].worker == b""

    @pytest.mark.parametrize("answer", ["reply", "working", "reject", "lose"])
    def test_over_the_wrong_path_are_ignored(self, make: Any, answer: str) -> None:
        rig = make("a", "b")
        id_ = rig.call()
        broker, request = rig.attempt()
        getattr(rig.other(broker), answer)(request)
        assert id_ not in rig.results
        assert not rig.sent()
        assert rig.client._calls[id_].worker == b""

    def test_with_another_calls_tag_are_ignored(self, make: Any) -> None:
        rig = make("a")
        rig.call()
        rig.call()
        one, two = rig["a"].requests()
        one.tag = two.tag
        rig["a"].reply(one)
        assert not rig.results

    def test_of_an_older_session_are_ignored(self, make: Any) -> None:
        rig = make("a")
        id_ = rig.call(attempts=1)
        request = rig["a"].request()
        rig.advance(1.2)
        rig["a"].die()
        error_of(rig, id_, AttemptsExhausted, attempts=1, maybe_executed=True)
        rig.advance(0.3)
        rig["a"].reply(request)

    def test_to_an_earlier_attempt_are_ignored_once_it_was_rejected(self, make: Any) -> None:
        rig = make("a", "b")
        id_ = rig.call()
        first, request = rig.attempt()
        rig.advance(1.05)
        rig.attempt()
        first.reject(request)
        first.reply(request)
        assert id_ not in rig.results

    def test_cut_off_answer_is_told_once_and_changes_nothing(self, make: Any) -> None:
        rig = make("a")
        rig.call()
        rig["a"].say_bytes((20).to_bytes(4) + bytes((0x10, REPLY)) + bytes(14))
        rig["a"].say_bytes((20).to_bytes(4) + bytes((0x10, REPLY)) + bytes(14))
        assert not rig.results
        assert sum("not BRAID/1" in line for line in rig.log) == 1

    def test_in_one_frame_with_the_end_of_the_session_still_count(self, make: Any) -> None:
        rig = make("a", "b")
        id_ = rig.call()
        broker, request = rig.attempt()
        broker.say(control.Goodbye("no-session"), answer_to(request, REPLY, payload=b"pong"))
        assert reply_of(rig, id_).payload == b"pong"


class TestPaths:
    def test_brokers_that_report_the_service_are_preferred(self, make: Any) -> None:
        rig = make("a", "b", "c", provides=())
        rig["b"].say(control.Services(["echo"]))
        for _ in range(20):
            rig.call()
        assert len(rig["b"].requests()) == 20

    def test_any_broker_is_asked_if_none_reports_the_service(self, make: Any) -> None:
        rig = make("a", "b", provides=("other",))
        for _ in range(20):
            rig.call()
        assert rig["a"].requests()
        assert rig["b"].requests()

    def test_broker_that_lost_its_workers_is_left(self, make: Any) -> None:
        rig = make("a", "b")
        rig["a"].say(control.Services([]))
        for _ in range(20):
            rig.call()
        assert not rig["a"].requests()

    def test_the_cheaper_of_two_paths_is_taken(self, make: Any) -> None:
        rig = make("a", "b")
        for latency_s, name in ((0.1, "a"), (0.001, "b")):
            rig.call(via=name)
            request = rig[name].request()
            rig.advance(latency_s)
            rig[name].reply(request)
        for _ in range(20):
            rig.call()
        assert not rig["a"].requests()

    def test_equal_paths_share_the_load(self, make: Any) -> None:
        rig = make("a", "b")
        for _ in range(100):
            rig.call()
        assert abs(len(rig["a"].requests()) - len(rig["b"].requests())) <= 2

    def test_one_of_two_random_paths_is_taken_so_that_none_is_swamped(self, make: Any) -> None:
        rig = make("a", "b", "c", "d")
        for _ in range(200):
            rig.call()
        assert all(30 <= len(broker.requests()) <= 70 for broker in rig.brokers.values())

    def test_via_pins_the_path(self, make: Any) -> None:
        rig = make("a", "b")
        for _ in range(20):
            rig.call(via="b")
        assert len(rig["b"].requests()) == 20

    def test_via_waits_for_its_broker(self, make: Any) -> None:
        rig = make("a", "b")
        rig["b"].accepts = False
        rig["b"].die()
        rig.call(via="b")
        rig.advance(1.0)
        assert not rig.sent()
        rig["b"].welcome()
        assert rig.attempt()[0].name == "b"

    def test_via_a_broker_that_is_not_known_says_so(self, make: Any) -> None:
        rig = make("a")
        rig.add(address("down")).refusal = Failure.UNREACHABLE
        id_ = rig.call(via="nowhere", timeout_s=0.5)
        rig.advance(0.6)
        error = str(error_of(rig, id_, NoBroker, attempts=0, maybe_executed=False))
        assert "nowhere is not known" in error
        assert "down" not in error

    def test_suspect_broker_gets_nothing_new(self, make: Any) -> None:
        rig = make("a", "b")
        rig["a"].beats = False
        rig.advance(1.8)
        assert rig["a"].link.state is LinkState.SUSPECT
        for _ in range(20):
            rig.call()
        assert not rig["a"].requests()

    def test_draining_broker_gets_nothing_new(self, make: Any) -> None:
        rig = make("a", "b")
        rig["a"].say(control.Goodbye("draining"))
        for _ in range(20):
            rig.call()
        assert not rig["a"].requests()

    def test_draining_broker_still_answers_what_it_has(self, make: Any) -> None:
        rig = make("a")
        id_ = rig.call()
        request = rig["a"].request()
        rig["a"].say(control.Goodbye("draining"))
        rig["a"].reply(request)
        assert not reply_of(rig, id_).possible_duplicate

    def test_path_that_is_silent_since_the_attempt_is_suspected_at_once(self, make: Any) -> None:
        rig = make("a", "b")
        rig["a"].beats = False
        rig.advance(0.3)
        rig.call(via="a")
        rig.advance(1.02)
        assert rig["a"].link.state is LinkState.SUSPECT
        assert rig["b"].link.state is LinkState.UP

    def test_path_that_is_heard_is_not_suspected_for_a_silent_worker(self, make: Any) -> None:
        rig = make("a", "b")
        rig.call(via="a")
        rig.advance(1.05)
        assert rig["a"].link.state is LinkState.UP

    def test_only_broker_gets_no_retry_while_it_is_suspect(self, make: Any) -> None:
        rig = make("a")
        rig["a"].beats = False
        rig.advance(0.1)
        rig.call()
        rig.call()
        rig["a"].requests()
        rig.advance(1.3)
        assert rig["a"].link.state is LinkState.SUSPECT
        assert not rig["a"].requests()
        rig["a"].say(control.Heartbeat())
        assert all(flagged(request) for request in rig["a"].requests())

    @pytest.mark.parametrize("reason", ["draining", "no-session"])
    def test_broker_that_says_goodbye_gets_nothing_new_from_the_same_frame_on(self, make: Any, reason: Any) -> None:
        rig = make("a", "b", settings=Settings(backoff_s=0.001))
        rig["b"].say(control.Goodbye("draining"))
        rig.call()
        request = rig["a"].request()
        rig["a"].accepts = False
        rig["a"].say(control.Goodbye(reason), answer_to(request, LOST))
        assert not rig.sent()


class TestLimits:
    def test_no_more_than_in_flight_max_await_an_answer(self, make: Any) -> None:
        rig = make("a", settings=Settings(in_flight_max=3))
        ids = [rig.call() for _ in range(5)]
        requests = rig["a"].requests()
        assert [request.id for request in requests] == ids[:3]
        rig["a"].reply(requests[1])
        assert [request.id for request in rig["a"].requests()] == [ids[3]]

    def test_bytes_in_flight_are_limited_in_order(self, make: Any) -> None:
        rig = make("a", settings=Settings(in_flight_bytes_max=2048))
        ids = [rig.call(payload=bytes(size)) for size in (1500, 600, 10)]
        request = rig["a"].request()
        assert request.id == ids[0]
        rig["a"].reply(request)
        assert [request.id for request in rig["a"].requests()] == ids[1:]

    def test_payload_above_the_byte_limit_travels_alone(self, make: Any) -> None:
        rig = make("a", settings=Settings(in_flight_bytes_max=1024))
        big, small = rig.call(payload=bytes(5000)), rig.call()
        request = rig["a"].request()
        assert request.id == big
        rig["a"].reply(request)
        assert rig["a"].request().id == small

    def test_no_more_than_waiting_max_wait(self, make: Any) -> None:
        rig = make("a", settings=Settings(in_flight_max=1, waiting_max=2))
        for _ in range(3):
            rig.call()
        with pytest.raises(Overloaded, match="waiting_max=2"):
            rig.call()
        rig["a"].reply(rig["a"].request())
        rig.call()

    def test_bytes_that_wait_are_limited(self, make: Any) -> None:
        rig = make("a", settings=Settings(in_flight_max=1, in_flight_bytes_max=2048))
        rig.call()
        rig.call(payload=bytes(2000))
        with pytest.raises(Overloaded, match="in_flight_bytes_max=2048"):
            rig.call(payload=bytes(100))

    def test_without_waiting_a_free_place_can_be_taken(self, make: Any) -> None:
        rig = make("a", settings=Settings(in_flight_max=1, waiting_max=0))
        rig.call()
        with pytest.raises(Overloaded):
            rig.call()
        rig["a"].reply(rig["a"].request())
        rig.call()

    def test_call_that_gets_no_place_in_time_is_overloaded_and_was_not_sent(self, make: Any) -> None:
        rig = make("a", settings=Settings(in_flight_max=1))
        rig.call(timeout_s=30.0)
        id_ = rig.call(timeout_s=1.0)
        rig.advance(1.05)
        error_of(rig, id_, Overloaded, attempts=0, maybe_executed=False)

    def test_call_whose_time_is_over_does_not_take_the_place_that_becomes_free(self, make: Any) -> None:
        rig = make("a", settings=Settings(in_flight_max=1))
        rig.call(timeout_s=1.0)
        id_ = rig.call(timeout_s=1.0)
        rig["a"].requests()
        rig.advance(1.05)
        assert not rig["a"].requests()
        error_of(rig, id_, Overloaded, attempts=0, maybe_executed=False)

    def test_place_is_freed_by_every_end(self, make: Any) -> None:
        rig = make("a", settings=Settings(in_flight_max=1))
        cancelled, waiting = rig.call(), rig.call()
        rig.cancel(cancelled)
        assert [request.id for request in rig["a"].requests()] == [cancelled, waiting]
        assert len(rig.client) == 1


class TestDeadline:
    def test_ends_a_call_whatever_it_waits_for(self, make: Any) -> None:
        rig = make("a", "b")
        id_ = rig.call(timeout_s=0.5)
        rig.advance(0.55)
        error_of(rig, id_, DeadlineExceeded, attempts=1, maybe_executed=True)
        assert rig.resolved_at[id_] - START <= 0.75

    def test_in_a_pause_promises_that_nothing_ran(self, make: Any) -> None:
        rig = make("a", settings=Settings(backoff_s=1.0))
        id_ = rig.call(timeout_s=0.3)
        rig["a"].reject(rig["a"].request(), retry_after_ms=1000)
        rig.advance(0.35)
        error_of(rig, id_, DeadlineExceeded, attempts=1, maybe_executed=False)

    def test_travels_as_the_time_that_is_left(self, make: Any) -> None:
        rig = make("a", "b")
        rig.call(timeout_s=5.0)
        rig.attempt()
        rig.advance(1.05)
        assert 3_900 <= rig.attempt()[1].time_ms <= 3_999

    def test_cancels_every_attempt(self, make: Any) -> None:
        rig = make("a", "b")
        rig.call(timeout_s=1.5)
        attempts = []
        attempts += rig.sent()
        rig.advance(1.05)
        attempts += rig.sent()
        rig.advance(0.5)
        for broker, request in attempts:
            (cancel,) = broker.take(CANCEL)
            assert (cancel.id, cancel.tag) == (request.id, request.tag)

    def test_call_that_is_over_is_not_sent_when_a_broker_comes_up(self, make: Any) -> None:
        rig = make("a", connect=False)
        rig["a"].accepts = False
        id_ = rig.call(timeout_s=0.5)
        rig.advance(0.1)
        rig["a"].handshake()
        rig.now += 0.6
        rig["a"].welcome()
        assert not rig["a"].requests()
        error_of(rig, id_, NoBroker, attempts=0, maybe_executed=False)

    def test_without_any_broker_names_brokers_and_reasons(self, make: Any) -> None:
        rig = make("a", "b", "c", connect=False)
        rig["a"].refusal = Failure.UNREACHABLE
        rig["b"].refusal = Failure.NOT_THIS_BROKER
        rig["c"].accepts = False
        id_ = rig.call(timeout_s=0.5)
        rig.advance(0.6)
        text = str(error_of(rig, id_, NoBroker, attempts=0, maybe_executed=False))
        assert f"a at tcp://a:1: {Failure.UNREACHABLE}" in text
        assert f"b at tcp://b:1: {Failure.NOT_THIS_BROKER}" in text
        assert "c at tcp://c:1: no connection yet" in text

    def test_with_only_draining_brokers_says_so(self, make: Any) -> None:
        rig = make("a")
        rig["a"].say(control.Goodbye("draining"))
        id_ = rig.call(timeout_s=0.5)
        rig.advance(0.6)
        assert "it is draining" in str(error_of(rig, id_, NoBroker, attempts=0, maybe_executed=False))

    def test_of_many_calls_is_kept_at_once(self, make: Any) -> None:
        rig = make("a", settings=Settings(in_flight_max=2))
        ids = [rig.call(timeout_s=1.0) for _ in range(10)]
        rig.jump(1.1)
        assert set(rig.results) == set(ids)


class TestNotRegistered:
    def test_only_if_every_broker_refuses(self, make: Any) -> None:
        rig = make("a", "b", connect=False)
        rig["a"].refusal = Failure.NOT_REGISTERED
        rig["b"].refusal = Failure.UNREACHABLE
        id_ = rig.call()
        rig.advance(1.0)
        assert id_ not in rig.results
        rig["b"].refusal = Failure.NOT_REGISTERED
        rig.advance(3.0)
        assert isinstance(rig.results[id_], NotRegistered)

    def test_ends_new_calls_at_once(self, make: Any) -> None:
        rig = make("a", connect=False)
        rig["a"].refusal = Failure.NOT_REGISTERED
        rig.advance(0.2)
        id_ = rig.call()
        assert isinstance(rig.results[id_], NotRegistered)

    def test_ends_calls_that_waited_for_a_place_too(self, make: Any) -> None:
        rig = make("a", connect=False, settings=Settings(in_flight_max=1))
        rig["a"].refusal = Failure.NOT_REGISTERED
        ids = [rig.call() for _ in range(5)]
        rig.advance(0.2)
        assert set(rig.results) == set(ids)

    def test_call_that_ends_so_while_its_own_timer_is_due_ends_once(self, make: Any) -> None:
        rig = make("a", settings=Settings(in_flight_max=1, failover_spread_s=10.0, reconnect_s=0.001))
        rig["a"].refusal = Failure.NOT_REGISTERED
        first = rig.call(timeout_s=1.0)
        second = rig.call(timeout_s=1.05)
        (call,) = (call for call in rig.client._calls.values() if call.id == first)
        rig["a"].die()
        rig.client._pause(call, 10.0, rig.now)
        rig.advance(0.9)
        rig.jump(0.2)
        assert set(rig.results) == {first, second}


class TestCancel:
    def test_tells_every_broker_that_has_the_request(self, make: Any) -> None:
        rig = make("a", "b")
        id_ = rig.call()
        attempts = rig.sent()
        rig.advance(1.05)
        attempts += rig.sent()
        rig.cancel(id_)
        for broker, request in attempts:
            (cancel,) = broker.take(CANCEL)
            assert (cancel.id, cancel.tag) == (id_, request.tag)
        assert not len(rig.client)

    def test_does_not_reach_a_session_that_is_new(self, make: Any) -> None:
        rig = make("a", "b")
        id_ = rig.call()
        first, _ = rig.attempt()
        rig.advance(1.05)
        first.die()
        rig.advance(0.3)
        assert first.connected
        rig.cancel(id_)
        assert not first.take(CANCEL)

    def test_ends_without_a_result(self, make: Any) -> None:
        rig = make("a")
        id_ = rig.call()
        request = rig["a"].request()
        rig.cancel(id_)
        rig.cancel(id_)
        rig["a"].reply(request)
        rig.advance(6.0)
        assert not rig.results

    def test_of_a_waiting_call_sends_nothing(self, make: Any) -> None:
        rig = make("a", settings=Settings(in_flight_max=1))
        rig.call()
        id_ = rig.call()
        rig["a"].requests()
        rig.cancel(id_)
        rig["a"].inbox = [message for message in rig["a"].inbox if isinstance(message, Envelope)]
        assert not rig["a"].inbox


def test_all_attempts_carry_the_same_id_service_payload_and_headers(make: Any) -> None:
    rig = make("a", "b")
    rig.call(payload=b"same", headers={"k": "v"})
    broker, first = rig.attempt()
    broker.lose(first)
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
