"""How a broker finds out that another one does not answer, and how far it trusts itself in that."""

import itertools
from collections.abc import Callable

import pytest

from braidmq.core.membership.probing import FORWARDS_MAX, HEALTH_MAX
from braidmq.settings import Settings
from braidmq.wire.gossip import RUMORS_MAX, Ack, Nack, Ping, Probe, Rumor, State
from tests.support.rigs.gossip_rig import GossipNet
from tests.support.rigs.solo import EPSILON_S, SETTINGS, START, Solo


class TestProbe:
    def test_first_probe_comes_within_one_interval_and_then_one_each(self, five: Solo) -> None:
        times = []
        for _ in range(5):
            target, number = five.probed()
            times.append(five.now)
            five.hear(target, Ack(number))
        assert START <= times[0] <= START + SETTINGS.probe_s
        assert [after - before for before, after in itertools.pairwise(times)] == pytest.approx([1.0] * 4)

    def test_ping_is_answered_with_its_number_and_news(self, five: Solo) -> None:
        five.tell("b", "c", 2, "alive")
        five.hear("a", Ping(77))
        ((to, ack),) = five.sent(Ack)
        assert (to, ack.number) == ("a", 77)
        assert [rumor.name for rumor in ack.rumors] == ["c"]

    def test_answered_probe_asks_nobody_else(self, five: Solo) -> None:
        target, number = five.probed()
        five.hear(target, Ack(number))
        five.tick(SETTINGS.probe_s - EPSILON_S)
        assert not five.sent(Probe)
        assert not five.core.counters["probes_failed"]

    def test_unanswered_probe_asks_others_after_the_timeout(self, five: Solo) -> None:
        target, number = five.probed()
        five.tick(SETTINGS.probe_timeout_s - EPSILON_S)
        assert not five.sent(Probe)
        five.tick(2 * EPSILON_S)
        probes = five.sent(Probe)
        assert {to for to, _ in probes} == {"a", "b", "c", "d"} - {target}
        assert {(probe.number, probe.target) for _, probe in probes} == {(number, target)}

    def test_only_so_many_others_are_asked_and_only_those_alive(self, solo: Callable[..., Solo]) -> None:
        me = solo(*"abcdefgh")
        for name, state in (("a", "suspect"), ("b", "leaving"), ("c", "dead")):
            me.tell("d", name, 0, state)  # type: ignore[arg-type]
        me.settle()
        number = me.probe_of("h")
        me.tick(SETTINGS.probe_timeout_s + EPSILON_S)
        helpers = [to for to, probe in me.sent(Probe) if probe.number == number]
        assert len(helpers) == len(set(helpers)) == SETTINGS.indirect_probes
        assert set(helpers) <= {"d", "e", "f", "g"}

    def test_target_that_nobody_hears_is_suspect_after_the_interval(self, five: Solo) -> None:
        number = five.probe_of("a")
        five.tick(SETTINGS.probe_timeout_s)
        for name in "bcd":
            five.hear(name, Nack(number))
        five.tick(SETTINGS.probe_s - SETTINGS.probe_timeout_s - EPSILON_S)
        assert five.state("a") == (0, "alive")
        five.tick(2 * EPSILON_S)
        assert five.state("a") == (0, "suspect")
        assert five.news()["a"] == Rumor("a", 0, "suspect", "me")
        assert five.core.counters["probes_failed"] == 1
        assert "a is suspect, says me" in five.events()

    def test_answer_through_a_helper_counts(self, five: Solo) -> None:
        number = five.probe_of("a")
        five.tick(SETTINGS.probe_timeout_s + EPSILON_S)
        five.hear("b", Ack(number))
        five.tick(SETTINGS.probe_s)
        assert five.state("a") == (0, "alive")

    def test_late_answer_of_the_target_itself_counts(self, five: Solo) -> None:
        number = five.probe_of("a")
        five.tick(SETTINGS.probe_s - EPSILON_S)
        five.hear("a", Ack(number))
        five.tick(2 * EPSILON_S)
        assert five.state("a") == (0, "alive")

    def test_answer_of_one_who_was_not_asked_does_not_count(self, solo: Callable[..., Solo]) -> None:
        me = solo("a", "b", settings=Settings(indirect_probes=0))
        number = me.probe_of("a")
        me.tick(SETTINGS.probe_timeout_s + EPSILON_S)
        me.hear("b", Ack(number), Nack(number), Ack(number + 1), Ack(0))
        me.tick(SETTINGS.probe_s)
        assert me.state("a") == (0, "suspect")

    @pytest.mark.parametrize("state", ["alive", "dead"])
    def test_probe_says_nothing_against_a_later_life(self, five: Solo, state: State) -> None:
        five.probe_of("a")
        five.tick(0.1)
        five.tell("b", "a", 1, state)
        five.tick(SETTINGS.probe_s - 0.1 + EPSILON_S)
        assert five.state("a") == (1, state)
        assert not five.core.counters["probes_failed"]

    def test_probe_goes_on_while_its_target_is_suspect(self, solo: Callable[..., Solo]) -> None:
        me = solo("a", "b")
        me.probe_of("a")
        me.tell("b", "a", 0, "suspect")
        me.tick(SETTINGS.probe_s + EPSILON_S)
        assert me.core.counters["probes_failed"] == 1

    def test_target_is_not_probed_again_while_a_probe_is_under_way(self, solo: Callable[..., Solo]) -> None:
        me = solo("a")
        me.core.probing._set_health(1)  # the first interval is still that of a healthy broker: two probes would overlap
        me.probed()
        me.core.probing._set_health(0)
        me.core.probing._probe_at = me.now + 0.5
        me.tick(1.0)
        assert not me.sent(Ping)

    def test_suspect_is_told_so_by_a_probe(self, five: Solo) -> None:
        five.tell("b", "a", 0, "suspect")
        five.settle()
        carried = {}
        while len(carried) < 4:
            five.now = five.core.next_deadline()
            five.core.on_timer(five.now)
            for target, ping in five.sent(Ping):
                carried[target] = ping.rumors
                five.hear(target, Ack(ping.number))
        assert carried == {"a": [Rumor("a", 0, "suspect", "me")], "b": [], "c": [], "d": []}

    def test_suspect_is_told_so_once_if_it_is_news_anyway(self, five: Solo) -> None:
        five.tell("b", "a", 0, "suspect")
        five.core.probing._ring = ["a"]
        five.core.probing._probe_at = five.now
        five.core.on_timer(five.now)
        ((_, ping),) = five.sent(Ping)
        assert ping.rumors == [Rumor("a", 0, "suspect", "me")]

    def test_probe_of_a_suspect_carries_no_more_rumors_than_allowed_and_loses_none(
        self, solo: Callable[..., Solo]
    ) -> None:
        me = solo(*(f"x{number}" for number in range(40)))
        for number in range(20):
            me.tell("x30", f"x{number}", 1, "alive")
        me.tell("x30", "x39", 0, "suspect")
        me.taken()
        before = {name: times for name, (times, _) in me.core._telling.rumors._told.items()}
        me.core.probing._ring = ["x39"]
        me.core.probing._probe_at = me.now
        me.core.on_timer(me.now)
        ((_, ping),) = me.sent(Ping)
        assert len(ping.rumors) <= RUMORS_MAX
        told = {name for name, (times, _) in me.core._telling.rumors._told.items() if times > before[name]}
        assert told <= {rumor.name for rumor in ping.rumors}, "what counts as told was sent"
        assert [rumor.name for rumor in ping.rumors].count("x39") == 1


class TestHelper:
    def test_helper_pings_and_passes_the_answer_on(self, five: Solo) -> None:
        five.hear("a", Probe(99, "b"))
        ((to, ping),) = five.sent(Ping)
        assert to == "b"
        five.hear("b", Ack(ping.number))
        assert five.sent(Ack) == [("a", Ack(99))]
        five.hear("b", Ack(ping.number))
        assert not five.sent(Ack), "only once"
        five.tick(SETTINGS.probe_timeout_s)
        assert not five.sent(Nack)

    def test_helper_accepts_the_answer_of_the_target_only(self, five: Solo) -> None:
        five.hear("a", Probe(99, "b"))
        ((_, ping),) = five.sent(Ping)
        five.hear("c", Ack(ping.number))
        assert not five.sent(Ack)

    def test_helper_that_hears_nothing_says_so_before_the_timeout(self, five: Solo) -> None:
        five.hear("a", Probe(99, "b"))
        five.taken()
        five.tick(SETTINGS.probe_timeout_s * 0.8 - EPSILON_S)
        assert not five.sent(Nack)
        five.tick(2 * EPSILON_S)
        assert five.sent(Nack) == [("a", Nack(99))]
        five.tick(1.0)
        assert not five.sent(Nack)

    def test_helper_does_not_know_the_target_and_says_so_at_once(self, five: Solo) -> None:
        five.hear("a", Probe(99, "stranger"), Probe(100, "me"))
        assert five.taken() == [("a", Nack(99)), ("a", Nack(100))]

    def test_probes_on_behalf_of_others_are_bounded(self, five: Solo) -> None:
        for number in range(FORWARDS_MAX + 50):
            five.core.on_message("a", Probe(number, "b"), five.now)
        assert len(five.core.probing._forwards) == FORWARDS_MAX
        sent = five.core.take_sends()
        assert len(sent["b"]) == FORWARDS_MAX
        assert sent["a"] == [Nack(FORWARDS_MAX + number) for number in range(50)]
        five.tick(SETTINGS.probe_timeout_s)
        assert not five.core.probing._forwards

    def test_their_timers_are_bounded_also_if_all_are_answered(self, five: Solo) -> None:
        for number in range(3 * FORWARDS_MAX):
            five.core.on_message("a", Probe(number, "b"), five.now)
            for ping in [each for each in five.core.take_sends().get("b", []) if isinstance(each, Ping)]:
                five.core.on_message("b", Ack(ping.number), five.now)
        assert len(five.core.probing._timers) <= FORWARDS_MAX + 10


class TestLostConnection:
    def test_lost_connection_is_checked_at_once_through_others(self, five: Solo) -> None:
        five.down("a")
        sent = five.taken()
        assert [to for to, each in sent if isinstance(each, Ping)] == ["a"]
        assert sorted(to for to, each in sent if isinstance(each, Probe)) == ["b", "c", "d"]

    def test_broker_that_nobody_hears_is_suspect_after_the_timeout(self, five: Solo) -> None:
        five.core.probing._probe_at = five.now + 10.0
        five.down("a")
        five.tick(SETTINGS.probe_timeout_s - EPSILON_S)
        assert five["a"].state == "alive"
        five.tick(2 * EPSILON_S)
        assert five["a"].state == "suspect"
        assert five.core.probing.health == 0, "it says nothing of this broker's own health"

    def test_broker_that_others_hear_stays_alive(self, five: Solo) -> None:
        five.core.probing._probe_at = five.now + 10.0
        five.down("a")
        ((_, ping),) = five.sent(Ping)
        five.hear("c", Ack(ping.number))
        five.tick(2.0)
        assert five["a"].state == "alive"

    def test_second_loss_does_not_begin_a_second_check(self, five: Solo) -> None:
        five.down("a")
        five.taken()
        five.down("a")
        assert not five.taken()

    @pytest.mark.parametrize("state", ["suspect", "dead"])
    def test_loss_of_a_broker_that_is_not_alive_is_no_news(self, five: Solo, state: State) -> None:
        five.tell("b", "a", 0, state)
        five.taken()
        five.down("a")
        assert not five.taken()

    def test_loss_of_an_unknown_broker_is_ignored(self, five: Solo) -> None:
        five.down("stranger")
        assert not five.taken()

    def test_ill_broker_waits_longer_before_its_verdict(self, five: Solo) -> None:
        five.core.probing._set_health(2)
        five.core.probing._probe_at = five.now + 10.0
        five.down("a")
        five.tick(3 * SETTINGS.probe_timeout_s - EPSILON_S)
        assert five["a"].state == "alive"
        five.tick(2 * EPSILON_S)
        assert five["a"].state == "suspect"


class TestTwoBrokers:
    def test_silent_peer_is_suspect_and_dead_though_nobody_can_be_asked(self, solo: Callable[..., Solo]) -> None:
        me = solo("a")
        me.probed()
        me.tick(SETTINGS.probe_s + EPSILON_S)
        assert me.state("a") == (0, "suspect")
        assert not me.sent(Probe)
        me.tick(SETTINGS.suspicion_s - 2 * EPSILON_S)
        assert me.state("a") == (0, "suspect")
        me.tick(2 * EPSILON_S)
        assert me.state("a") == (0, "dead")

    def test_both_come_together_again_after_a_cut(self) -> None:
        net = GossipNet(2)
        net.meet()
        net.cut(["b0"], ["b1"])
        net.run(30.0)
        assert net["b0"].members["b1"].state == net["b1"].members["b0"].state == "dead"
        net.heal()
        net.run(0.1)
        assert net["b0"].members["b1"].state == net["b1"].members["b0"].state == "alive"

    def test_broker_alone_has_nothing_to_do(self, solo: Callable[..., Solo]) -> None:
        me = solo()
        me.tick(100.0)
        assert not me.taken()


class TestHealth:
    def fail(self, five: Solo, *nays: str) -> None:
        """Let a probe of `a` fail, to which these say that they hear nothing."""
        number = five.probe_of("a")
        five.tick(SETTINGS.probe_timeout_s)
        for name in nays:
            five.hear(name, Nack(number))
        five.tick(SETTINGS.probe_s - SETTINGS.probe_timeout_s + EPSILON_S)

    def test_probe_that_fails_without_helpers_is_one_sign(self, solo: Callable[..., Solo]) -> None:
        me = solo("a")
        me.probed()
        me.tick(SETTINGS.probe_s)
        assert me.core.probing.health == 1

    def test_each_helper_that_says_nothing_is_a_sign(self, five: Solo) -> None:
        self.fail(five, "b", "a", "stranger")
        assert five.core.probing.health == 2

    def test_helpers_that_all_say_no_are_no_sign(self, five: Solo) -> None:
        self.fail(five, "b", "c", "d")
        assert five.core.probing.health == 0

    def test_answered_probe_is_a_sign_of_health(self, five: Solo) -> None:
        five.core.probing._set_health(3)
        target, number = five.probed()
        five.hear(target, Ack(number), Ack(number))
        assert five.core.probing.health == 2

    def test_health_keeps_its_bounds(self, five: Solo) -> None:
        for incarnation in range(20):
            five.tell("b", "me", 10 * incarnation, "suspect")
        assert five.core.probing.health == HEALTH_MAX == 7
        for _ in range(10):
            target, number = five.probed()
            five.hear(target, Ack(number))
        assert five.core.probing.health == 0

    def test_worst_health_makes_times_eight_times_as_long(self, five: Solo) -> None:
        five.core.probing._set_health(99)
        target, _ = five.probed()
        start = five.now
        five.tick(8 * SETTINGS.probe_timeout_s - EPSILON_S)
        assert not five.sent(Probe)
        five.tick(2 * EPSILON_S)
        assert five.sent(Probe)
        five.now = start + 8 * SETTINGS.probe_s - EPSILON_S
        five.tick(0.0)
        assert five[target].state == "alive"
        assert not five.sent(Ping), "the next probe is as late"
        five.tick(2 * EPSILON_S)
        assert five[target].state == "suspect"
        assert five.sent(Ping)


class TestStall:
    def test_stalled_process_accuses_nobody(self, five: Solo) -> None:
        target, _ = five.probed()
        five.now += SETTINGS.probe_s + SETTINGS.probe_timeout_s
        five.core.on_timer(five.now)
        assert five[target].state == "alive"
        assert not five.core.counters["probes_failed"]
        assert five.core.probing.health == 0

    def test_lateness_within_the_timeout_is_no_stall(self, solo: Callable[..., Solo]) -> None:
        me = solo("a")
        me.probed()
        me.tick(SETTINGS.probe_timeout_s)
        me.now += SETTINGS.probe_timeout_s + 0.4
        me.core.on_timer(me.now)
        assert me["a"].state == "suspect"

    def test_suspected_broker_gets_the_time_of_the_stall_on_top(self, five: Solo) -> None:
        five.tell("b", "a", 0, "suspect")
        five.settle()
        deadline = five.now + 24.0
        late_s = 30.0
        five.now = five.core.next_deadline() + late_s
        five.core.on_timer(five.now)
        assert five["a"].state == "suspect"
        assert five["a"].suspicion is not None
        assert five["a"].suspicion.deadline == pytest.approx(deadline + late_s)

    def test_probes_on_behalf_of_others_are_forgotten(self, five: Solo) -> None:
        five.hear("a", Probe(99, "b"))
        five.taken()
        five.now += 60.0
        five.core.on_timer(five.now)
        assert not five.sent(Nack)

    def test_news_late_in_a_period_is_no_stall(self, five: Solo) -> None:
        five.core.probing._set_health(1)
        five.core.probing._ring = ["a"]
        _, number = five.probed()
        five.tick(2 * SETTINGS.probe_s - 0.05)
        five.tell("b", "c", 1, "alive")
        five.core.on_timer(five.now)
        assert five.core.probing._attempts.keys() == {number}, "the probe goes on"
        five.tick(0.1)
        assert five["a"].state == "suspect"


class TestJourney:
    def test_time_of_a_probe_is_known_and_a_long_one_is_forgotten_by_and_by(self, five: Solo) -> None:
        target, number = five.probed()
        five.tick(0.25)
        five.hear(target, Ack(number))
        record = five.core.members[target]
        assert record.rtt_s == pytest.approx(0.25)
        known = []
        while len(known) < 4:
            other, number = five.probed()
            five.tick(0.01)
            five.hear(other, Ack(number))
            if other == target:
                known.append(record.rtt_s)
        assert known == sorted(known, reverse=True)
        assert known[0] < 0.25
        assert known[-1] < 0.1

    def test_answer_of_a_helper_says_nothing_of_the_way(self, five: Solo) -> None:
        target, number = five.probed()
        five.tick(SETTINGS.probe_timeout_s + EPSILON_S)
        (helper, _probe), *_ = five.sent(Probe)
        five.hear(helper, Ack(number))
        assert not five.core.members[target].rtt_s
        assert not five.core.members[helper].rtt_s
