"""What members tell that cannot be, or without end: it is refused, bounded, and said once."""

from collections.abc import Callable

from braidmq.core.events.event import WARNING
from braidmq.core.events.log import LINES_MAX
from braidmq.core.membership.scrutiny import CHANGES_MAX, FALSE_MAX, INCARNATION_JUMP_MAX
from braidmq.wire.gossip import RUMORS_MAX, Gossip, Rumor, Sync
from braidmq.wire.limits import BROKERS_MAX
from tests.support.rigs.solo import Solo


class TestUnknown:
    def test_broker_without_a_valid_certificate_is_refused_and_said_once(self, solo: Callable[..., Solo]) -> None:
        me = solo("a", "b")
        for number in range(100):
            me.tell("a", f"x{number}", 0, "alive", certificate=b"forged")
        assert me.core.members.keys() == {"a", "b"}
        assert me.core.counters["unknown"] == 100
        assert me.core.counters["lies"] == 100
        (line,) = me.events(WARNING)
        assert line.startswith("a tells of x0 with a certificate that is not valid for it")
        me.tell("b", "x0", 0, "alive", certificate=b"forged")
        assert len(me.events(WARNING)) == 1, "said of each who tells it"

    def test_row_without_a_certificate_is_no_lie(self, solo: Callable[..., Solo]) -> None:
        me = solo("a")
        me.hear("a", Sync([Rumor("x", 0, "alive")]))
        assert me.core.members.keys() == {"a"}
        assert me.core.counters["unknown"] == 1
        assert not me.core.counters["lies"]
        assert not me.events()

    def test_ten_thousand_brokers_are_bounded_and_said_once(self, solo: Callable[..., Solo]) -> None:
        me = solo("a")
        rows = [Rumor(f"x{number}", 0, "alive", "", f"valid for x{number}".encode()) for number in range(10_000)]
        me.hear("a", Sync(rows))
        assert len(me.core.members) == BROKERS_MAX - 1
        (line,) = me.events(WARNING)
        assert f"{BROKERS_MAX} brokers are known already" in line
        for start in range(0, 10_000, RUMORS_MAX):
            me.core.on_message("a", Gossip(rows[start : start + RUMORS_MAX]), me.now)
        assert len(me.core.members) == BROKERS_MAX - 1
        assert len(me.core._telling.rumors) <= BROKERS_MAX
        assert not me.events(WARNING)

    def test_connection_beyond_the_bound_exchanges_nothing(self, solo: Callable[..., Solo]) -> None:
        me = solo(*(f"x{number}" for number in range(BROKERS_MAX - 1)))
        me.registered.add("late")
        me.core.on_up("late", me.now)
        assert "late" not in me.core.members
        assert not me.taken()


class TestFarIncarnation:
    def test_rumor_far_ahead_is_refused_and_said_once(self, five: Solo) -> None:
        for more in range(1, 50):
            five.tell("b", "a", INCARNATION_JUMP_MAX + more, "dead")
        assert five.state("a") == (0, "alive")
        assert five.core.counters["lies"] == 49
        (line,) = five.events(WARNING)
        assert line.startswith("b gives a the incarnation 1000001, far beyond 0")

    def test_rumor_that_is_not_too_far_ahead_is_accepted(self, five: Solo) -> None:
        five.tell("b", "a", INCARNATION_JUMP_MAX, "alive")
        assert five.state("a") == (INCARNATION_JUMP_MAX, "alive")

    def test_stranger_far_ahead_is_refused(self, five: Solo) -> None:
        five.tell("b", "x", INCARNATION_JUMP_MAX + 1, "alive", certificate=b"valid for x")
        assert "x" not in five.core.members

    def test_rumor_far_ahead_about_oneself_is_refused_and_said_once(self, five: Solo) -> None:
        five.tell("b", "me", 0, "suspect")
        five.settle()
        for more in range(2, 50):
            five.tell("b", "me", INCARNATION_JUMP_MAX + more, "dead")
        assert five.core.incarnation == 1
        assert not five.news()
        (line,) = five.events(WARNING)
        assert line.startswith("b gives this broker the incarnation 1000002, not 1")

    def test_broker_itself_may_be_far_ahead(self, five: Solo) -> None:
        five.tell("a", "a", INCARNATION_JUMP_MAX + 1, "alive")
        assert five.state("a") == (INCARNATION_JUMP_MAX + 1, "alive")


class TestLiars:
    """A registered broker that has turned bad: what it says costs this one a bounded number of lines and of steps."""

    def flap(self, five: Solo, sender: str, name: str, count: int, start: int = 1) -> int:
        """Let a broker say that another one is dead, and alive again, some times; return the next incarnation."""
        for incarnation in range(start, start + count):
            five.core.on_message(sender, Gossip([Rumor(name, incarnation, "dead")]), five.now)
            five.core.on_message(sender, Gossip([Rumor(name, incarnation + 1, "alive")]), five.now)
        five.core.validate_state()
        return start + count

    def test_who_changes_its_mind_too_often_is_not_heeded_about_that_broker_for_a_while(self, five: Solo) -> None:
        before = five.core.version
        incarnation = self.flap(five, "b", "a", 10_000)
        assert five.core.version - before <= CHANGES_MAX
        assert len(five.events()) <= 2 * LINES_MAX + 1
        five.core.on_message("b", Gossip([Rumor("c", 0, "suspect")]), five.now)
        assert five["c"].state == "suspect", "it is heeded about others"
        five.core.on_message("d", Gossip([Rumor("a", incarnation, "suspect")]), five.now)
        assert five["a"].state == "suspect", "and others are heeded about this one"

    def test_it_is_heeded_again_in_the_next_period(self, five: Solo) -> None:
        incarnation = self.flap(five, "b", "a", 10_000)
        five.core._scrutiny._period_ends_at = five.now
        five.core.on_timer(five.now)
        five.tell("b", "a", incarnation, "leaving")
        assert five["a"].state == "leaving"

    def test_what_this_broker_sees_for_itself_counts_all_the_same(self, five: Solo) -> None:
        self.flap(five, "b", "a", 10_000)
        five.core._suspect(five["a"], five["a"].incarnation, "me", five.now)
        assert five["a"].state == "suspect"

    def test_who_accuses_this_broker_without_end_does_not_drive_its_incarnation_up_without_end(
        self, five: Solo
    ) -> None:
        for incarnation in range(10_000):
            five.core.on_message("b", Gossip([Rumor("me", incarnation, "dead")]), five.now)
        assert five.core.counters["refutations"] == CHANGES_MAX
        assert five.core.incarnation <= CHANGES_MAX
        assert len(five.events()) <= LINES_MAX + 1
        five.core.on_message("c", Gossip([Rumor("me", five.core.incarnation, "suspect")]), five.now)
        assert five.core.counters["refutations"] == CHANGES_MAX + 1

    def test_a_line_in_a_period_says_how_much_was_left_out(self, five: Solo) -> None:
        self.flap(five, "b", "a", 10_000)
        five.events()
        five.core._events.on_timer(five.now + 60.0)
        assert any("more lines like this of a: a is dead" in text for text in five.events())

    def test_false_certificates_cost_a_bounded_number_of_checks_of_each_sender(self, solo: Callable[..., Solo]) -> None:
        me = solo("a", "b")
        checked: list[str] = []
        admit = me.admit
        me.admit = lambda name, certificate, now: checked.append(name) or admit(name, certificate, now)
        me.hear("a", Sync([Rumor(f"x{number}", 0, "alive", "", b"forged") for number in range(10_000)]))
        assert len(checked) == FALSE_MAX
        assert me.core.counters["unknown"] == 10_000
        me.tell("a", "y", 0, "alive", certificate=b"valid for y")
        assert "y" not in me.core.members
        me.tell("b", "y", 0, "alive", certificate=b"valid for y")
        assert "y" in me.core.members
        me.core._scrutiny._period_ends_at = me.now
        me.core.on_timer(me.now)
        me.tell("a", "z", 0, "alive", certificate=b"valid for z")
        assert "z" in me.core.members
