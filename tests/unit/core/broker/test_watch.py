"""Heartbeats of a broker with very many members become rarer for all of them, and each is looked at in its turn."""

import pytest

from braidmq.core.broker import session_life, watch
from braidmq.wire.control import Heartbeat, Hello, Welcome
from tests.support.rigs.broker_rig import Rig


@pytest.fixture
def small(patch_cores):
    """Let four nodes be as many as thousands."""
    patch_cores.setattr(session_life, "NODES_PER_HEARTBEAT_S", 4)
    patch_cores.setattr(watch, "LOOKS_PER_TICK", 4)


def crowd(rig, count, *, paced):
    members = []
    for number in range(count):
        name = f"n{number}"
        rig.register(name)
        member = rig.stranger(name)
        member.control(Hello(paced=paced))
        members.append(member)
    return members


def test_who_came_early_is_told_of_the_longer_interval(small):
    rig = Rig()
    first = crowd(rig, 1, paced=True)[0]
    assert [each.heartbeat_ms for each in first.of(Welcome)] == [1000]
    crowd_of_16 = [rig.client(f"m{number}") for number in range(16)]
    rig.advance(0.6, heartbeats=True)
    assert [each.heartbeat_ms for each in first.of(Welcome)] == [4250]
    assert crowd_of_16
    first.take()
    rig.advance(1.5, heartbeats=True)
    assert not first.of(Heartbeat)


def test_who_does_not_understand_that_keeps_its_interval(small):
    rig = Rig()
    first = crowd(rig, 1, paced=False)[0]
    first.take()
    for number in range(16):
        rig.client(f"m{number}")
    rig.advance(3.0, heartbeats=True)
    heard = first.take()
    assert not [each for each in heard if isinstance(each, Welcome)]
    assert len([each for each in heard if isinstance(each, Heartbeat)]) in (2, 3)


def test_all_of_a_crowd_are_looked_at_in_turn_and_the_silent_ones_are_given_up(small):
    rig = Rig()
    members = crowd(rig, 12, paced=False)
    assert len(rig.core.sessions) == 12
    rig.advance(12.0)
    assert not rig.core.sessions
    assert rig.counters["sessions_dead"] == 12
    assert members
