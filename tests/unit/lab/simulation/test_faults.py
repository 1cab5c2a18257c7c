"""Each kind of fault, by itself, on a real net that does nothing else."""

import random
from dataclasses import replace

import pytest

from braidmq.lab.simulation.faults import KINDS
from braidmq.lab.simulation.foreign.faults import KINDS as FOREIGN_KINDS
from braidmq.lab.simulation.net import Net
from braidmq.lab.simulation.plan import SCENARIOS, plan_of
from braidmq.lab.simulation.registry import principal_of
from braidmq.lab.simulation.world import World
from tests.support.nights import cases

WHOLE_S_MAX = 30.0
SEED = 3
ALL = "everybody"

BEFALLS = {
    "kill-broker": ("kill", "b"),
    "vanish-broker": ("vanish", "b"),
    "stop-broker": ("stop", "b"),
    "pause-broker": ("pause", "b"),
    "kill-node": ("kill", "cnw"),
    "stop-node": ("stop", "cnw"),
    "pause-node": ("pause", "cnw"),
    "roll-broker": ("stop", "b"),
    "roll-node": ("stop", "cnw"),
    "vanish-node": ("vanish", "cnw"),
    "pause-on-delivery": ("pause", "nw"),
    "stall-caller": ("pause", "cn"),
    "kill-relay": ("kill", "b"),
    "cut": ("cut", "bcnw"),
    "cut-one-way": ("cut", "bcnw"),
    "loss": ("loss", ALL),
    "delay": ("delay", ALL),
    "reset": ("reset", ALL),
    "silence": ("silence", ALL),
    "half-open": ("half-open", ALL),
    "revoke-node": ("revoke", "cnw"),
    "revoke-broker": ("revoke", "b"),
    "narrow-rights": ("narrow", "cnw"),
    "old-start": ("kill", "b"),
    "lost-state": ("kill", "b"),
    **dict.fromkeys(("publish", "revoke-enemy", "old-file"), ("", "")),
}
"""What is noted of each kind, if anything, and whom it may befall, by the first letter of a name."""

BY_THEMSELVES = {
    "reset", "silence", "half-open", "roll-broker", "roll-node", "publish", "revoke-enemy", "old-file",
}  # fmt: skip
"""What ends by itself."""


AT_A_CALL = {"pause-on-delivery", "stall-caller", "kill-relay"}
"""What waits for the next call, and ends by itself."""


def begun(seed=SEED):
    one = dict.fromkeys(("s0",), 2)
    nodes = {"w0": one, "w1": one, "c0": {}, "n0": one}
    plan = replace(
        plan_of(seed), brokers=("b0", "b1", "b2"), nodes=nodes, clients=("c0", "n0"), services=("s0",), known=2
    )
    net = Net(plan, World(seed, keep_trace=True))
    net.start()
    until_whole(net)
    return net


def until_whole(net):
    assert net.world.run(net.world.now + WHOLE_S_MAX, net.is_whole), net.why_not_whole()


def pass_time(net, seconds):
    net.world.run(net.world.now + seconds)


def calls_succeed(net):
    before = len(net.world.record.calls)
    for client in net.plan.clients:
        net.nodes[client].call(net.plan.services[0], timeout_s=5.0, attempts=3, size_bytes=0, must_succeed=True)
        pass_time(net, 0.1)
        assert net.world.run(net.world.now + 6.0, net.is_quiet)
    calls = net.world.record.calls[before:]
    return [call.outcome.key for call in calls] == [call.key for call in calls]


def begin(net, kind, seed=1):
    return KINDS[kind](net, random.Random(seed))


def test_the_table_has_every_kind():
    drawn = {kind for kinds in SCENARIOS.values() for kind in kinds}
    assert set(BEFALLS) == set(KINDS) == drawn - FOREIGN_KINDS.keys()


@cases("kind", KINDS, one_in=4)
@pytest.mark.parametrize("times", [1, pytest.param(2, marks=pytest.mark.nightly)])
def test_every_fault_begins_and_heals_and_leaves_a_net_that_becomes_whole(kind, times):
    net = begun()
    record = net.world.record
    rng = random.Random(1)
    for _ in range(times):
        outages = len(record.outages)
        net.world.trace.lines.clear()
        heal = KINDS[kind](net, rng)
        assert (heal is None) == (kind in BY_THEMSELVES)
        if kind in AT_A_CALL:
            assert calls_succeed(net)
        assert any(line.fault for line in net.world.trace.lines)
        new = record.outages[outages:]
        assert {each.kind for each in new} == {BEFALLS[kind][0]} - {""}
        befalls = BEFALLS[kind][1]
        if befalls is ALL:
            assert {each.process for each in new} == {*net.brokers, *net.nodes}
        else:
            assert {each.process[0] for each in new} <= set(befalls)
        pass_time(net, 1.0)
        if heal is not None:
            assert kind in AT_A_CALL or {each.end for each in new} == {float("inf")}
            heal()
        until_whole(net)
        pass_time(net, 3.0)
        assert net.is_whole()
        assert all(each.end <= net.world.now for each in record.outages)
    assert calls_succeed(net)


@cases("kind", sorted(set(KINDS) - BY_THEMSELVES), one_in=5)
@pytest.mark.parametrize("order", [1, pytest.param(-1, marks=pytest.mark.nightly)])
def test_two_faults_of_a_kind_at_once_heal_in_any_order(kind, order):
    net = begun()
    rng = random.Random(2)
    heals = [heal for heal in (KINDS[kind](net, rng), KINDS[kind](net, rng)) if heal is not None]
    assert heals
    pass_time(net, 0.5)
    for heal in heals[::order]:
        heal()
        pass_time(net, 0.1)
    until_whole(net)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.nightly
def test_a_fault_of_a_net_in_which_nobody_runs_harms_nobody(kind):
    net = begun()
    for process in (*net.brokers.values(), *net.nodes.values()):
        process.kill()
    pass_time(net, 5.0)
    heal = begin(net, kind)
    net.start()
    if heal is not None:
        heal()
    until_whole(net)


@cases("kind", ["kill-broker", "vanish-broker", "stop-broker", "kill-node", "stop-node"], one_in=3)
def test_who_ends_is_there_again_in_a_new_life(kind):
    net = begun()
    heal = begin(net, kind)
    pass_time(net, 6.0)
    (process,) = [each for each in (*net.brokers.values(), *net.nodes.values()) if not each.up]
    heal()
    assert (process.up, process.life) == (True, 2)


@pytest.mark.parametrize("kind", ["pause-broker", "pause-node"])
def test_who_is_stopped_goes_on_in_the_same_life(kind):
    net = begun()
    heal = begin(net, kind)
    (process,) = [each for each in (*net.brokers.values(), *net.nodes.values()) if each.paused]
    heal()
    assert (process.up, process.paused, process.life) == (True, False, 1)


@cases("kind", ["pause-broker", "pause-node"], one_in=2)
def test_the_end_of_a_pause_does_not_wake_another_life(kind):
    net = begun()
    heal = begin(net, kind)
    (process,) = [each for each in (*net.brokers.values(), *net.nodes.values()) if each.paused]
    process.kill()
    process.start()
    process.pause()
    heal()
    assert process.paused


def test_others_notice_at_once_that_a_broker_was_killed_and_not_that_it_vanished():
    for kind, at_once in (("kill-broker", True), ("vanish-broker", False)):
        net = begun()
        begin(net, kind)
        gone = next(name for name, broker in net.brokers.items() if not broker.up)
        linked = [node for node in net.nodes.values() if gone in node.core.links.links]
        up_before = sum(node.core.links.links[gone].state.name == "UP" for node in linked)
        pass_time(net, 0.15)
        up = sum(node.core.links.links[gone].state.name == "UP" for node in linked)
        assert up_before
        assert (up == 0) is at_once


@cases(("kind", "ways"), [("cut", 2), ("cut-one-way", 1)], one_in=2)
def test_a_cut_parts_some_from_the_others_and_nobody_else(kind, ways):
    for seed in range(10):
        net = begun()
        heal = begin(net, kind, seed)
        some = {outage.process for outage in net.world.record.outages}
        names = {*net.brokers, *net.nodes}
        assert 1 <= len(some) <= len(names) // 2
        cut = {pair for pair in net.pairs() if net.network.conditions(*pair).cut}
        assert {pair for pair in cut if pair[0] in some} == {(a, b) for a in some for b in names - some}
        assert len(cut) == ways * len(some) * len(names - some)
        heal()
        assert not any(net.network.conditions(*pair).cut for pair in net.pairs())


def test_what_a_cut_has_held_goes_on_when_it_heals():
    net = begun()
    heal = begin(net, "cut")
    pass_time(net, 0.3)
    pipes = [pipe for each in net.network.connections for pipe in (each.outward, each.inward)]
    assert any(pipe.held for pipe in pipes)
    heal()
    assert not any(pipe.held for pipe in pipes)


@cases(("kind", "attribute"), [("loss", "loss"), ("delay", "extra_s")], one_in=2)
def test_bad_weather_ends(kind, attribute):
    net = begun()
    heal = begin(net, kind)
    values = {getattr(net.network.conditions(*pair), attribute) for pair in net.pairs()}
    assert max(values) > 0.0
    heal()
    assert {getattr(net.network.conditions(*pair), attribute) for pair in net.pairs()} == {0.0}
    outage = net.world.record.outages[0]
    assert outage.end == float("inf"), "what was late is still on its way"
    pass_time(net, 4.0)
    assert outage.end <= net.world.now


@pytest.mark.parametrize(("kind", "silent"), [("reset", False), ("silence", True)])
def test_some_connections_break_and_come_back(kind, silent):
    net = begun()
    before = set(net.network.connections)
    begin(net, kind)
    ended = {each for each in before if each.stage.name == "ENDED"}
    assert 0 < len(ended) < len(before)
    pass_time(net, 0.2)
    assert (not ended & set(net.network.connections)) is not silent
    until_whole(net)
    assert not ended & set(net.network.connections)


def test_a_revoked_node_is_off_every_registry_until_it_is_put_back():
    net = begun()
    heal = begin(net, "revoke-node")
    (name,) = [each for each in net.nodes if not net.is_registered(each)]
    pass_time(net, 2.0)
    key = principal_of(name)
    assert [broker.ledger.member(key) for broker in net.brokers.values()] == [None] * 3
    assert all(session.member.name != name for each in net.brokers.values() for session in each.core.sessions.values())
    heal()
    pass_time(net, 2.0)
    assert all(broker.ledger.member(key) is not None for broker in net.brokers.values())


def test_who_is_revoked_is_not_revoked_twice():
    net = begun()
    while all(map(net.is_registered, net.nodes)):
        begin(net, "revoke-node")
    for seed in range(50):
        begin(net, "revoke-node", seed)
    assert begin(net, "revoke-node") is None


@pytest.mark.parametrize(("hostile", "kind"), [("worker", "pause-on-delivery"), ("client", "stall-caller")])
@pytest.mark.nightly
def test_who_is_hostile_is_let_pass(hostile, kind):
    """What it does is judged by nobody, and stopping it would keep the fault from the others."""
    net = Net(plan_of(SEED, f"hostile-{hostile}"), World(SEED))
    net.start()
    begin(net, kind)
    spring = net.network.pause_on_delivery or net.network.trap
    assert net.hostile is not None
    for enemy in (net.hostile, net.intruder):
        spring(enemy)
    net.world.run(1.0)
    assert not net.hostile.paused
    assert net.world.record.outages == []
    assert spring in (net.network.pause_on_delivery, net.network.trap), "it is there for the next one"
    spring(net.nodes["w0"])
    net.world.run(1.1)
    assert net.nodes["w0"].paused
