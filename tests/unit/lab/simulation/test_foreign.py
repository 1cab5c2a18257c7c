"""Foreign programs before a simulated bridge: the way between them, their faults, and what comes up in their runs."""

import random

import pytest

from braidmq.lab.simulation.foreign.faults import KINDS
from braidmq.lab.simulation.foreign.line import Line
from braidmq.lab.simulation.net import Net
from braidmq.lab.simulation.plan import plan_of
from braidmq.lab.simulation.run import run
from braidmq.lab.simulation.world import World

WHOLE_S_MAX = 30.0


class Door:
    """Takes connections, and notes what comes."""

    def __init__(self):
        self.opens = True
        self.come = []

    def on_come(self, peer, frames):
        self.come.append((peer, frames))

    def on_end(self, peer):
        self.come.append((peer, None))

    def on_arrival(self):
        """See Listener: nothing waits for that here."""


@pytest.fixture
def world():
    return World(1)


@pytest.fixture
def door():
    return Door()


def line_to(world, door, unread_max=10):
    return Line(world, door, door, "p", rng=random.Random(1), unread_max=unread_max)


def test_what_is_said_before_there_is_a_connection_comes_behind_it_in_order(world, door):
    door.opens = False
    line = line_to(world, door)
    for number in range(3):
        line.say(b"%d" % number)
    world.run(1.0)
    assert door.come == []
    door.opens = True
    world.run(2.0)
    assert [frames for _, frames in door.come] == [[b"0"], [b"1"], [b"2"]]


def test_the_end_of_a_connection_comes_behind_what_was_said_and_another_one_follows(world, door):
    line = line_to(world, door)
    world.run(1.0)
    line.say(b"a")
    world.run(2.0)
    line.break_off()
    world.run(3.0)
    line.say(b"b")
    world.run(4.0)
    (first, said), (ended, end), (second, more) = door.come
    assert (said, end, more) == ([b"a"], None, [b"b"])
    assert first is ended is not second
    assert not line.tell(first, [b"late"])
    assert line.tell(second, [b"now"])


def test_what_a_program_does_not_read_is_refused_beyond_its_mark(world, door):
    line = line_to(world, door, unread_max=2)
    line.say(b"a")
    world.run(1.0)
    ((peer, _),) = door.come
    for number in range(3):
        assert line.tell(peer, [b"%d" % number]) == (number < 2)
        world.run(2.0 + number)
    assert list(line.arrived) == [[b"0"], [b"1"]]


def test_nothing_comes_to_a_bridge_that_has_ended(world, door):
    line = line_to(world, door)
    world.run(1.0)
    line.say(b"a")
    line.on_bridge_end()
    door.opens = False
    world.run(2.0)
    assert door.come == []
    assert not line.connected


def begun():
    world = World(4)
    net = Net(plan_of(4, "bridge"), world)
    net.start()
    assert world.run(WHOLE_S_MAX, net.is_whole)
    return net


@pytest.mark.parametrize("kind", KINDS)
def test_every_fault_befalls_a_bridge_or_a_program_and_leaves_a_net_that_becomes_whole(kind):
    net = begun()
    for number in range(3):
        heal = KINDS[kind](net, random.Random(number))
        net.world.run(net.world.now + 0.3)
        if heal is not None:
            heal()
        assert net.world.run(net.world.now + WHOLE_S_MAX, net.is_whole), net.why_not_whole()
    record = net.world.record
    assert record.outages or record.foreign_outages
    assert all(each.process == record.bridge for each in record.outages)
    assert all(each.end < float("inf") for each in (*record.outages, *record.foreign_outages))


@pytest.mark.nightly  # the checkers find something in such runs: tests/simulation/test_bridge_mutations.py
def test_runs_meet_what_they_are_about():
    """A simulator that nothing happens in finds nothing: over some seeds there is some of everything."""
    ends, faults, flagged, twice = set(), set(), 0, 0
    for seed in range(40):
        record = run(seed, "bridge").record
        faults |= {each.kind for each in record.foreign_outages}
        faults |= {f"{each.kind} of the bridge" for each in record.outages if each.process == record.bridge}
        ends |= {kind for call in record.foreign_calls for _, kind in call.answers}
        flagged += sum(each.repeats for each in record.calls)
        keys = [each.key.partition("#")[0] for each in record.foreign_runs]
        twice += len(keys) - len(set(keys))
    assert ends >= {"reply", "NO_WORKER", "DEADLINE"}
    assert faults >= {"kill", "pause", "reset", "kill of the bridge", "stop of the bridge", "pause of the bridge"}
    assert flagged
    assert twice
