"""What a node waits for at its start, with brokers that a test lets come and go."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from braidmq import presence
from braidmq.core.links.link import Failure
from braidmq.errors import NoBroker, NotRegistered
from braidmq.members import Member, Role
from braidmq.wire import control
from tests.support.rigs.node_rig import NodeRig, checked_rigs

WAIT_S = 10.0


class Loop:
    """The loop of a node that hears what a script lets happen, one step for each wait; then nothing."""

    def __init__(self, rig, *steps):
        self.rig = rig
        self.core = rig.core
        self._steps = list(steps)

    def clock(self):
        return self.rig.now

    def schedule(self):
        self.rig.pump()

    async def changed(self):
        if not self._steps:
            await asyncio.Event().wait()
        self._steps.pop(0)()

    links_changed = changed

    @property
    def papers(self):
        return SimpleNamespace(member=Member("node", Role.NODE, calls=("*",)))


def loop_of(rig, *steps) -> Any:
    return Loop(rig, *steps)


@pytest.fixture
def make():
    with checked_rigs() as make:
        yield make


def away(rig):
    """Let no broker take connections, and the node find that out."""
    for broker in rig.brokers.values():
        broker.crash()
    rig.advance(0.0)


def back(rig, name):
    """What lets a broker come back."""

    def come():
        rig[name].refusal = None
        rig.advance(20.0)

    return come


class TestConnected:
    def test_one_broker_is_enough(self, make):
        rig = make("a", "b")
        away(rig)
        asyncio.run(presence.until_connected(loop_of(rig, lambda: None, back(rig, "b")), "node", WAIT_S))
        assert rig["b"].link.open
        assert not rig["a"].link.open

    def test_error_says_why_there_is_none(self, make):
        rig = make("a")
        away(rig)
        with pytest.raises(NoBroker, match=r"within 0 s: a at tcp://a:1: the connection was closed"):
            asyncio.run(presence.until_connected(loop_of(rig), "node", 0.0))

    def test_node_that_all_refuse_does_not_wait(self, make):
        rig = make("a", connect=False)
        rig["a"].refusal = Failure.NOT_REGISTERED
        rig.advance(0.0)
        with pytest.raises(NotRegistered, match="every broker refuses this node's key"):
            asyncio.run(presence.until_connected(loop_of(rig), "node", None))

    def test_node_that_no_broker_fits_does_not_wait(self, make):
        rig = make("a", connect=False)
        rig["a"].refusal = Failure.OTHER_NET
        rig.advance(0.0)
        with pytest.raises(NoBroker, match=r"no broker fits: a at tcp://a:1: .* of another net"):
            asyncio.run(presence.until_connected(loop_of(rig), "node", None))

    def test_node_that_knows_none_does_not_wait(self, make):
        with pytest.raises(NoBroker, match="the join file of node names no broker"):
            asyncio.run(presence.until_connected(loop_of(make()), "node", None))


class TestSettled:
    def test_brokers_that_have_failed_are_not_waited_for(self, make):
        rig = make("a", "b")
        rig["a"].crash()
        asyncio.run(asyncio.wait_for(presence.until_settled(loop_of(rig), 2 * WAIT_S), WAIT_S))

    def test_those_of_which_nothing_is_known_are_waited_for_in_vain(self, make):
        rig = make("a", connect=False)
        asyncio.run(presence.until_settled(loop_of(rig), 0.0))
        loop = loop_of(rig, lambda: None, lambda: rig.advance(0.0))
        asyncio.run(presence.until_settled(loop, WAIT_S))
        assert rig["a"].link.open


class TestReports:
    def asked(self, rig: NodeRig):
        """The brokers that were asked."""
        return [name for name, broker in rig.brokers.items() if broker.take(control.Status)]

    def test_who_does_not_answer_is_left_out(self, make):
        rig = make("a", "b")
        report = control.Report()
        loop = loop_of(rig, lambda: rig["b"].say(report))
        assert asyncio.run(presence.reports(loop, 0.05)) == {"b": report}
        assert self.asked(rig) == ["a", "b"]

    def test_brokers_that_are_away_are_not_asked(self, make):
        rig = make("a", "b")
        rig["a"].crash()
        report = control.Report()
        assert asyncio.run(presence.reports(loop_of(rig, lambda: rig["b"].say(report)), WAIT_S)) == {"b": report}
        assert self.asked(rig) == ["b"]


class TestServices:
    def test_those_of_all_sessions_are_available(self, make):
        rig = make("a", "b")
        rig["b"].say(control.Services(["echo", "other"]))
        assert presence.available(loop_of(rig)) == {"echo", "other"}
        rig["b"].crash()
        assert presence.available(loop_of(rig)) == {"echo"}

    def test_a_wait_ends_with_a_change_and_not_with_other_news(self, make):
        rig = make("a")
        loop = loop_of(rig, lambda: rig.advance(1.0), lambda: rig["a"].say(control.Services(["late"])))
        assert asyncio.run(presence.until_others(loop, frozenset({"echo"}), WAIT_S)) == {"late"}

    def test_all_of_some_services_are_waited_for(self, make):
        rig = make("a")
        steps = [lambda names=names: rig["a"].say(control.Services(names)) for names in (["late"], ["echo", "late"])]
        loop = loop_of(rig, *steps)
        asyncio.run(presence.until_available(loop, ["echo", "late"], WAIT_S))
        assert rig["a"].link.services == {b"echo", b"late"}

    def test_where_no_broker_ever_lets_it_in_nobody_waits(self, make):
        rig = make("a")
        rig["a"].refusal = Failure.NOT_REGISTERED
        rig["a"].die()
        rig.advance(0.5)
        with pytest.raises(NotRegistered):
            asyncio.run(presence.until_available(loop_of(rig), ["echo"], WAIT_S))
