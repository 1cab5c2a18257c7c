"""Calls that run for long: what keeps them alive, and which worker they go back to."""

from typing import Any

import pytest

from braidmq.errors import (
    DeadlineExceeded,
)
from braidmq.settings import Settings
from braidmq.wire.envelope import Progress
from tests.support.rigs.calls import error_of, reply_of
from tests.support.rigs.node_rig import WORKER


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

    @pytest.mark.parametrize("at", [1000.2, 1000.55, 1001.1, 1023.6, 1203.7])
    def test_that_ends_is_seen_at_its_instant_whatever_the_rounding(self, make: Any, at: float) -> None:
        rig = make("a", "b", settings=Settings(exchange_timeout_s=0.5))
        rig.advance(at - rig.now)
        rig.call(timeout_s=5.0)
        rig.attempt()
        rig.advance(0.52)
        rig.attempt()

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

    def test_retry_for_a_worker_goes_where_that_one_has_had_time_to_come(self, make: Any) -> None:
        """A broker that has just started may know other workers only, and they would run it a second time."""
        rig = make("a", "b", "c", settings=Settings(reconnect_s=0.01, reconnect_s_max=0.01, failover_spread_s=0.0))
        rig.advance(2.0)
        for _ in range(20):
            rig.call(timeout_s=30.0)
            broker, request = rig.attempt()
            fresh, settled = (each for each in rig.brokers.values() if each is not broker)
            fresh.die()
            rig.advance(0.1)
            assert fresh.connected
            broker.working(request, sender=b"worker-7")
            broker.die()
            again = settled.request()
            assert (again.receiver, again.retry_count) == (b"worker-7", 1)
            rig.advance(0.2)
            settled.reply(again)
            rig.advance(2.0)

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
