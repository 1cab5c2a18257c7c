"""What a hostile broker does: that the others take it for one of them, and that each of its lies gets to somebody."""

import random
from dataclasses import replace

from braidmq.core.links.link import LinkState
from braidmq.lab.simulation.checkers import right_answer
from braidmq.lab.simulation.faults import KINDS
from braidmq.lab.simulation.hostile_broker import MANNERS
from braidmq.lab.simulation.net import Net
from braidmq.lab.simulation.plan import plan_of
from braidmq.lab.simulation.world import World
from tests.support.nights import cases

MOMENT_S = 0.45
WHOLE_S_MAX = 8.0
HABITS = (
    "foresee",
    "overload",
    "revoke",
    "demand",
    "babble",
    "blurt",
    "mislead",
    "misdirect",
    "boast",
    "slander",
    "flap",
)


class Ear:
    """Somebody who hears what one process says."""

    def __init__(self, name):
        self.name = name
        self.frames = []

    def on_heard(self, connection, pipe, frame):
        if pipe.source == self.name:
            self.frames.append(frame)


def net_with(manner="honest", *, welcome=None, seed=1, **changes):
    """Return a net with a hostile broker that everybody is connected to, and that has done nothing yet but welcome."""
    net = Net(replace(plan_of(seed, "hostile-broker"), **changes), World(seed))
    net.hostile.manner, net.hostile.welcome, net.hostile._habits = manner, welcome or {}, [lambda route: None]
    net.start()
    net.world.run(MOMENT_S)
    return net


def call(net, **changes):
    """Let a client call over the hostile broker alone, and return what it recorded."""
    node = net.nodes["c0"]
    for link in node.core.links.links.values():
        link.state = link.state if link.name == net.hostile.name else LinkState.DRAINING
    node.call("s0", **{"timeout_s": 1.0, "attempts": 1, "size_bytes": 0, "must_succeed": False, **changes})
    net.world.run(net.world.now + 2.0)
    return net.world.record.calls[-1]


def test_everybody_is_connected_to_it_and_takes_it_for_a_broker():
    net = net_with()
    assert set(net.all_brokers) == {*net.brokers, net.hostile.name}
    assert {each.member.name for each in net.hostile.core.sessions.values()} == {*net.brokers, *net.nodes}
    for broker in net.brokers.values():
        assert broker.core.peering.membership.members[net.hostile.name].state == "alive"


@cases(
    ("manner", "end"),
    [
        ("honest", "Reply"),
        ("forge", "Reply"),
        ("deny", "AccessDenied"),
        ("busy", "Overloaded"),
        ("lose", "AttemptsExhausted"),
        ("dawdle", "DeadlineExceeded"),
        ("hush", "DeadlineExceeded"),
    ],
    one_in=3,
)
def test_it_has_a_manner_of_its_own(manner, end):
    assert manner in MANNERS
    net = net_with(manner)
    made = call(net)
    assert getattr(made.outcome, "kind", "Reply") == end
    assert right_answer.check(net.world.record) == []
    assert bool(right_answer.forged(net.world.record)) == (manner == "forge")
    assert bool(net.world.record.executions) == (manner == "honest")


def test_what_it_tells_of_itself_is_what_was_drawn():
    net = net_with(welcome={"payload_bytes_max": 7, "heartbeat_ms": 12_345})
    link = net.nodes["c0"].core.links.links[net.hostile.name]
    assert link.payload_bytes_max == 7


@cases("habit", HABITS, one_in=2)
def test_each_habit_gets_to_somebody(habit):
    net = net_with("honest")
    call(net)
    net.network.eavesdropper = ear = Ear(net.hostile.name)
    for route in list(net.hostile.core.sessions):
        getattr(net.hostile, habit)(route)
    assert ear.frames


def test_it_does_things_by_itself():
    net = Net(plan_of(1, "hostile-broker"), World(1))
    done = []
    net.hostile._habits = [done.append]
    net.start()
    net.world.run(2.0)
    assert {net.hostile.core.sessions[route].member.name for route in done} >= set(net.brokers)


def test_what_it_makes_up_runs_in_the_name_of_a_client():
    net = net_with()
    call(net)
    route = next(route for route, each in net.hostile.core.sessions.items() if each.member.name == "w0")
    net.hostile.foresee(route)
    net.world.run(net.world.now + 1.0)
    made_up = [each for each in net.world.record.executions if each.key.startswith(net.hostile.name)]
    assert {each.client for each in made_up} == {"c0"}
    assert {each.id[:8] for each in made_up} == {net.world.record.calls[0].id[:8]}


def test_nobody_judges_what_it_holds():
    net = net_with()
    call(net)
    record = net.world.record
    assert net.hostile.name not in {owner for owner, _ in record.sizes}
    assert net.hostile.name not in {each.broker for each in record.passages}
    assert record.liars == (net.hostile.name,)


def test_the_others_bury_it_when_it_is_defeated():
    net = net_with()
    net.defeat()
    assert net.buried == {net.hostile.name}
    assert not net.is_whole()
    assert net.world.run(net.world.now + WHOLE_S_MAX, net.is_whole), net.why_not_whole()
    for broker in net.brokers.values():
        assert broker.core.peering.membership.members[net.hostile.name].state == "dead"


def test_it_stays_defeated_although_another_broker_is_buried_too():
    net = net_with(calls=0)
    heal = KINDS["kill-relay"](net, random.Random(1))
    net.network.relay(net.hostile)
    net.world.run(net.world.now + 2 * net.plan.delay_s[1])
    assert not net.hostile.up, "it is to be started again"
    net.defeat()
    net.retire("b0")
    heal()
    net.world.run(net.world.now + 2.0)
    assert not net.hostile.up
    assert net.world.run(net.world.now + 2 * WHOLE_S_MAX, net.is_whole), net.why_not_whole()
    members = net.brokers["b1"].core.peering.membership.members
    assert {name for name, member in members.items() if member.state == "dead"} == {"b0", net.hostile.name}
