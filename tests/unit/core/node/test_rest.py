"""A node with nothing under way looks only when there is something to see, and misses nothing by it."""

from typing import Any

import pytest

from braidmq.core.links.link import LinkState
from braidmq.core.links.links import TICK_S
from braidmq.core.liveness import REST_S, STALL_S
from braidmq.settings import Settings
from braidmq.wire import control
from tests.support.rigs.node_rig import address


def looks_within(rig: Any, seconds: float) -> int:
    """Return how often time passes for a node within so many seconds."""
    count, until = 0, rig.now + seconds
    while (due := rig.core.next_deadline()) <= until:
        rig.advance(max(0.0, due - rig.now))
        count += 1
    rig.advance(until - rig.now)
    return count


def at_rest(make: Any, **more: Any) -> Any:
    rig = make("a", "b", **more)
    rig.advance(1.0)
    assert rig.core.resting
    return rig


def test_looks_are_rare_while_nothing_is_under_way(make: Any) -> None:
    assert looks_within(at_rest(make), 10.0) <= 10.0 * 6


def test_looks_are_as_frequent_as_ever_while_a_call_is_under_way(make: Any) -> None:
    rig = at_rest(make)
    rig.advance(0.1)
    rig.call(timeout_s=20.0)
    assert rig.core.next_deadline() <= rig.now + TICK_S
    assert looks_within(rig, 0.8) >= 0.8 / TICK_S - 1


def test_looks_are_as_frequent_as_ever_while_a_job_is_under_way(make: Any) -> None:
    rig = at_rest(make, serves={"echo": 1})
    rig.advance(0.1)
    rig["a"].ask()
    assert len(rig.jobs) == 1
    assert looks_within(rig, 1.0) >= 1.0 / TICK_S - 1
    rig.finish(rig.jobs[0])
    rig.advance(0.5)
    assert rig.core.resting


def test_heartbeats_are_as_frequent_as_without_rest(make: Any) -> None:
    rig = at_rest(make)
    rig["a"].take(control.Heartbeat)
    rig.advance(10.0)
    assert 9 <= len(rig["a"].take(control.Heartbeat)) <= 10


def test_a_word_that_was_said_puts_the_heartbeat_off_from_then_on(make: Any) -> None:
    rig = at_rest(make)
    rig["a"].take(control.Heartbeat)
    rig.core.observe(rig.now)
    rig.pump()
    said_at = rig.now
    rig.advance(0.5)
    assert said_at < rig["a"].link.heartbeat_at <= said_at + TICK_S + rig.settings.heartbeat_s


def test_silence_is_noticed_as_soon_as_without_rest(make: Any) -> None:
    rig = at_rest(make)
    link = rig["a"].link
    rig["a"].beats = False
    rig.advance(link.heard_at + rig.settings.suspect_after_s - rig.now)
    assert link.state is LinkState.UP
    rig.advance(2 * TICK_S)
    assert link.state is LinkState.SUSPECT
    rig.advance(link.heard_at + rig.settings.dead_after_s - rig.now + 2 * TICK_S)
    assert link.state is not LinkState.SUSPECT


def test_a_broker_that_has_gone_is_tried_again_when_its_pause_is_over(make: Any) -> None:
    rig = at_rest(make)
    rig["a"].die()
    wake_at = rig["a"].link.wake_at
    rig.advance(wake_at - rig.now + 2 * TICK_S)
    assert rig["a"].opened_at[-1] <= wake_at + 2 * TICK_S


def test_a_new_broker_is_connected_to_at_once(make: Any) -> None:
    rig = at_rest(make)
    rig.add(address("c"))
    rig.pump()
    rig.advance(TICK_S)
    assert rig["c"].opened


def test_no_rest_is_so_long_that_a_standstill_within_it_is_taken_for_silence(make: Any) -> None:
    settings = Settings(heartbeat_s=0.2, suspect_after_s=0.3, dead_after_s=1.0)
    rig = make("a", settings=settings)
    rig.advance(1.0)
    assert rig.core.next_deadline() - rig.now <= (0.3 - 0.2) / 2 + TICK_S


def test_a_standstill_that_outlasts_a_rest_is_none_of_the_brokers_silence(make: Any) -> None:
    rig = at_rest(make)
    heard_at = rig["a"].link.heard_at
    rig.now += 5.0
    rig.core.on_timer(rig.now)
    assert rig.core.stalled_s >= 5.0 - REST_S - TICK_S - STALL_S
    assert rig["a"].link.heard_at == pytest.approx(heard_at + rig.core.stalled_s)
    assert rig["a"].link.state is LinkState.UP
