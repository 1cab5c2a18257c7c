"""Calls that a broker or worker refuses: who is asked next, how soon, and what is believed."""

from typing import Any

import pytest

from braidmq.errors import (
    AccessDenied,
    AttemptsExhausted,
    DeadlineExceeded,
    NoWorker,
    Overloaded,
    PayloadTooLarge,
    RequestError,
)
from braidmq.settings import Settings
from braidmq.wire import control
from braidmq.wire.envelope import Envelope, Reason
from tests.support.rigs.calls import HOLD_S, UNPAID, error_of, flagged, reply_of, spend_budget


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
            (Reason.EXPIRED, AttemptsExhausted),
            (99, AttemptsExhausted),
        ],
    )
    def test_error_names_the_reason_and_promises_that_nothing_ran(
        self, make: Any, reason: int, kind: type[RequestError]
    ) -> None:
        rig = make("a", "b")
        id_ = rig.call(attempts=2, wait=False)
        for _ in range(2):
            broker, request = rig.attempt()
            broker.reject(request, reason)
        error_of(rig, id_, kind, attempts=2, maybe_executed=False)

    def test_expired_is_believed_when_it_is_time_only(self, make: Any) -> None:
        rig = make("a")
        early = rig.call(attempts=1, timeout_s=2.0)
        rig["a"].reject(rig["a"].request(), Reason.EXPIRED)
        assert "no reason" in str(error_of(rig, early, AttemptsExhausted, attempts=1, maybe_executed=False))
        late = rig.call(attempts=1, timeout_s=0.5)
        request = rig["a"].request()
        rig.advance(0.48)
        rig["a"].reject(request, Reason.EXPIRED)
        error_of(rig, late, DeadlineExceeded, attempts=1, maybe_executed=False)

    @pytest.mark.parametrize(
        ("reason", "kind", "what"),
        [(Reason.DENIED, AccessDenied, "--call"), (Reason.TOO_LARGE, PayloadTooLarge, "takes no payload")],
    )
    def test_what_a_broker_refuses_for_good_is_final_when_a_second_one_says_so(
        self, make: Any, reason: Reason, kind: type[RequestError], what: str
    ) -> None:
        rig = make("a", "b", "c", settings=Settings(**UNPAID))
        spend_budget(rig)
        id_ = rig.call(attempts=5)
        first, request = rig.attempt()
        first.reject(request, reason)
        second, request = rig.attempt()
        assert second is not first
        second.reject(request, reason)
        assert what in str(error_of(rig, id_, kind, attempts=2, maybe_executed=False))
        assert not rig.sent()

    @pytest.mark.parametrize("reason", [Reason.DENIED, Reason.TOO_LARGE])
    def test_what_one_broker_refuses_for_good_another_may_take(self, make: Any, reason: Reason) -> None:
        rig = make("a", "b")
        id_ = rig.call()
        broker, request = rig.attempt()
        broker.reject(request, reason)
        broker, request = rig.attempt()
        assert not flagged(request)
        broker.reply(request)
        assert reply_of(rig, id_).broker == broker.name

    @pytest.mark.parametrize("options", [{"via": "a"}, {"attempts": 1}])
    def test_what_is_refused_for_good_is_final_for_a_call_that_may_ask_one_broker(
        self, make: Any, options: dict[str, Any]
    ) -> None:
        rig = make("a", "b")
        id_ = rig.call(**options)
        broker, request = rig.attempt()
        broker.reject(request, Reason.DENIED)
        error_of(rig, id_, AccessDenied, attempts=1, maybe_executed=False)

    def test_denied_is_final_where_no_other_broker_is_up_or_the_certificate_says_so_too(self, make: Any) -> None:
        for rig in (make("a"), make("a", "b", calls=("other",))):
            id_ = rig.call()
            broker, request = rig.attempt()
            broker.reject(request, Reason.DENIED)
            error_of(rig, id_, AccessDenied, attempts=1, maybe_executed=False)

    def test_broker_that_says_the_same_again_is_no_second_opinion(self, make: Any) -> None:
        rig = make("a", "b")
        id_ = rig.call(attempts=6, timeout_s=20.0)
        said = {"a": Reason.DENIED, "b": Reason.BUSY}
        for _ in range(6):
            broker, request = rig.attempt()
            broker.reject(request, said[broker.name])
            rig.advance(0.6)
        error_of(rig, id_, Overloaded, attempts=6, maybe_executed=False)

    def test_the_second_opinion_is_free_once(self, make: Any) -> None:
        rig = make("a", "b", settings=Settings(**UNPAID))
        id_ = rig.call(attempts=6, timeout_s=20.0)
        first, request = rig.attempt()
        first.reject(request, Reason.DENIED)
        second, request = rig.attempt()
        second.reject(request, Reason.BUSY)  # which the budget pays for, and no more
        while id_ not in rig.results:
            rig.advance(0.6)
            broker, request = rig.attempt()
            broker.reject(request, Reason.DENIED if broker is first else Reason.BUSY)
        assert rig.results[id_].attempts == 3

    def test_no_worker_is_told_only_if_every_broker_says_so(self, make: Any) -> None:
        rig = make("a", "b")
        id_ = rig.call(attempts=2, wait=False)
        for reason in (Reason.BUSY, Reason.NO_WORKER):
            broker, request = rig.attempt()
            broker.reject(request, reason)
        error_of(rig, id_, Overloaded, attempts=2, maybe_executed=False)

    def test_rejection_after_a_loss_does_not_take_the_flag_off(self, make: Any) -> None:
        rig = make("a", "b")
        id_ = rig.call(attempts=3)
        broker, request = rig.attempt()
        broker.lose(request)
        rig.advance(HOLD_S)
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

    def test_waits_for_a_busy_broker_rather_than_ask_one_that_has_no_worker(self, make: Any) -> None:
        rig = make("a", "b")
        rig["b"].say(control.Services([]))
        rig.call()
        rig["a"].reject(rig["a"].request(), Reason.BUSY)
        assert not rig.sent()
        rig.advance(0.2)
        assert rig["a"].request()

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
