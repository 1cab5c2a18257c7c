"""Answers that no call waits for: what comes too late is nobody's fault, and what was never asked for is a flood."""

from typing import Any

import pytest

from braidmq.core.client.late_answers import UNASKED_BYTES_EACH, UNASKED_MAX, UNASKED_WITHIN_S
from braidmq.core.links.link import Failure
from braidmq.settings import Settings
from braidmq.wire.envelope import CUT, REPLY
from tests.support.rigs.calls import reply_of
from tests.support.rigs.node_rig import Broker, NodeRig


def flood(broker: Broker, count: int, answer: str = "reply") -> None:
    """Let a broker answer again and again what was answered."""
    broker.rig.call(via=broker.name)
    request = broker.request()
    broker.reply(request)
    for _ in range(count):
        getattr(broker, answer)(request)


def logged(rig: NodeRig) -> int:
    return sum(Failure.UNASKED.value in line for line in rig.log)


@pytest.mark.parametrize("answer", ["reply", "reject", "lose"])
def test_a_broker_that_sends_what_nobody_asked_for_is_left_with_one_line(make: Any, answer: str) -> None:
    rig = make("a", "b")
    flood(rig["a"], UNASKED_MAX, answer)
    assert rig["a"].link.open
    flood(rig["a"], 50, answer)
    assert rig["a"].link.failure is Failure.UNASKED
    assert rig["a"].link.wake_at >= rig.now + 10.0
    assert logged(rig) == 1
    id_ = rig.call()
    rig["b"].reply(rig["b"].request(), b"done")
    assert reply_of(rig, id_).payload == b"done"


def test_signs_of_work_may_come_late_as_often_as_they_like(make: Any) -> None:
    rig = make("a")
    flood(rig["a"], 3 * UNASKED_MAX, "working")
    assert rig["a"].link.open


@pytest.mark.parametrize("how", ["cancelled", "late"])
def test_answers_to_calls_that_nobody_waits_for_any_more_are_owed(make: Any, how: str) -> None:
    rig = make("a", settings=Settings(in_flight_max=1_000))
    requests = []
    for _ in range(2 * UNASKED_MAX):
        id_ = rig.call(timeout_s=0.5)
        requests.append(rig["a"].request())
        if how == "cancelled":
            rig.cancel(id_)
    rig.advance(0.6)
    for request in requests:
        rig["a"].reply(request)
    rig.advance(0.1)  # they are handled in portions
    assert rig.client.late == 2 * UNASKED_MAX
    assert rig["a"].link.open
    for request in requests[: UNASKED_MAX + 1]:
        rig["a"].reply(request)
    rig.advance(0.1)
    assert rig["a"].link.failure is Failure.UNASKED, "once each"


def test_answers_to_earlier_attempts_are_owed(make: Any) -> None:
    rig = make("a", "b", settings=Settings(in_flight_max=1_000, retry_budget_max=1_000.0))
    asked = []
    for _ in range(2 * UNASKED_MAX):
        rig.call(timeout_s=30.0)
        asked.append(rig.attempt())
    rig.advance(1.5)
    while further := rig.sent():
        for broker, request in further:
            broker.reply(request)
    for broker, request in asked:
        broker.reply(request)
    rig.advance(0.1)
    assert rig["a"].link.open
    assert rig["b"].link.open


def test_a_few_now_and_then_are_no_flood(make: Any) -> None:
    rig = make("a")
    for _ in range(3):
        flood(rig["a"], UNASKED_MAX)
        rig.advance(UNASKED_WITHIN_S)
    assert rig["a"].link.open


def test_large_ones_count_as_many(make: Any) -> None:
    rig = make("a")
    rig.call()
    request = rig["a"].request()
    rig["a"].reply(request)
    rig["a"].answer(request, CUT, code=REPLY, time_ms=UNASKED_MAX * UNASKED_BYTES_EACH)
    assert rig["a"].link.failure is Failure.UNASKED


def test_a_new_session_begins_anew(make: Any) -> None:
    rig = make("a")
    flood(rig["a"], UNASKED_MAX)
    rig["a"].die()
    rig.advance(2.0)
    assert rig["a"].link.open
    flood(rig["a"], UNASKED_MAX)
    assert rig["a"].link.open
