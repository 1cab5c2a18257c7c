"""Where and when a broker is connected to: addresses, pauses, and what makes a pause shorter."""

import random
from typing import Any

import pytest

from braidmq.core.events.event import WARNING
from braidmq.core.links.dialing import AGGRIEVED_S, AGGRIEVED_S_MAX, LASTED_S, PARDON_S, SLOW_S, TARGET_S_MAX, Dialing
from braidmq.core.links.link import Close, Failure, Link, LinkState, Open, Resolve
from braidmq.core.links.links import HASTE_S_MAX, TICK_S, Links
from braidmq.settings import Settings
from braidmq.wire import control
from tests.support.rigs.node_rig import NODE, START, Broker, NodeRig, address, verify

ONE, TWO, THREE = "tcp://1.1.1.1:1", "tcp://2.2.2.2:1", "tcp://3.3.3.3:1"


class TestDialing:
    """By itself, with one link."""

    def link(self) -> Link:
        return Link(address("a"), START)

    def dialing(self, settings: Settings | None = None) -> Dialing:
        return Dialing(settings or Settings(), random.Random(1))

    def test_round_begins_with_a_lookup(self) -> None:
        dialing, link = self.dialing(), self.link()
        dialing.connect(link, START)
        assert link.state is LinkState.CONNECTING
        assert dialing.on_resolved(link, [ONE, TWO], START + 1.0)
        assert (link.targets, link.since) == ([TWO], START + 1.0)
        dialing.close(link)
        assert dialing.actions == [Resolve("a", ("tcp://a:1",)), Open("a", ONE, link.address.key), Close("a")]

    def test_lookup_that_finds_nothing_ends_the_attempt_unless_an_address_has_worked(self) -> None:
        dialing, link = self.dialing(), self.link()
        dialing.connect(link, START)
        assert not dialing.on_resolved(link, [], START)
        link.target = ONE
        dialing.on_success(link)
        assert dialing.on_resolved(link, [], START)
        assert link.target == ONE

    @pytest.mark.parametrize(
        ("met", "resolving", "why"),
        [
            (False, False, Failure.NO_ANSWER),
            (True, False, Failure.MUTE),
            (False, True, Failure.UNRESOLVED),
        ],
    )
    def test_attempt_that_outlasts_its_time_has_failed(self, met: bool, resolving: bool, why: Failure) -> None:
        dialing, link = self.dialing(Settings(handshake_s_max=5.0)), self.link()
        dialing.connect(link, START)
        link.met, link.resolving = met, resolving
        assert dialing.why_late(link, START + 5.0) is None
        assert link.slow
        assert dialing.why_late(link, START + 5.1) is why

    def test_attempt_is_slow_long_before(self) -> None:
        dialing, link = self.dialing(), self.link()
        dialing.connect(link, START)
        dialing.why_late(link, START + SLOW_S)
        assert not link.slow
        dialing.why_late(link, START + SLOW_S + 0.1)
        assert link.slow

    @pytest.mark.parametrize(
        ("failure", "lasted_s", "failures"),
        [
            (None, 0.0, 1),
            (Failure.DRAINING, LASTED_S, 1),
            (Failure.DRAINING, LASTED_S / 2, 6),
            (Failure.CLOSED, LASTED_S, 6),
            (Failure.CLOSED, 60.0, 1),
            (Failure.FLOODED, 600.0, 6),
            (Failure.UNASKED, 600.0, 6),
        ],
    )
    def test_session_that_has_lasted_ends_the_growth_of_pauses(
        self, failure: Failure | None, lasted_s: float, failures: int
    ) -> None:
        dialing, link = self.dialing(Settings(reconnect_s_max=60.0)), self.link()
        link.failures = 5
        dialing.pause(link, failure, START + lasted_s, was_open=True)
        assert link.failures == failures

    def test_broker_that_was_left_for_what_it_sends_is_left_alone_ever_longer_until_pardoned(self) -> None:
        dialing, link = self.dialing(Settings(reconnect_s=0.1, reconnect_s_max=0.1)), self.link()
        now, pauses = START, []
        for _ in range(6):
            dialing.pause(link, Failure.NONSENSE, now, was_open=True)
            pauses.append(link.wake_at - now)
            now = link.wake_at
        assert pauses == [AGGRIEVED_S, 2 * AGGRIEVED_S, 4 * AGGRIEVED_S, 8 * AGGRIEVED_S] + 2 * [AGGRIEVED_S_MAX]
        now += PARDON_S + 0.1
        dialing.pause(link, Failure.NONSENSE, now, was_open=True)
        assert link.wake_at == now + AGGRIEVED_S

    def test_only_who_waits_is_hastened_and_never_put_off(self) -> None:
        dialing, link = self.dialing(), self.link()
        link.wake_at = START + 10.0
        dialing.hasten(link, START + 20.0)
        assert link.wake_at == START + 10.0
        dialing.hasten(link, START + 5.0)
        assert link.wake_at == START + 5.0
        dialing.connect(link, START)
        dialing.hasten(link, START)
        assert link.wake_at == START + 5.0


class TestAddresses:
    def broker(self, rig: NodeRig, *found: str, refusal: Failure | None = Failure.UNREACHABLE) -> Broker:
        """Return a broker behind a name with these addresses, which the node has just begun to connect to."""
        rig.found["a"] = list(found)
        broker = rig.add(address("a", "tcp://a.example:1"))
        broker.refusal = refusal
        rig.advance(0.0)
        return broker

    def test_are_looked_up_before_each_round(self, make: Any) -> None:
        rig = make(connect=False, settings=Settings(reconnect_s=0.1, reconnect_s_max=0.1))
        broker = self.broker(rig, ONE)
        rig.found["a"] = [TWO, THREE]
        rig.advance(1.0)
        assert broker.opened[:5] == [ONE, TWO, THREE, TWO, THREE]
        assert rig.lookups == ["a"] * (1 + (len(broker.opened)) // 2)

    def test_last_good_one_is_tried_although_dns_knows_nothing_now(self, make: Any) -> None:
        rig = make(connect=False)
        broker = self.broker(rig, ONE, TWO, refusal=None)
        assert broker.link.state is LinkState.UP
        rig.found["a"] = []
        broker.die()
        rig.advance(0.3)
        assert broker.opened == [ONE, ONE]
        assert broker.link.state is LinkState.UP

    def test_last_good_one_is_tried_although_the_lookup_hangs(self, links: Links) -> None:
        links.learn(address("a"), START)
        link = links.links["a"]
        link.last_good = ONE
        links.on_timer(START)
        now = START + Settings().handshake_s_max + TICK_S
        links.on_timer(now)
        assert links.take_actions() == [Resolve("a", ("tcp://a:1",)), Open("a", ONE, link.address.key)]
        links.on_resolved("a", [TWO], now)
        assert link.target == ONE

    def test_failure_of_each_is_told_once(self, links: Links) -> None:
        links.learn(address("a"), START)
        for attempt in range(10):
            now = START + 10.0 * attempt
            links.on_timer(now)
            links.on_resolved("a", [ONE, TWO], now)
            for failure in (Failure.UNREACHABLE, Failure.NOT_THIS_BROKER):
                links.on_failed("a", failure, now)
                links.on_timer(now + TICK_S)
        assert len([event for event in links.events.take() if event.level == WARNING]) == 2

    def test_are_tried_in_turn_without_a_pause_inside_a_round(self, make: Any) -> None:
        rig = make(connect=False, settings=Settings(reconnect_s=60.0, reconnect_s_max=60.0))
        broker = self.broker(rig, ONE, TWO, THREE)
        rig.advance(3 * TICK_S)
        assert broker.opened == [ONE, TWO, THREE]
        assert len(rig.lookups) == 1
        assert broker.link.failures == 1

    def test_pauses_between_rounds_grow(self) -> None:
        """However many addresses a round has: the pause after the third round is drawn from 4 x reconnect_s."""
        pauses: list[list[float]] = [[], [], [], []]
        for seed in range(40):
            settings = Settings(reconnect_s=0.1, reconnect_s_max=0.4)
            links = Links(settings, random.Random(seed), verify, own_name=NODE, software="", now=START)
            links.learn(address("a"), START)
            now, link = START, links.links["a"]
            for round_ in pauses:
                now = max(now + TICK_S, link.wake_at)
                links.on_timer(now)
                links.on_resolved("a", [ONE, TWO], now)
                links.on_failed("a", Failure.UNREACHABLE, now)
                assert link.wake_at == now, "no pause inside a round"
                now += TICK_S
                links.on_timer(now)
                links.on_failed("a", Failure.UNREACHABLE, now)
                round_.append(link.wake_at - now)
                links.validate_state()
        for limit, drawn in zip((0.1, 0.2, 0.4, 0.4), pauses, strict=True):
            assert 0.7 * limit < max(drawn) <= limit

    def test_silent_one_is_given_little_time_while_others_are_left(self, make: Any) -> None:
        rig = make(connect=False, settings=Settings(handshake_s_max=10.0))
        rig.found["a"] = [ONE, TWO]
        broker = rig.add(address("a"))
        broker.accepts = False
        rig.advance(TARGET_S_MAX)
        assert broker.opened == [ONE]
        rig.advance(3 * TICK_S)
        assert broker.opened == [ONE, TWO]
        rig.advance(9.8)
        assert broker.link.state is LinkState.CONNECTING, "the last one has all the time"
        assert broker.opened == [ONE, TWO]
        rig.advance(0.3)
        assert broker.link.failure is Failure.NO_ANSWER

    def test_time_of_the_lookup_is_not_taken_from_the_first_one(self, make: Any) -> None:
        rig = make(connect=False)
        rig.found["a"] = None
        broker = rig.add(address("a"))
        broker.accepts = False
        rig.advance(5.0)
        rig.core.on_resolved("a", [ONE, TWO], rig.now)
        rig.pump()
        rig.advance(TARGET_S_MAX - TICK_S)
        assert broker.opened == [ONE]
        rig.advance(3 * TICK_S)
        assert broker.opened == [ONE, TWO]

    def test_one_that_worked_last_comes_first(self, make: Any) -> None:
        rig = make(connect=False, settings=Settings(reconnect_s=0.1, reconnect_s_max=0.1))
        broker = self.broker(rig, ONE, TWO, THREE)
        broker.refusal = None
        rig.advance(2 * TICK_S)
        assert broker.link.state is LinkState.UP
        broker.die()
        rig.advance(0.3)
        assert broker.opened == [ONE, TWO, TWO]
        assert broker.link.targets == []
        rig.found["a"] = [ONE, THREE]
        broker.die()
        rig.advance(0.3)
        assert broker.opened[3:] == [ONE], "it is no address of this broker any more"

    def test_same_one_is_tried_once_in_a_round(self, make: Any) -> None:
        rig = make(connect=False, settings=Settings(reconnect_s=60.0, reconnect_s_max=60.0))
        broker = self.broker(rig, ONE, TWO, ONE, TWO)
        rig.advance(5 * TICK_S)
        assert broker.opened == [ONE, TWO]

    def test_name_without_any_is_told_and_looked_up_again(self, make: Any) -> None:
        rig = make(connect=False, settings=Settings(reconnect_s=0.1, reconnect_s_max=0.1))
        broker = self.broker(rig)
        assert broker.link.state is LinkState.WAITING
        assert broker.link.failure is Failure.UNRESOLVED
        assert not broker.opened
        assert rig.core.links.diagnosis() == f"a at tcp://a.example:1: {Failure.UNRESOLVED}"
        broker.refusal = None
        rig.found["a"] = [ONE]
        rig.advance(0.3)
        assert broker.link.state is LinkState.UP

    @pytest.mark.parametrize("found", [[ONE, TWO], []])
    def test_answer_of_a_lookup_that_outlasts_its_attempt_is_used_at_once(self, make: Any, found: list[str]) -> None:
        rig = make(connect=False, settings=Settings(handshake_s_max=1.0, reconnect_s=60.0, reconnect_s_max=60.0))
        rig.found["a"] = None
        broker = rig.add(address("a"))
        rig.advance(1.2)
        assert broker.link.failure is Failure.UNRESOLVED
        assert broker.link.state is LinkState.WAITING
        rig.core.on_resolved("a", found, rig.now)
        rig.core.on_resolved("a", [THREE], rig.now)
        rig.core.on_resolved("nobody", [ONE], rig.now)
        rig.pump()
        assert not broker.opened
        rig.advance(2 * TICK_S)
        assert broker.opened == found[:1]
        assert rig.lookups == ["a"]

    def test_second_answer_of_a_lookup_is_dropped(self, make: Any) -> None:
        rig = make(connect=False)
        broker = self.broker(rig, ONE, refusal=None)
        rig.core.on_resolved("a", [TWO], rig.now)
        rig.pump()
        assert broker.link.state is LinkState.UP
        assert broker.opened == [ONE]
        broker.accepts = False
        broker.die()
        rig.advance(0.3)
        rig.core.on_resolved("a", [TWO], rig.now)
        rig.pump()
        assert broker.opened == [ONE, ONE]
        assert broker.link.targets == []


class TestReconnect:
    def test_comes_back_after_the_first_pause_at_most(self, make: Any) -> None:
        for seed in range(10):
            rig = make("a", seed=seed, settings=Settings(reconnect_s=0.2))
            rig["a"].die()
            rig.advance(0.2 + 0.06)
            assert rig["a"].link.state is LinkState.UP

    def test_pauses_grow_with_full_jitter_and_are_bounded(self) -> None:
        pauses: dict[int, list[float]] = {}
        for seed in range(60):
            links = Links(
                Settings(reconnect_s=0.1, reconnect_s_max=1.0),
                random.Random(seed),
                verify,
                own_name=NODE,
                software="",
                now=START,
            )
            links.learn(address("a"), START)
            now = START
            for round_ in range(8):
                now = max(now, links.links["a"].wake_at) + 0.1
                links.on_timer(now)
                links.on_failed("a", Failure.UNREACHABLE, now)
                pauses.setdefault(round_, []).append(links.links["a"].wake_at - now)
                links.validate_state()
        for round_, limit in enumerate((0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0, 1.0)):
            assert max(pauses[round_]) <= limit + 1e-9
            assert max(pauses[round_]) > 0.7 * limit
            assert min(pauses[round_]) < 0.3 * limit

    def test_lasting_success_resets_the_pause(self, make: Any) -> None:
        rig = make("a", settings=Settings(reconnect_s=0.1, reconnect_s_max=60.0))
        rig["a"].crash()
        rig.advance(30.0)
        rig["a"].refusal = None
        rig.advance(120.2)
        rig["a"].die()
        rig.advance(0.2)
        assert rig["a"].link.state is LinkState.UP

    def test_failure_is_told_once_as_a_warning(self, links: Links) -> None:
        links.learn(address("a"), START)
        for attempt in range(5):
            links.on_timer(START + 10 * attempt)
            links.on_failed("a", Failure.UNREACHABLE, START + 10 * attempt)
        assert [event.level for event in links.events.take()] == [30, 10, 10, 10, 10]

    def test_unsent_messages_are_handed_back(self, links: Links) -> None:
        links.learn(address("a"), START)
        links.on_timer(START)
        links.on_connected("a", START)
        links.on_failed("a", Failure.CLOSED, START)
        assert len(links.links["a"].unsent) == 1
        assert not links.take_sends()


class TestHaste:
    """A broker whose pause has grown, and of which another one says that it can be reached."""

    def rig(self, make: Any) -> NodeRig:
        rig: NodeRig = make("a", "b", connect=False, settings=Settings(reconnect_s=60.0, reconnect_s_max=600.0))
        rig["b"].refusal = Failure.UNREACHABLE
        rig.advance(1.0)
        rig["b"].link.wake_at = rig.now + 100.0
        rig["b"].refusal = None
        return rig

    def listed(self, *, connected: bool = True, state: Any = "alive") -> control.Peers:
        return control.Peers([control.Peer(b"a", connected=True), control.Peer(b"b", connected, state)])

    def test_is_tried_soon_if_another_one_is_connected_to_it(self, make: Any) -> None:
        rig = self.rig(make)
        rig["a"].say(self.listed())
        rig.advance(HASTE_S_MAX + TICK_S)
        assert rig["b"].link.state is LinkState.UP

    @pytest.mark.parametrize(
        "row", [{"connected": False}, {"state": "suspect"}, {"state": "leaving"}, {"state": "dead"}]
    )
    def test_is_not_tried_before_that(self, make: Any, row: Any) -> None:
        rig = self.rig(make)
        rig["a"].say(self.listed(**row))
        rig.advance(HASTE_S_MAX + 1.0)
        assert len(rig["b"].opened) == 1
        rig["a"].say(self.listed())
        rig.advance(HASTE_S_MAX + TICK_S)
        assert rig["b"].link.state is LinkState.UP

    def test_list_of_a_new_session_is_news(self, make: Any) -> None:
        rig = self.rig(make)
        rig["a"].say(self.listed())
        rig.advance(HASTE_S_MAX + TICK_S)
        rig["b"].die()
        rig["a"].die()
        rig.core.links.retry_soon("a", rig.now)
        rig.pump()
        rig["b"].link.wake_at = rig.now + 100.0
        rig.advance(2 * TICK_S)
        rig["a"].say(self.listed())
        rig.advance(HASTE_S_MAX + TICK_S)
        assert rig["b"].link.state is LinkState.UP

    def test_old_news_is_no_reason(self, make: Any) -> None:
        rig = self.rig(make)
        rig["b"].refusal = Failure.UNREACHABLE
        for _ in range(5):
            rig["a"].say(self.listed())
            rig.advance(HASTE_S_MAX + 1.0)
            rig["b"].link.wake_at = rig.now + 100.0
        assert len(rig["b"].opened) == 2
