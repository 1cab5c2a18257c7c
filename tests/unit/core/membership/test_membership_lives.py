"""One life of a broker after the other: it leaves, dies, comes back, or is forgotten."""

import pytest

from braidmq.core.events.event import WARNING
from braidmq.settings import Settings
from braidmq.wire.gossip import Ack, Gossip, Rumor
from tests.support.rigs.gossip_rig import GossipNet, lists
from tests.support.rigs.solo import EPSILON_S, SETTINGS, Solo


class TestLeave:
    def test_leaving_is_told_to_everyone_at_once(self, five: Solo) -> None:
        five.tell("b", "d", 0, "dead")
        five.settle()
        five.core.leave(five.now)
        sent = five.sent(Gossip)
        assert [to for to, _ in sent] == ["a", "b", "c"]
        assert {tuple(gossip.rumors) for _, gossip in sent} == {(Rumor("me", 1, "leaving", "", b"my certificate"),)}
        assert five.core.state == "leaving"
        five.core.leave(five.now)
        assert not five.taken(), "once"

    def test_leaving_broker_refutes_its_death_and_goes_on_leaving(self, five: Solo) -> None:
        five.core.leave(five.now)
        five.tell("b", "me", 1, "dead")
        assert (five.core.incarnation, five.core.state) == (2, "leaving")

    def test_leaving_broker_that_loses_its_connection_is_dead_at_once(self, five: Solo) -> None:
        five.tell("a", "a", 1, "leaving")
        five.settle()
        five.down("a")
        assert five.state("a") == (1, "dead")
        assert five.events() == ["a has left"]
        assert five.news()["a"] == Rumor("a", 1, "dead")
        assert not five.taken(), "nobody is asked"

    def test_leaving_broker_that_is_still_reached_the_other_way_goes_on_leaving(self, five: Solo) -> None:
        five.tell("a", "a", 1, "leaving")
        five.core.on_down("a", five.now, last_connection=False)
        assert five.state("a") == (1, "leaving")
        five.core.on_down("a", five.now, last_connection=True)
        assert five.state("a") == (1, "dead")

    def test_who_leaves_accuses_nobody(self, five: Solo) -> None:
        five.core.leave(five.now)
        five.core.on_down("a", five.now)
        five.tick(20.0)
        assert {five.state(name)[1] for name in "abcd"} == {"alive"}

    def test_who_leaves_goes_no_further_with_a_suspicion_that_it_has(self, five: Solo) -> None:
        five.tell("b", "a", 0, "suspect")
        assert five.state("a") == (0, "suspect")
        five.core.leave(five.now)
        five.tick(12 * SETTINGS.suspicion_s)
        assert five.state("a") == (0, "suspect")

    def test_who_leaves_goes_no_further_with_it_though_its_timers_are_late(self) -> None:
        solo = Solo("a", "b", settings=Settings(suspicion_s=0.1))
        solo.tell("b", "a", 0, "suspect")
        solo.core.leave(solo.now)
        for _ in range(20):
            solo.now += 0.3
            solo.core.on_timer(solo.now)
            solo.core.validate_state()
        assert solo.state("a") == (0, "suspect")

    def test_leaving_broker_that_fails_a_probe_is_dead_without_suspicion(self, five: Solo) -> None:
        five.tell("a", "a", 1, "leaving")
        five.probe_of("a")
        five.tick(SETTINGS.probe_s + EPSILON_S)
        assert five.state("a") == (1, "dead")
        assert not five.events(WARNING)

    def test_leaving_in_a_net_ends_in_its_absence(self) -> None:
        net = GossipNet(5)
        net.meet()
        net.do("b0", lambda core: core.leave(net.now))
        net.run(0.1)
        assert all(lists("b0", "leaving")(broker.core) for broker in net.up)
        net.crash("b0", noticed=True)
        net.run_until(lists("b0", "dead"), 0.1)
        net.run(SETTINGS.tombstone_s + 1.0)
        assert not any("b0" in broker.core.members for broker in net.up)


class TestRestart:
    @pytest.mark.parametrize("via", ["b0", "b3"])
    def test_restarted_broker_that_is_known_dead_comes_back(self, via: str) -> None:
        net = GossipNet(5)
        net.meet()
        net["b1"].incarnation = 9
        net.do("b1", lambda core: core._raise_incarnation(9, "alive", net.now))
        net.run(2.0)
        net.crash("b1", noticed=True)
        net.run_until(lists("b1", "dead"), 30.0)
        assert net["b0"].members["b1"].incarnation == 10
        net.restart("b1", via)
        net.run(1.0)
        assert net["b1"].incarnation == 11
        assert all(lists("b1", "alive")(broker.core) for broker in net.up)
        net.validate()

    def test_restart_before_anyone_noticed_takes_the_next_incarnation(self) -> None:
        net = GossipNet(3)
        net.meet()
        net.do("b1", lambda core: core._raise_incarnation(4, "alive", net.now))
        net.run(2.0)
        net.crash("b1", noticed=False)
        net.restart("b1", "b0")
        net.run(1.0)
        assert net["b1"].incarnation == 6
        net.run(60.0)
        assert net.deaths == 0

    def test_restarted_after_leaving_is_alive_again(self) -> None:
        net = GossipNet(3)
        net.meet()
        net.do("b1", lambda core: core.leave(net.now))
        net.run(1.0)
        net.crash("b1", noticed=True)
        net.restart("b1", "b0")
        net.run(1.0)
        assert all(lists("b1", "alive")(broker.core) for broker in net.up)


class TestTombstone:
    def test_old_news_does_not_revive_the_dead_before_the_tombstone_expires(self, five: Solo) -> None:
        five.tell("b", "a", 5, "dead")
        died_at = five.now
        five.core.probing._probe_at = five.core._sync_at = five.now + 1_000.0
        for incarnation in (0, 4, 5):
            five.tell("c", "a", incarnation, "alive")
        five.now = died_at + SETTINGS.tombstone_s - EPSILON_S
        five.tick(0.0)
        five.tell("c", "a", 5, "alive")
        assert five.state("a") == (5, "dead")
        version = five.core.version
        five.tick(2 * EPSILON_S)
        assert "a" not in five.core.members
        assert "a" not in five.news()
        assert five.core.version > version
        five.tell("c", "a", 0, "alive")
        assert five.state("a") == (0, "alive")

    def test_tombstone_of_a_broker_that_came_back_does_not_remove_it(self, five: Solo) -> None:
        five.core.probing._probe_at = five.core._sync_at = five.now + 1_000.0
        five.tell("b", "a", 5, "dead")
        five.tick(30.0)
        five.tell("b", "a", 6, "alive")
        five.tick(100.0)
        assert five.state("a") == (6, "alive")

    def test_second_death_has_a_tombstone_of_its_own(self, five: Solo) -> None:
        five.core.probing._probe_at = five.core._sync_at = five.now + 1_000.0
        five.tell("b", "a", 5, "dead")
        five.tick(30.0)
        five.tell("b", "a", 6, "alive")
        five.tell("b", "a", 6, "dead")
        five.tick(SETTINGS.tombstone_s - EPSILON_S)
        assert five.state("a") == (6, "dead")
        five.tick(2 * EPSILON_S)
        assert "a" not in five.core.members

    def test_dead_are_neither_probed_nor_asked(self, five: Solo) -> None:
        five.tell("b", "a", 0, "dead")
        five.settle()
        for _ in range(10):
            target, number = five.probed()
            assert target != "a"
            five.hear(target, Ack(number))


class TestForget:
    def test_forgotten_broker_is_gone_with_all_news_of_it(self, five: Solo) -> None:
        five.tell("b", "a", 1, "suspect")
        five.events()
        version = five.core.version
        five.core.forget("a", five.now)
        assert "a" not in five.core.members
        assert "a" not in five.news()
        assert five.core.version > version
        assert five.events() == ["a is no longer a broker of this net"]
        five.tick(100.0)
        assert "a" not in five.core.members

    def test_forgetting_a_stranger_is_no_change(self, five: Solo) -> None:
        version = five.core.version
        five.core.forget("stranger", five.now)
        assert five.core.version == version
        assert not five.events()

    def test_probe_under_way_of_a_forgotten_broker_ends(self, five: Solo) -> None:
        five.probe_of("a")
        five.core.forget("a", five.now)
        five.tick(SETTINGS.probe_s + EPSILON_S)
        assert "a" not in five.core.members
        assert not five.core.probing._attempts or all(
            each.target != "a" for each in five.core.probing._attempts.values()
        )
