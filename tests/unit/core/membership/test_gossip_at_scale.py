"""Nets of 2 to 1,000 brokers in virtual time. Figures: `python -m tests.support.rigs.gossip_rig`."""

import math
import random

import pytest

from braidmq.core.membership.probing import HEALTH_MAX
from braidmq.settings import Settings
from tests.support.examples import TIMES
from tests.support.rigs.gossip_rig import Figures, GossipNet, lists, measure, table, wan_delay

DEFAULTS = Settings()
TRAVEL_S = 0.05
"""More than messages travel in all, in nets whose single messages take some ms."""

UNDER_WAY_S = (HEALTH_MAX + 1) * DEFAULTS.probe_s
"""After this, no probe is under way that began before the net was healed, nor any news of that time."""


def joined_after(brokers: int, seed: int) -> float:
    """Let the last of `brokers` join through one; return the seconds until all the others list it and it lists all."""
    net = GossipNet(brokers - 1, seed=seed)
    net.meet()
    net.run(10.0 * net.rng.random())
    net.join("new", via="b0")
    took = net.run_until(
        lambda core: len(core.members) == brokers - 1 and all(each.state == "alive" for each in core.members.values()),
        60.0,
    )
    net.validate()
    return took


class TestJoin:
    @pytest.mark.parametrize("brokers", [2, 3, 5])
    def test_small_net_agrees_within_three_rounds(self, brokers: int) -> None:
        for seed in range(50):
            assert joined_after(brokers, seed) <= 3 * DEFAULTS.gossip_s + TRAVEL_S, seed

    @pytest.mark.parametrize("brokers", range(6, 17))
    def test_net_of_sixteen_agrees_within_log_rounds(self, brokers: int) -> None:
        rounds = math.ceil(math.log2(brokers)) + 2
        for seed in range(10):
            assert joined_after(brokers, seed) <= rounds * DEFAULTS.gossip_s + TRAVEL_S, seed

    def test_five_strangers_agree_within_three_probe_intervals_of_each_join(self) -> None:
        net = GossipNet(["b0"])
        for number in range(1, 5):
            net.join(f"b{number}", via=f"b{number - 1}")
            net.run_until(lambda core, known=number: len(core.members) == known, 3 * DEFAULTS.probe_s)
        net.validate()

    def test_join_reaches_everyone_despite_loss(self) -> None:
        net = GossipNet(30, seed=3, loss=0.2)
        net.meet()
        net.join("new", via="b0")
        net.run_until(lists("new", "alive", "suspect"), 2 * DEFAULTS.sync_s)
        net.validate()


class TestDeath:
    def test_killed_broker_of_three_is_dead_within_six_seconds(self) -> None:
        for seed in range(50):
            net = GossipNet(3, seed=seed)
            net.meet()
            net.run(20.0 * net.rng.random())
            net.crash("b1", noticed=True)
            net.run_until(lists("b1", "dead"), 6.0)
            net.validate()

    @pytest.mark.parametrize("brokers", [2, 3, 4])
    def test_hung_broker_of_a_small_net_is_dead_within_two_rounds_of_probes_and_its_time_to_refute(
        self, brokers: int
    ) -> None:
        wait_s = (2 * (brokers - 1) - 1) * DEFAULTS.probe_s
        bound_s = wait_s + DEFAULTS.probe_s + DEFAULTS.suspicion_s + 2 * DEFAULTS.gossip_s + TRAVEL_S
        for seed in range(50):
            net = GossipNet(brokers, seed=seed)
            net.meet()
            net.run(20.0 * net.rng.random())
            net.crash("b1", noticed=False)
            # Of two, one has nobody to ask whether it is itself what is slow: its second probe waits twice as long.
            net.run_until(lists("b1", "dead"), bound_s)
            net.validate()

    def test_paused_broker_is_back_after_its_pause_and_accuses_nobody(self) -> None:
        net = GossipNet(5)
        net.meet()
        net.run(5.0)
        net.pause("b1")
        net.run(30.0)
        assert all(lists("b1", "dead")(broker.core) for broker in net.up if broker.name != "b1")
        deaths = net.deaths
        net.resume("b1")
        net.connect("b0", "b1")
        net.run_until(lists("b1", "alive"), 3 * DEFAULTS.gossip_s)
        net.run(30.0)
        assert net.deaths == deaths, "it takes nobody for dead"
        assert not net["b1"].counters["deaths"]
        net.validate()


class TestPartition:
    @pytest.mark.parametrize("parted_s", [3.0, 30.0, pytest.param(300.0, marks=pytest.mark.nightly)])
    def test_healed_net_agrees_within_three_rounds(self, parted_s: float) -> None:
        for seed in range(10):
            net = GossipNet(5, seed=seed)
            net.meet()
            minority = ["b0", "b1"]
            majority = ["b2", "b3", "b4"]
            net.cut(minority, majority)
            for name in minority:
                for other in majority:
                    net.disconnect(name, other)
                    net.disconnect(other, name)
            net.run(parted_s)
            if parted_s > 5.0:
                assert all(each.state == "dead" for name, each in net["b0"].members.items() if name != "b1")
            net.heal()
            net.run_until(
                lambda core: len(core.members) == 4 and all(each.state == "alive" for each in core.members.values()),
                3 * DEFAULTS.gossip_s + TRAVEL_S,
            )
            net.run(30.0)
            assert all(each.state == "alive" for broker in net.up for each in broker.core.members.values())

    def test_broker_that_hears_but_is_not_heard_dies_and_comes_back(self) -> None:
        net = GossipNet(4)
        net.meet()
        others = ["b1", "b2", "b3"]
        net.cut(["b0"], others, both=False)
        net.run_until(lambda core: core.name == "b0" or lists("b0", "dead")(core), 20.0)
        net.heal()
        net.run_until(lists("b0", "alive"), 3 * DEFAULTS.gossip_s + TRAVEL_S)
        net.validate()

    def test_one_cut_connection_among_many_kills_nobody(self) -> None:
        net = GossipNet(6)
        net.meet()
        net.cut(["b0"], ["b1"])
        for _ in range(20):
            net.disconnect("b0", "b1")
            net.disconnect("b1", "b0")
            net.run(10.0)
        assert not net.deaths
        assert not any(broker.core.counters["refutations"] for broker in net.up), "nobody was even suspect"


class TestFaults:
    @pytest.mark.parametrize("seed", range(6 * TIMES))
    def test_net_agrees_after_any_faults(self, seed: int) -> None:
        """A minute of crashes, hangs, restarts, pauses, cuts and loss; then all heals, and all must be listed alive."""
        choose = random.Random(seed)
        net = GossipNet(choose.randint(2, 9), seed=seed, loss=choose.choice([0.0, 0.0, 0.05, 0.3]))
        net.meet()
        names = list(net.brokers)
        for _ in range(choose.randint(5, 30)):
            name, other = choose.sample(names, 2)
            up = [broker.name for broker in net.up if broker.name != name]
            fault = choose.choice(["crash", "hang", "restart", "pause", "resume", "cut", "cut", "lose", "heal"])
            if fault in ("crash", "hang"):
                net.crash(name, noticed=fault == "crash")
            elif fault == "restart":
                net.crash(name, noticed=choose.random() < 0.5)
                net.restart(name, *up[:1])
            elif fault == "pause" and net.brokers[name].up:
                net.pause(name)
            elif fault == "resume":
                net.resume(name)
            elif fault == "cut":
                net.cut([name], choose.sample(names, choose.randint(1, len(names))), both=choose.random() < 0.5)
            elif fault == "lose":
                net.disconnect(name, other)
            elif fault == "heal":
                net.heal()
            net.run(choose.choice([0.01, 0.3, 1.0, 5.0, 70.0]))
        net.loss = 0.0
        net.heal()
        for name in names:
            if net.brokers[name].up:
                net.resume(name)
            else:
                net.restart(name)
        net.connect(*names)
        net.run(UNDER_WAY_S)
        net.run_until(
            lambda core: (
                len(core.members) == len(names) - 1 and all(each.state == "alive" for each in core.members.values())
            ),
            5 * DEFAULTS.gossip_s,
        )
        deaths = net.deaths
        net.run(100.0)
        assert net.deaths == deaths, "and nobody dies any more"
        assert len({(each.core.name, each.core.incarnation) for each in net.up}) == len(names)
        for broker in net.up:
            for member in broker.core.members.values():
                assert (member.state, member.incarnation) == ("alive", net[member.name].incarnation)


class TestQuiet:
    @pytest.mark.parametrize("brokers", [20, pytest.param(100, marks=pytest.mark.nightly)])
    def test_nobody_dies_of_five_percent_loss(self, brokers: int) -> None:
        net = GossipNet(brokers, loss=0.05)
        net.meet()
        net.run(1_000.0)
        assert sum(broker.core.counters["probes_failed"] for broker in net.up) > 10, "it was not easy"
        assert net.deaths == 0
        net.validate()

    def test_nobody_dies_in_an_hour_of_long_delays_with_reordering(self) -> None:
        net = GossipNet(5, Settings.wan(), delay=wan_delay)
        net.meet()
        net.run(3_600.0)
        assert net.deaths == 0
        assert not any(broker.core.counters["probes_failed"] for broker in net.up)
        net.validate()

    @pytest.mark.nightly
    def test_nobody_dies_in_an_hour_of_long_delays_with_the_defaults_either(self) -> None:
        net = GossipNet(5, delay=wan_delay)
        net.meet()
        net.run(3_600.0)
        assert net.deaths == 0
        net.validate()

    def test_one_seed_gives_one_course(self) -> None:
        courses = set()
        for _ in range(2):
            net = GossipNet(12, seed=7, loss=0.1)
            net.meet()
            net.crash("b3", noticed=False)
            net.run(60.0)
            courses.add(tuple((broker.name, *broker.sent.values(), broker.core.version) for broker in net.up))
        assert len(courses) == 1


@pytest.fixture(scope="module")
def thousand() -> Figures:
    return measure(1_000)


@pytest.mark.nightly
class TestThousand:
    def test_join_is_known_to_all_within_log_rounds(self, thousand: Figures) -> None:
        assert thousand.join_rounds <= math.ceil(math.log2(1_000)), table([thousand])

    def test_killed_broker_is_dead_to_all_after_the_least_time_to_refute(self, thousand: Figures) -> None:
        refute_s = DEFAULTS.suspicion_s * math.log10(1_000)
        assert refute_s <= thousand.kill_s <= refute_s + DEFAULTS.probe_s + 3 * DEFAULTS.gossip_s, table([thousand])

    def test_hung_broker_is_dead_to_all_within_seconds_of_that(self, thousand: Figures) -> None:
        refute_s = DEFAULTS.suspicion_s * math.log10(1_000)
        assert refute_s <= thousand.hang_s <= refute_s + 6 * DEFAULTS.probe_s, table([thousand])

    def test_costs_do_not_grow_with_the_net(self, thousand: Figures) -> None:
        small = measure(16)
        assert thousand.idle <= small.idle * 1.25 <= 3.0, table([small, thousand])
        assert thousand.join_messages <= 2 * small.join_messages, table([small, thousand])
        assert thousand.hang_messages <= 2 * small.hang_messages, table([small, thousand])


def test_health_stretches_a_probe_to_its_bound_only() -> None:
    """A broker that is cut off from all others probes ever more rarely, but goes on."""
    net = GossipNet(5, DEFAULTS)
    net.meet()
    others = ["b1", "b2", "b3", "b4"]
    net.cut(["b0"], others)
    net.run(200.0)
    assert net["b0"].probing.health <= HEALTH_MAX
    net.heal()
    net.run(60.0)
    assert net["b0"].probing.health == 0
    assert all(each.state == "alive" for each in net["b0"].members.values())
