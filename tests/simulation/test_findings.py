"""What the brokers of simulated nets report is diagnosed: each fault is named in time, and calm nets have none."""

import random

import pytest

from braidmq.core.broker.lag import RECENT_S, STALL_S
from braidmq.core.links.link import Failure
from braidmq.lab.simulation.faults import KINDS
from braidmq.lab.simulation.net import Net
from braidmq.lab.simulation.plan import plan_of
from braidmq.lab.simulation.run import RESUME_S, WHOLE_S_MAX
from braidmq.lab.simulation.world import World
from braidmq.monitor.about_brokers import STALLS_MIN
from braidmq.monitor.diagnoses import diagnose
from braidmq.monitor.finding import Kind
from braidmq.monitor.net import View, complete
from braidmq.node import BrokerInfo
from tests.support.examples import TIMES

NAMED_S_MAX = 5.0
LOOK_S = 0.5
CALM_S = 20.0


class Watched:
    """A simulated net that somebody observes who is connected to all its brokers."""

    def __init__(self, seed, scenario="calm"):
        self.world = World(seed)
        self.net = Net(plan_of(seed, scenario), self.world)
        self.net.start()
        assert self.world.run(WHOLE_S_MAX, self.net.is_whole), self.net.why_not_whole()

    def views(self):
        return complete([self._view(broker) for broker in self.net.brokers.values()])

    def findings(self):
        return diagnose(self.views())

    def pass_time(self, seconds):
        self.world.run(self.world.now + seconds)

    def _view(self, broker):
        up = broker.up and not broker.paused
        problem = None if up else Failure.MUTE.value if broker.up else Failure.UNREACHABLE.value
        info = BrokerInfo(broker.name, (f"tcp://{broker.name}:1",), "up" if up else "waiting", problem)
        return View(info, broker.core.report(broker.clock) if up else None)


def seeds_with(brokers, count=3):
    """Seeds whose calm nets have so many brokers at least, workers that know them all, and no long delays."""
    found = []
    for seed in range(200):
        plan = plan_of(seed, "calm")
        enough = len(plan.brokers) >= brokers and plan.settings.brokers_connected_max >= len(plan.brokers)
        if enough and not plan.has_enemies and plan.delay_s[1] < 0.01:
            found.append(seed)
    return found[:count]


@pytest.mark.parametrize("seed", range(2 * TIMES))
def test_a_calm_net_has_no_finding(seed):
    watched = Watched(seed)
    watched.pass_time(RESUME_S)
    plan, rng = watched.net.plan, random.Random(seed)
    for _ in range(int(CALM_S / LOOK_S)):
        client = watched.net.nodes[rng.choice(plan.clients)]
        client.call(plan.services[0], timeout_s=2.0, attempts=3, size_bytes=0, must_succeed=False)
        watched.pass_time(LOOK_S)
        assert [each.sentence for each in watched.findings() if each.kind is not Kind.BROKER_NEW] == []


@pytest.mark.parametrize("seed", seeds_with(2))
@pytest.mark.parametrize(
    ("fault", "kinds"),
    [
        ("kill-broker", {Kind.BROKER_DEAD}),
        ("vanish-broker", {Kind.BROKER_DEAD}),
        ("pause-broker", {Kind.BROKER_HANGS}),
        ("stop-broker", {Kind.BROKER_STOPPED, Kind.BROKER_DRAINS}),
        ("pause-node", {Kind.WORKER_HANGS, Kind.NODE_SILENT}),
    ],
)
def test_a_fault_of_a_process_is_named_with_its_name_and_goes_when_it_heals(fault, kinds, seed):
    watched = Watched(seed)
    heal = KINDS[fault](watched.net, random.Random(seed))
    hurt = watched.world.record.outages[-1].process
    assert named(watched, kinds, hurt), watched.findings()
    heal()
    assert healed(watched), watched.findings()


@pytest.mark.parametrize("seed", seeds_with(2))
def test_all_brokers_that_are_dead_are_one_finding_which_names_them_all(seed):
    watched = Watched(seed)
    brokers = list(watched.net.brokers.values())
    for broker in brokers:
        broker.kill()
    (found,) = watched.findings()
    assert (found.kind, found.who) == (Kind.NO_BROKER, tuple(sorted(watched.net.brokers)))
    assert found.what.endswith(" are dead")
    for broker in brokers:
        broker.start()
    assert healed(watched), watched.findings()


@pytest.mark.parametrize("seed", seeds_with(2))
@pytest.mark.parametrize("fault", ["kill", "vanish"])
def test_a_worker_that_is_gone_is_named(fault, seed):
    watched = Watched(seed)
    worker = watched.net.nodes["w0"]
    if fault == "vanish":
        for connection in list(watched.net.network.connections):
            if worker in (connection.dealers.process, connection.router.process):
                watched.net.network.reset(connection, silent=True)
    worker.kill()
    kind = Kind.WORKER_DEAD if fault == "kill" else Kind.WORKER_HANGS
    assert named(watched, {kind}, "w0"), watched.findings()
    worker.start()
    assert healed(watched), watched.findings()


def test_a_bridge_that_is_gone_is_named_with_what_it_has_left_behind():
    watched = Watched(4, "bridge")
    watched.pass_time(LOOK_S)
    bridge = watched.net.bridge
    bridge.kill()
    assert named(watched, {Kind.BRIDGE_GONE}, bridge.name), watched.findings()
    (found,) = [each for each in watched.findings() if each.kind is Kind.BRIDGE_GONE]
    programs = len(bridge.street.programs)
    assert f"{programs} foreign programs were connected to it" in found.why
    assert found.why.endswith("nobody else serves f0")
    bridge.start()
    assert healed(watched), watched.findings()


@pytest.mark.parametrize("seed", seeds_with(3))
@pytest.mark.parametrize("both", [True, False])
def test_a_broker_that_is_cut_off_from_the_others_is_named(both, seed):
    watched = Watched(seed)
    others = [name for name in watched.net.brokers if name != "b0"]
    pairs = [("b0", other) for other in others]
    pairs += [(there, here) for here, there in pairs] if both else []
    for pair in pairs:
        watched.net.network.conditions(*pair).cut += 1
    assert named(watched, {Kind.BROKERS_APART}, "b0"), watched.findings()
    for pair in pairs:
        watched.net.network.conditions(*pair).cut -= 1
    watched.net.network.clear_up()
    assert healed(watched), watched.findings()


@pytest.mark.parametrize("seed", seeds_with(2))
def test_late_packets_are_named(seed):
    watched = Watched(seed)
    for pair in watched.net.pairs():
        watched.net.network.conditions(*pair).extra_s = 0.1
    assert named(watched, {Kind.SLOW}, None), watched.findings()


@pytest.mark.parametrize("seed", seeds_with(2))
def test_a_broker_that_stands_still_again_and_again_is_named_until_it_does_no_more(seed):
    watched = Watched(seed)
    for count in range(1, STALLS_MIN + 1):
        assert not any(each.kind is Kind.SLOW for each in watched.findings()), count
        watched.net.brokers["b0"].spend(STALL_S + 0.1)
        watched.pass_time(LOOK_S)
    assert [each.who for each in watched.findings() if each.kind is Kind.SLOW] == [("b0",)]
    watched.pass_time(RECENT_S)
    assert not any(each.kind is Kind.SLOW for each in watched.findings()), watched.findings()


def named(watched, kinds, who):
    """Whether it is named within the time."""
    for _ in range(int(NAMED_S_MAX / LOOK_S)):
        watched.pass_time(LOOK_S)
        if any(each.kind in kinds and (who is None or who in each.who) for each in watched.findings()):
            return True
    return False


def healed(watched):
    """Whether all is well again some time after the net is whole."""
    assert watched.world.run(watched.world.now + WHOLE_S_MAX, watched.net.is_whole), watched.net.why_not_whole()
    watched.pass_time(RESUME_S)
    return not any(each.wrong for each in watched.findings())
