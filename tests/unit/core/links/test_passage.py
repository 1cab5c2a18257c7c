"""Paths that pass nothing on, and payloads that may be what stops them."""

from typing import Any

import pytest

from braidmq.core.links.passage import SAFE_BYTES
from braidmq.settings import Settings
from braidmq.wire.envelope import Progress
from tests.support.rigs.calls import reply_of
from tests.support.rigs.node_rig import Broker, NodeRig, address

LARGE = bytes(100_000)
EXCHANGE_S, DEAD_S = 1.0, 3.0
QUIET = Settings(exchange_timeout_s=EXCHANGE_S, dead_after_s=DEAD_S, failover_spread_s=0.0)


def pair(make: Any) -> NodeRig:
    rig: NodeRig = make("a", "b", settings=QUIET)
    return rig


def silenced(rig: NodeRig, payload: bytes = LARGE) -> tuple[bytes, Broker]:
    """Let a request vanish on its way to a broker that is heard; return its id and that broker."""
    id_ = rig.call(payload=payload, timeout_s=20.0)
    broker, _ = rig.attempt()
    rig.advance(EXCHANGE_S + 0.02)
    return id_, broker


class TestDeafPath:
    def test_others_are_preferred_to_it(self, make: Any) -> None:
        rig = pair(make)
        _, deaf = silenced(rig, b"ping")
        rig.other(deaf).request()
        for _ in range(10):
            rig.call()
            assert rig.attempt()[0] is rig.other(deaf)

    def test_it_is_one_no_more_when_something_has_passed(self, make: Any) -> None:
        rig = make("a", settings=QUIET)
        silenced(rig, b"ping")
        rig.call(payload=b"other")
        rig["a"].reply(rig["a"].request())
        rig.advance(0.1)
        assert rig["a"].request().payload == b"ping"

    def test_word_of_what_came_before_proves_nothing(self, make: Any) -> None:
        rig = make("a", settings=QUIET)
        rig.call(timeout_s=20.0)
        job = rig["a"].request()
        rig.advance(0.1)
        rig.call(timeout_s=20.0)
        rig["a"].request()
        for _ in range(8):
            rig.advance(0.3)
            rig["a"].working(job)
            assert not rig.sent()

    def test_path_that_passed_something_later_is_none(self, make: Any) -> None:
        """What was sent in between has come as well: it is lost elsewhere."""
        rig = make("a", settings=QUIET)
        rig.call(timeout_s=20.0)
        rig["a"].request()
        rig.advance(0.5)
        rig.call()
        rig["a"].reply(rig["a"].request())
        rig.advance(0.55)
        assert rig["a"].request().retry_count == 1

    @pytest.mark.parametrize("progress", list(Progress))
    def test_path_whose_broker_says_anything_of_it_is_none(self, make: Any, progress: Progress) -> None:
        rig = make("a", settings=QUIET)
        rig.call(timeout_s=20.0)
        rig["a"].working(rig["a"].request(), progress)
        rig.advance(EXCHANGE_S + 0.05)
        assert rig["a"].request().retry_count == 1

    def test_further_attempt_waits_for_another_one(self, make: Any) -> None:
        rig = make("a", settings=QUIET)
        _, deaf = silenced(rig, b"ping")
        rig.advance(DEAD_S - 0.2)
        assert not rig.sent()
        deaf.die()
        rig.advance(0.2)
        assert deaf.request().retry_count == 1

    def test_it_is_tried_again_in_the_end(self, make: Any) -> None:
        rig = make("a", settings=QUIET)
        _, deaf = silenced(rig, b"ping")
        rig.advance(DEAD_S + 0.2)
        assert deaf.request().retry_count == 1

    def test_first_attempt_takes_it_if_there_is_no_other(self, make: Any) -> None:
        rig = make("a", settings=QUIET)
        _, deaf = silenced(rig, b"ping")
        id_ = rig.call()
        rig.advance(0.0)
        request = deaf.request()
        deaf.reply(request)
        assert reply_of(rig, id_)


class TestSuspectedPayload:
    def test_it_never_takes_the_last_path_before_its_patience_ends(self, make: Any) -> None:
        rig = pair(make)
        _, deaf = silenced(rig)
        deaf.crash()
        rig.advance(2.0 * DEAD_S - 0.2)
        assert not rig.other(deaf).requests()
        rig.advance(0.5)
        assert rig.other(deaf).request().payload == LARGE

    def test_small_calls_are_not_held_up_by_it(self, make: Any) -> None:
        rig = pair(make)
        _, deaf = silenced(rig)
        for _ in range(10):
            id_ = rig.call(payload=bytes(SAFE_BYTES))
            broker, request = rig.attempt()
            assert broker is rig.other(deaf)
            broker.reply(request)
            assert reply_of(rig, id_)

    def test_it_goes_on_as_soon_as_two_paths_are_there(self, make: Any) -> None:
        rig = pair(make)
        _, deaf = silenced(rig)
        deaf.die()
        rig.advance(0.3)
        _, request = rig.attempt()
        assert request.retry_count == 1

    def test_it_takes_a_path_that_has_carried_as_much(self, make: Any) -> None:
        rig = make("a", settings=QUIET)
        rig.call(payload=LARGE, timeout_s=20.0)
        rig["a"].request()
        proven = rig.add(address("b"))
        rig.advance(0.1)
        rig.call(payload=LARGE, via="b")
        proven.reply(proven.request())
        rig.advance(EXCHANGE_S)
        rig.call(payload=LARGE)
        assert [broker for broker, _ in rig.sent()] == [proven] * 2

    def test_all_that_are_as_large_share_one_path(self, make: Any) -> None:
        """Each would take one down."""
        rig = make("a", "b", "c", settings=QUIET)
        _, deaf = silenced(rig)
        broker, _ = rig.attempt()
        assert broker is not deaf
        for _ in range(10):
            rig.call(payload=LARGE)
            assert rig.attempt()[0] is broker

    def test_smaller_ones_are_not_suspected(self, make: Any) -> None:
        rig = pair(make)
        silenced(rig)
        id_ = rig.call(payload=LARGE[1:])
        broker, request = rig.attempt()
        broker.reply(request)
        assert reply_of(rig, id_)

    def test_what_the_path_has_carried_before_is_not_to_blame(self, make: Any) -> None:
        rig = pair(make)
        for name in "ab":
            rig.call(payload=LARGE, via=name)
            rig[name].reply(rig[name].request())
        rig.advance(0.1)
        _, deaf = silenced(rig)
        assert rig.other(deaf).request().retry_count == 1

    def test_caller_who_names_the_path_gets_it(self, make: Any) -> None:
        rig = pair(make)
        _, deaf = silenced(rig)
        rig.call(payload=LARGE, via=rig.other(deaf).name)
        rig.other(deaf).request()

    def test_broker_that_hangs_makes_nothing_suspect(self, make: Any) -> None:
        rig = pair(make)
        rig.call(payload=LARGE, timeout_s=20.0)
        broker, _ = rig.attempt()
        broker.beats = False
        rig.advance(EXCHANGE_S + 0.5)
        assert rig.other(broker).request().retry_count == 1
