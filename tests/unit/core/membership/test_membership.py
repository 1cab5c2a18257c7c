"""Who is in the net: joins, suspicions, refutations, gossip and syncs."""

from collections.abc import Callable

import pytest

from braidmq.core.events.event import WARNING
from braidmq.wire.gossip import INCARNATION_MAX, Ack, Gossip, Ping, Rumor, State, Sync
from tests.support.rigs.gossip_rig import GossipNet, lists
from tests.support.rigs.solo import EPSILON_S, SETTINGS, START, Solo


class TestJoin:
    def test_join_through_one_is_known_to_all(self) -> None:
        net = GossipNet(6)
        net.meet()
        net.join("new", via="b0")
        net.run(1.0)
        assert all(lists("new", "alive")(broker.core) for broker in net.up)
        assert len(net["new"].members) == 6
        net.validate()

    def test_connection_to_an_unknown_broker_makes_it_known_and_exchanges_all(self, solo: Callable[..., Solo]) -> None:
        me = solo("a")
        me.registered.add("b")
        version = me.core.version
        me.core.on_up("b", me.now)
        assert me.state("b") == (0, "alive")
        assert me.core.version > version
        assert me.events() == ["b has joined"]
        ((to, sync),) = me.sent(Sync)
        assert to == "b"
        assert sync.answer
        assert sync.members[0] == Rumor("me", 0, "alive", "", b"my certificate")
        assert {row.name for row in sync.members} == {"me", "a", "b"}

    def test_connection_to_a_broker_that_is_alive_exchanges_nothing(self, solo: Callable[..., Solo]) -> None:
        me = solo("a")
        me.core.on_up("a", me.now)
        assert not me.taken()

    @pytest.mark.parametrize("state", ["suspect", "dead", "leaving"])
    def test_connection_to_a_broker_that_is_not_alive_exchanges_all(self, five: Solo, state: State) -> None:
        five.tell("b", "a", 0, state)
        five.taken()
        five.core.on_up("a", five.now)
        assert [to for to, _ in five.sent(Sync)] == ["a"]

    def test_connection_to_a_broker_without_a_certificate_is_ignored(self, solo: Callable[..., Solo]) -> None:
        me = solo("a")
        me.core.on_up("stranger", me.now)
        assert "stranger" not in me.core.members
        assert not me.taken()

    def test_news_of_a_broker_with_a_valid_certificate_makes_it_known(self, solo: Callable[..., Solo]) -> None:
        me = solo("a")
        me.tell("a", "b", 3, "alive", certificate=b"valid for b")
        assert me.state("b") == (3, "alive")
        assert me.news()["b"] == Rumor("b", 3, "alive", "", b"certificate of b"), "it is passed on with its certificate"

    def test_news_of_a_leaving_stranger_makes_it_known_as_leaving(self, solo: Callable[..., Solo]) -> None:
        me = solo("a")
        me.tell("a", "b", 3, "leaving", certificate=b"valid for b")
        assert me.state("b") == (3, "leaving")

    def test_news_of_a_suspect_stranger_makes_it_known_as_suspect_by_who_said_so(
        self, solo: Callable[..., Solo]
    ) -> None:
        me = solo("a")
        me.tell("a", "b", 3, "suspect", certificate=b"valid for b")
        assert me.state("b") == (3, "suspect")
        assert me["b"].suspicion is not None
        assert me["b"].suspicion.accusers == {"a"}

    def test_news_of_a_dead_stranger_is_ignored(self, solo: Callable[..., Solo]) -> None:
        me = solo("a")
        me.tell("a", "b", 3, "dead", certificate=b"valid for b")
        assert "b" not in me.core.members

    def test_new_broker_is_probed_within_this_round(self, solo: Callable[..., Solo]) -> None:
        me = solo(*(f"b{number}" for number in range(20)))
        target, number = me.probed()
        me.hear(target, Ack(number))
        me.tell("b0", "new", 0, "alive", certificate=b"valid for new")
        targets = []
        for _ in range(20):
            target, number = me.probed()
            targets.append(target)
            me.hear(target, Ack(number))
        assert "new" in targets

    def test_everyone_is_probed_once_in_each_round(self, five: Solo) -> None:
        for _ in range(3):
            targets = []
            for _ in range(4):
                target, number = five.probed()
                targets.append(target)
                five.hear(target, Ack(number))
            assert sorted(targets) == ["a", "b", "c", "d"]


class TestSuspicion:
    def suspect(self, five: Solo) -> float:
        five.tell("b", "a", 0, "suspect")
        assert five.state("a") == (0, "suspect")
        return five.now

    def survive(self, five: Solo, until: float) -> None:
        """Let time pass to just before `until`, in which every probe is answered, and to just after."""
        while five.core.next_deadline() < until:
            five.now = five.core.next_deadline()
            five.core.on_timer(five.now)
            for to, ping in five.sent(Ping):
                five.hear(to, Ack(ping.number))
        five.now = until - EPSILON_S
        assert five["a"].state == "suspect"
        five.tick(2 * EPSILON_S)
        assert five["a"].state == "dead"

    def test_lonely_suspicion_ends_in_death_after_six_times_the_least(self, five: Solo) -> None:
        start = self.suspect(five)
        self.survive(five, start + 6 * SETTINGS.suspicion_s)
        assert five.news()["a"] == Rumor("a", 0, "dead")
        assert five.core.counters["deaths"] == 1
        assert "a is dead: it has not refuted b" in five.events(WARNING)

    def test_independent_accusers_shorten_it_to_the_least(self, five: Solo) -> None:
        start = self.suspect(five)
        for accuser in "cd":
            five.tell(accuser, "a", 0, "suspect")
        five.core._suspect(five["a"], 0, "me", five.now)
        self.survive(five, start + SETTINGS.suspicion_s)
        assert "a is dead: it has not refuted b, c, d, me" in five.events()

    def test_one_more_accuser_shortens_it_by_half_and_is_passed_on(self, five: Solo) -> None:
        start = self.suspect(five)
        five.settle()
        five.tell("d", "a", 0, "suspect", by="c")
        assert five.news()["a"] == Rumor("a", 0, "suspect", "c")
        self.survive(five, start + 14.0)

    def test_same_accuser_again_changes_nothing(self, five: Solo) -> None:
        start = self.suspect(five)
        five.settle()
        for sender in "bcd":
            five.tell(sender, "a", 0, "suspect", by="b")
        assert not five.news(), "it is not news"
        self.survive(five, start + 24.0)

    def test_accusers_that_are_not_members_change_nothing(self, five: Solo) -> None:
        start = self.suspect(five)
        for number in range(10):
            five.tell("b", "a", 0, "suspect", by=f"ghost{number}")
        self.survive(five, start + 24.0)

    def test_own_failing_probes_are_one_accuser(self, five: Solo) -> None:
        five.core._suspect(five["a"], 0, "me", five.now)
        five.core._suspect(five["a"], 0, "me", five.now)
        assert five["a"].suspicion is not None
        assert five["a"].suspicion.accusers == {"me"}

    def test_refuted_suspicion_ends(self, five: Solo) -> None:
        self.suspect(five)
        five.tell("c", "a", 1, "alive")
        assert five.state("a") == (1, "alive")
        assert "a is alive again" in five.events()
        five.core.probing._probe_at = five.core._sync_at = five.now + 1_000
        five.tick(100.0)
        assert five.state("a") == (1, "alive")

    def test_suspicion_of_a_later_life_begins_anew(self, five: Solo) -> None:
        start = self.suspect(five)
        five.tell("c", "a", 0, "suspect")
        five.now = start + 2.0
        five.tell("d", "a", 1, "suspect")
        assert five["a"].suspicion is not None
        assert five["a"].suspicion.accusers == {"d"}
        self.survive(five, start + 26.0)

    def test_time_to_refute_counts_the_brokers_that_are_not_dead(self, solo: Callable[..., Solo]) -> None:
        me = solo("a", "b", "c", "d", "e")
        me.tell("b", "d", 0, "dead")
        me.tell("b", "e", 0, "dead")
        me.tell("b", "a", 0, "suspect")
        assert me["a"].suspicion is not None
        assert me["a"].suspicion.deadline == me.now + SETTINGS.suspicion_s, "four are too few to confirm"

    def test_flood_of_accusations_leaves_few_timers(self, five: Solo) -> None:
        for incarnation in range(1_000):
            for accuser in "bcd":
                five.core.on_message(accuser, Gossip([Rumor("a", incarnation, "suspect")]), five.now)
            five.core.on_message("b", Gossip([Rumor("a", incarnation, "dead")]), five.now)
            five.now += 0.001
        assert len(five.core._reminders) < 50
        five.core.validate_state()


class TestRefutation:
    @pytest.mark.parametrize("state", ["suspect", "dead"])
    def test_false_news_of_oneself_is_refuted_with_the_next_incarnation(self, five: Solo, state: State) -> None:
        five.tell("b", "me", 0, state, by="c")
        assert five.core.incarnation == 1
        assert five.core.state == "alive"
        assert five.news()["me"] == Rumor("me", 1, "alive", "", b"my certificate")
        assert five.core.probing.health == 1
        assert five.core.counters["refutations"] == 1
        assert f"refuted that me is {state}, as c says" in five.events()

    def test_incarnation_goes_above_that_of_the_news(self, five: Solo) -> None:
        five.tell("b", "me", 41, "suspect")
        assert five.core.incarnation == 42

    def test_news_of_an_earlier_life_needs_no_refutation(self, five: Solo) -> None:
        five.tell("b", "me", 41, "suspect")
        five.settle()
        for state in ("suspect", "dead", "alive"):
            five.tell("b", "me", 41, state)
        assert five.core.incarnation == 42
        assert not five.news()

    def test_higher_incarnation_of_a_life_before_is_passed_without_a_sign_of_bad_health(self, five: Solo) -> None:
        five.tell("b", "me", 7, "alive")
        assert five.core.incarnation == 8
        assert five.core.probing.health == 0
        assert not five.core.counters["refutations"]

    def test_own_news_at_the_own_incarnation_is_no_news(self, five: Solo) -> None:
        five.tell("b", "me", 0, "alive")
        assert five.core.incarnation == 0
        assert not five.news()

    @pytest.mark.parametrize("state", ["suspect", "dead"])
    def test_who_has_missed_the_refutation_is_told_again_when_it_accuses(self, five: Solo, state: State) -> None:
        five.tell("a", "me", 0, "suspect")
        five.settle()
        five.tell("b", "me", 0, state)
        assert five.core.incarnation == 1
        assert five.sent(Gossip) == [("b", Gossip([Rumor("me", 1, "alive", "", b"my certificate")]))]

    def test_refutation_reaches_the_accusers(self) -> None:
        net = GossipNet(4)
        net.meet()
        net.run(2.0)
        net.do("b1", lambda core: core._suspect(core.members["b0"], 0, "b1", net.now))
        net.run_until(lists("b0", "suspect"), 1.0)
        net.run_until(lambda core: core.name == "b0" or core.members["b0"].incarnation == 1, 2.0)
        net.run(60.0)
        assert net.deaths == 0

    def test_incarnation_stops_at_its_largest(self, five: Solo) -> None:
        five.core.incarnation = INCARNATION_MAX - 1
        five.tell("b", "me", INCARNATION_MAX, "suspect")
        assert five.core.incarnation == INCARNATION_MAX


class TestOrder:
    STATES: tuple[State, ...] = ("alive", "suspect", "leaving", "dead")

    @pytest.mark.parametrize("held", STATES)
    @pytest.mark.parametrize("heard", STATES)
    def test_later_state_overrides_at_one_incarnation(self, five: Solo, held: State, heard: State) -> None:
        five.tell("b", "a", 5, held)
        five.tell("c", "a", 5, heard)
        assert five.state("a") == (5, max(held, heard, key=self.STATES.index))

    @pytest.mark.parametrize("held", STATES)
    @pytest.mark.parametrize("heard", STATES)
    def test_higher_incarnation_overrides_all(self, five: Solo, held: State, heard: State) -> None:
        five.tell("b", "a", 5, held)
        five.settle()
        five.tell("c", "a", 6, heard)
        assert five.state("a") == (6, heard)
        assert five.news()["a"].incarnation == 6

    @pytest.mark.parametrize("held", STATES)
    @pytest.mark.parametrize("heard", STATES)
    def test_lower_incarnation_is_ignored(self, five: Solo, held: State, heard: State) -> None:
        five.tell("b", "a", 5, held)
        five.settle()
        version = five.core.version
        five.tell("c", "a", 4, heard)
        assert five.state("a") == (5, held)
        assert not five.news()
        assert five.core.version == version

    def test_time_of_the_state_is_kept_while_the_state_is(self, five: Solo) -> None:
        five.tell("b", "a", 1, "leaving")
        since = five["a"].since
        five.now += 3.0
        five.tell("b", "a", 2, "leaving")
        assert five["a"].since == since
        five.tell("b", "a", 3, "alive")
        assert five["a"].since == five.now


class TestGossip:
    def test_news_is_told_at_once_and_then_in_each_round(self, solo: Callable[..., Solo]) -> None:
        me = solo(*(f"x{number}" for number in range(20)))
        me.core.probing._probe_at = me.core._sync_at = START + 1_000.0
        me.tick(5.0)
        me.now = START + 6.0
        me.tell("x0", "x1", 1, "alive")
        times = []
        told = []
        while me.core._telling.rumors:
            me.now = max(me.now, me.core.next_deadline())
            me.core.on_timer(me.now)
            sent = me.sent(Gossip)
            times.append(me.now - START - 6.0)
            told.extend(to for to, _ in sent)
            assert len(sent) <= SETTINGS.gossip_fanout
            assert all([each.name for each in gossip.rumors] == ["x1"] for _, gossip in sent)
        assert times == pytest.approx([0.0, 0.2, 0.4])
        assert len(told) == len(set(told)) == 8, "each time somebody else"

    def test_everyone_of_a_small_net_is_told(self, five: Solo) -> None:
        five.core.probing._probe_at = five.core._sync_at = START + 1_000.0
        five.tell("a", "b", 1, "alive")
        five.tick(1.0)
        assert {to for to, _ in five.sent(Gossip)} == {"a", "b", "c", "d"}

    def test_dead_are_told_nothing(self, five: Solo) -> None:
        five.core.probing._probe_at = five.core._sync_at = START + 1_000.0
        five.tell("a", "b", 1, "alive")
        five.tick(SETTINGS.gossip_s + EPSILON_S)
        told = {to for to, _ in five.sent(Gossip)}
        (next_one,) = {"a", "b", "c", "d"} - told
        five.tell("a", next_one, 1, "dead")
        five.tick(5.0)
        assert {to for to, _ in five.sent(Gossip)} == told

    def test_broker_that_is_forgotten_is_told_nothing(self, five: Solo) -> None:
        five.core.probing._probe_at = five.core._sync_at = START + 1_000.0
        for _ in range(5):
            five.tell("a", "b", five["b"].incarnation + 1, "alive")
            five.tick(0.01)
        five.core.forget("d", five.now)
        five.taken()
        five.tick(5.0)
        assert "d" not in {to for to, _ in five.sent(Gossip)}


class TestSync:
    def test_rows_are_taken_in(self, five: Solo) -> None:
        five.hear("a", Sync([Rumor("a", 2, "alive"), Rumor("b", 3, "suspect"), Rumor("c", 1, "leaving")]))
        assert [five.state(name) for name in "abc"] == [(2, "alive"), (3, "suspect"), (1, "leaving")]
        assert five["b"].suspicion is not None
        assert five["b"].suspicion.accusers == {"a"}
        assert not five.taken(), "no answer was asked for"

    def test_answer_holds_all_and_asks_for_nothing(self, five: Solo) -> None:
        five.tell("b", "c", 4, "dead")
        five.taken()
        five.hear("a", Sync([], answer=True))
        ((to, sync),) = five.sent(Sync)
        assert to == "a"
        assert not sync.answer
        assert sync.members[0] == Rumor("me", 0, "alive", "", b"my certificate")
        assert {(row.name, row.incarnation, row.state) for row in sync.members[1:]} == {
            ("a", 0, "alive"), ("b", 0, "alive"), ("c", 4, "dead"), ("d", 0, "alive"),
        }  # fmt: skip

    def test_dead_row_only_makes_suspect(self, five: Solo) -> None:
        five.hear("b", Sync([Rumor("a", 0, "dead", "c")]))
        assert five.state("a") == (0, "suspect")
        assert five["a"].suspicion is not None
        assert five["a"].suspicion.accusers == {"b"}

    def test_dead_row_confirms_a_suspicion(self, five: Solo) -> None:
        five.tell("b", "a", 0, "suspect")
        five.hear("c", Sync([Rumor("a", 0, "dead")]))
        assert five["a"].suspicion is not None
        assert five["a"].suspicion.accusers == {"b", "c"}

    def test_dead_row_of_the_dead_and_of_strangers_is_ignored(self, five: Solo) -> None:
        five.tell("b", "a", 0, "dead")
        five.settle()
        five.hear("b", Sync([Rumor("a", 3, "dead"), Rumor("x", 0, "dead")]))
        assert five.state("a") == (0, "dead")
        assert "x" not in five.core.members

    def test_dead_row_of_a_leaving_broker_leaves_it_leaving(self, five: Solo) -> None:
        five.tell("a", "a", 1, "leaving")
        five.hear("b", Sync([Rumor("a", 1, "dead")]))
        assert five.state("a") == (1, "leaving")

    def test_dead_row_about_oneself_is_refuted(self, five: Solo) -> None:
        five.hear("b", Sync([Rumor("me", 6, "dead")]))
        assert five.core.incarnation == 7

    def test_one_other_is_asked_for_all_in_each_interval(self, five: Solo) -> None:
        times = []
        while len(times) < 4:
            five.now = five.core.next_deadline()
            five.core.on_timer(five.now)
            sent = five.taken()
            for to, each in sent:
                if isinstance(each, Ping):
                    five.hear(to, Ack(each.number))
            asked = [to for to, each in sent if isinstance(each, Sync) and each.answer]
            if asked:
                assert len(asked) == 1
                times.append(five.now - START)
        assert 0.5 * SETTINGS.sync_s <= times[0] <= 1.5 * SETTINGS.sync_s
        assert times[3] - times[0] == pytest.approx(3 * SETTINGS.sync_s)

    def test_sync_mends_what_gossip_has_missed(self) -> None:
        net = GossipNet(4)
        net.meet()
        net["b0"].members["b1"].incarnation = 5
        net["b1"].incarnation = 5
        net.run(3 * SETTINGS.sync_s)
        assert net["b2"].members["b1"].incarnation == net["b3"].members["b1"].incarnation == 5
