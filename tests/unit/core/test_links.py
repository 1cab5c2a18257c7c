import random
from collections.abc import Iterator
from typing import Any

import pytest

from braidmq.core.events import WARNING
from braidmq.core.link import Change, Close, Failure, LinkState, Open, Resolve
from braidmq.core.links import HASTE_S_MAX, REFUSED_MAX, TARGET_S_MAX, TICK_S, Links
from braidmq.settings import Settings
from braidmq.wire import control
from braidmq.wire.control import encode_control
from braidmq.wire.limits import BROKERS_MAX
from rigs.node_rig import NODE, START, Broker, NodeRig, address, verify


@pytest.fixture
def links() -> Iterator[Links]:
    links = Links(Settings(), random.Random(1), verify, own_name=NODE, software="test", now=START)
    yield links
    links.validate_state()


def peers(*certificates: bytes) -> control.Peers:
    return control.Peers([control.Peer(certificate) for certificate in certificates])


class TestConnect:
    def test_hello_is_the_first_message(self, make: Any) -> None:
        rig = make("a", connect=False)
        rig["a"].accepts = False
        rig.advance(0.1)
        assert not rig["a"].inbox
        rig["a"].handshake()
        assert rig["a"].inbox == [control.Hello("rig")]

    def test_welcome_opens_the_session(self, make: Any) -> None:
        rig = make("a", connect=False)
        rig["a"].accepts = False
        rig.advance(0.1)
        rig["a"].handshake()
        assert rig["a"].link.state is LinkState.CONNECTING
        rig["a"].welcome()
        assert rig["a"].link.state is LinkState.UP
        assert rig["a"].link.epoch == 1
        assert "connected to a" in rig.log

    def test_second_welcome_changes_nothing(self, make: Any) -> None:
        rig = make("a")
        rig["a"].say(control.Welcome("a", NODE, 60_000, 1))
        assert rig["a"].link.epoch == 1
        assert rig.core.links.payload_bytes_max == Settings().payload_bytes_max

    def test_connection_without_a_welcome_is_given_up(self, make: Any) -> None:
        rig = make("a", connect=False, settings=Settings(handshake_s_max=2.0))
        rig["a"].accepts = False
        rig.advance(1.9)
        assert len(rig["a"].opened) == 1
        rig.advance(0.4)
        assert rig["a"].link.failure is Failure.UNREACHABLE
        assert len(rig["a"].opened) == 2

    def test_own_name_is_ignored(self, links: Links) -> None:
        links.learn(address(NODE), START)
        assert not links.links

    def test_newer_certificate_is_used_at_the_next_connection(self, make: Any) -> None:
        rig = make("a")
        rig.core.learn(address("a", "tcp://moved:1", serial=2), rig.now)
        assert rig["a"].link.state is LinkState.UP
        rig["a"].die()
        rig.advance(0.3)
        assert rig["a"].opened[-1] == "tcp://moved:1"


ONE, TWO, THREE = "tcp://1.1.1.1:1", "tcp://2.2.2.2:1", "tcp://3.3.3.3:1"


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
        assert broker.link.failure is Failure.UNREACHABLE

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
        rig["a"].link.wake_at = rig.now
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


class TestForgotten:
    """Brokers that were learned and that nobody lists any more; the owner decides when to ask for them."""

    def names(self, rig: NodeRig) -> list[str]:
        return [link.name for link in rig.core.links.unlisted(rig.now)]

    def test_learned_one_that_no_connected_broker_lists(self, make: Any) -> None:
        rig = make("a")
        rig["a"].say(peers(b"a", b"b"))
        rig.advance(0.1)
        rig["b"].crash()
        assert self.names(rig) == []
        rig["a"].say(peers(b"a"))
        assert self.names(rig) == ["b"]
        rig.advance(10.0)
        assert list(rig.core.links.links) == ["a"]
        assert "b" not in rig.core.links.links

    def test_not_one_that_is_listed_by_any_connected_broker(self, make: Any) -> None:
        rig = make("a", "c")
        rig["a"].say(peers(b"a", b"b"))
        rig["c"].say(peers(b"a", b"b", b"c"))
        rig.advance(0.1)
        rig["b"].crash()
        rig["a"].say(peers(b"a"))
        rig.advance(10.0)
        assert "b" in rig.core.links.links
        rig["c"].crash()
        rig.advance(10.0)
        assert "b" not in rig.core.links.links, "who is gone lists nobody"

    def test_not_one_that_is_listed_as_suspect_but_one_that_is_dead(self, make: Any) -> None:
        rig = make("a")
        rig["a"].say(peers(b"a", b"b"))
        rig.advance(0.1)
        rig["b"].crash()
        for state in ("suspect", "leaving"):
            rig["a"].say(control.Peers([control.Peer(b"a"), control.Peer(b"b", state=state)]))
            assert self.names(rig) == []
        rig["a"].say(control.Peers([control.Peer(b"a"), control.Peer(b"b", state="dead")]))
        assert self.names(rig) == ["b"]

    def test_not_one_that_was_never_tried_unless_it_never_will_be(self, links: Links) -> None:
        links.learn(address("a"), START, configured=True)
        links.on_timer(START)
        links.on_resolved("a", [ONE], START)
        links.on_control(links.links["a"], encode_control(control.Welcome("a", NODE, 1000, 5000), 0), START)
        links.on_control(links.links["a"], encode_control(peers(b"a"), 0), START)
        links.learn(address("remembered"), START)
        assert links.unlisted(START) == []
        links.links["remembered"].wanted = False
        assert links.unlisted(START) == []
        assert links.unlisted(START + 59.9) == []
        assert links.unlisted(START + 60.0) == [links.links["remembered"]]

    def test_not_at_the_word_of_a_broker_that_has_just_started_and_knows_nobody_yet(self, make: Any) -> None:
        rig = make("a", settings=Settings(tombstone_s=20.0))
        rig["a"].say(peers(b"a", b"b"))
        rig.advance(0.1)
        rig["b"].crash()
        rig["a"].crash()
        rig.advance(1.0)
        rig["a"].refusal = None
        rig.advance(6.0)
        assert rig["a"].link.state is LinkState.UP
        rig["a"].say(peers(b"a"))
        rig.advance(19.0)
        assert "b" in rig.core.links.links
        rig["a"].say(peers(b"a", b"b"))
        rig.advance(0.1)
        rig["a"].say(peers(b"a"))
        rig.advance(0.5)
        assert "b" not in rig.core.links.links, "now it knows"

    def test_one_that_nobody_lists_after_a_while(self, make: Any) -> None:
        rig = make("a", settings=Settings(tombstone_s=20.0))
        rig.core.remember(b"b", rig.now)
        rig.advance(0.0)
        rig["b"].crash()
        rig["a"].say(peers(b"a"))
        rig.advance(19.0)
        assert "b" in rig.core.links.links
        rig.advance(7.0)
        assert "b" not in rig.core.links.links

    def test_not_one_that_is_open(self, make: Any) -> None:
        rig = make("a")
        rig["a"].say(peers(b"a", b"b"))
        rig.advance(0.1)
        rig["a"].say(peers(b"a"))
        rig.advance(5.0)
        assert rig["b"].link.state is LinkState.UP

    def test_not_one_that_is_configured(self, make: Any) -> None:
        rig = make("a", "b")
        rig["a"].say(peers(b"a"))
        rig["b"].crash()
        rig.advance(30.0)
        assert "b" in rig.core.links.links

    def test_not_one_that_is_configured_though_others_told_of_it_first(self, make: Any) -> None:
        rig = make("a")
        rig["a"].say(peers(b"a", b"b"))
        rig.advance(0.1)
        rig.core.learn(address("b"), rig.now)
        rig["a"].say(peers(b"a"))
        rig["b"].crash()
        rig.advance(30.0)
        assert "b" in rig.core.links.links

    def test_nobody_while_there_is_no_list(self, make: Any) -> None:
        rig = make("a")
        rig["a"].say(peers(b"a", b"b"))
        rig.advance(0.1)
        rig["b"].crash()
        rig["a"].crash()
        rig.advance(30.0)
        assert sorted(rig.core.links.links) == ["a", "b"]

    def test_open_one_is_closed_and_its_owner_told(self, links: Links) -> None:
        links.learn(address("a"), START)
        links.on_timer(START)
        links.on_resolved("a", [ONE], START)
        link, known = links.links["a"], links.known_version
        links.on_control(link, encode_control(control.Welcome("a", NODE, 1000, 5000), 0), START)
        links.take_actions()
        links.take_changes()
        links.forget(link, START)
        assert links.take_actions() == [Close("a")]
        assert links.take_changes() == [(link, Change.DOWN), (link, Change.GONE)]
        assert not links.links
        assert links.known_version == known + 1
        links.on_resolved("a", [TWO], START)
        assert links.take_actions() == []

    def test_is_learned_anew_when_it_is_listed_again(self, make: Any) -> None:
        rig = make("a")
        rig["a"].say(peers(b"a", b"b"))
        rig.advance(0.1)
        rig["b"].crash()
        rig["a"].say(peers(b"a"))
        rig.advance(10.0)
        assert "b" not in rig.core.links.links
        rig["b"].refusal = None
        rig["a"].say(peers(b"a", b"b"))
        rig.advance(0.1)
        assert rig["b"].link.state is LinkState.UP


class TestLeave:
    def test_broker_is_told_and_the_session_goes_on(self, make: Any) -> None:
        rig = make("a")
        links, link = rig.core.links, rig["a"].link
        links.leave(link, rig.now)
        links.leave(link, rig.now)
        rig.pump()
        assert rig["a"].take(control.Goodbye) == [control.Goodbye("draining")]
        assert link.state is LinkState.DRAINING
        assert rig["a"].connected

    def test_close_ends_it_without_a_failure(self, make: Any) -> None:
        rig = make("a")
        link = rig["a"].link
        rig.core.links.leave(link, rig.now)
        rig.core.links.close(link, rig.now)
        assert Close("a") in rig.core.links._actions
        rig.pump()
        assert link.state is LinkState.WAITING
        assert link.failure is None
        assert not rig["a"].connected

    def test_link_that_is_not_open_is_not_left(self, make: Any) -> None:
        rig = make("a", connect=False)
        rig.core.links.leave(rig["a"].link, rig.now)
        rig.core.links.close(rig["a"].link, rig.now)
        rig.pump()
        assert not rig["a"].link.leaving
        assert rig["a"].inbox == []

    def test_new_session_is_not_left(self, make: Any) -> None:
        rig = make("a")
        rig.core.links.leave(rig["a"].link, rig.now)
        rig.pump()
        rig["a"].die()
        rig.advance(0.3)
        assert rig["a"].link.state is LinkState.UP
        assert not rig["a"].link.leaving

    def test_unwanted_broker_is_not_connected_to(self, links: Links) -> None:
        links.learn(address("a"), START)
        links.links["a"].wanted = False
        links.on_timer(START)
        assert links.take_actions() == []
        links.links["a"].wanted = True
        links.on_timer(START + TICK_S)
        assert links.take_actions() == [Resolve("a", ("tcp://a:1",))]


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


class TestHeartbeat:
    def test_is_said_when_nothing_else_is(self, make: Any) -> None:
        rig = make("a")
        rig["a"].take(control.Hello)
        rig.advance(10.0)
        assert 8 <= len(rig["a"].take(control.Heartbeat)) <= 10

    def test_is_not_said_while_there_is_traffic(self, make: Any) -> None:
        rig = make("a")
        rig.advance(1.0)
        rig["a"].take(control.Heartbeat)
        for _ in range(20):
            rig["a"].reply(rig.call() and rig["a"].request())
            rig.advance(0.5)
        assert not rig["a"].take(control.Heartbeat)

    @pytest.mark.parametrize("after_s", [0.05, 0.3, 0.7, 0.95])
    def test_follows_one_interval_after_the_last_message(self, make: Any, after_s: float) -> None:
        rig = make("a")
        rig.advance(3.0 + after_s)
        rig.cancel(rig.call())
        rig["a"].inbox.clear()
        rig.advance(1.0 + 0.1)
        assert rig["a"].take(control.Heartbeat)

    def test_broker_tells_the_interval(self, make: Any) -> None:
        rig = make("a", connect=False)
        rig["a"].heartbeat_ms = 4_000
        rig.advance(20.0)
        assert 4 <= len(rig["a"].take(control.Heartbeat)) <= 5

    def test_silence_makes_a_broker_suspect_and_then_dead(self, make: Any) -> None:
        rig = make("a", "b")
        rig["a"].beats = False
        rig["a"].accepts = False
        rig.advance(1.45)
        assert rig["a"].link.state is LinkState.UP
        rig.advance(0.15)
        assert rig["a"].link.state is LinkState.SUSPECT
        rig.advance(1.35)
        assert rig["a"].link.state is LinkState.SUSPECT
        rig.advance(0.15)
        assert not rig["a"].link.open
        assert rig["a"].link.failure is Failure.SILENT
        assert rig["b"].link.state is LinkState.UP

    def test_slower_interval_gives_more_time(self, make: Any) -> None:
        rig = make("a", connect=False)
        rig["a"].heartbeat_ms = 2_000
        rig.advance(0.0)
        rig["a"].beats = False
        rig.advance(2.9)
        assert rig["a"].link.state is LinkState.UP
        rig.advance(0.2)
        assert rig["a"].link.state is LinkState.SUSPECT

    def test_anything_heard_ends_the_suspicion(self, make: Any) -> None:
        rig = make("a")
        rig["a"].beats = False
        rig.advance(2.0)
        rig["a"].say(control.Services([]))
        assert rig["a"].link.state is LinkState.UP

    def test_silence_of_a_stopped_process_is_not_the_brokers(self, make: Any) -> None:
        rig = make("a")
        rig.advance(0.5)
        rig.jump(30.0)
        assert rig["a"].link.state is LinkState.UP
        rig["a"].beats = False
        rig.advance(1.7)
        assert rig["a"].link.state is LinkState.SUSPECT
        rig["a"].accepts = False
        rig.advance(1.5)
        assert rig["a"].link.failure is Failure.SILENT


class TestGoodbye:
    def test_draining_is_noted_and_the_session_goes_on(self, make: Any) -> None:
        rig = make("a")
        rig["a"].say(control.Goodbye("draining"))
        assert rig["a"].link.state is LinkState.DRAINING
        assert rig["a"].take(control.Goodbye) == [control.Goodbye("noted")]

    def test_draining_broker_stays_so_whatever_it_says(self, make: Any) -> None:
        rig = make("a")
        rig["a"].say(control.Goodbye("draining"))
        rig.advance(5.0)
        assert rig["a"].link.state is LinkState.DRAINING

    def test_silent_draining_broker_is_given_up(self, make: Any) -> None:
        rig = make("a")
        rig["a"].say(control.Goodbye("draining"))
        rig["a"].beats = rig["a"].accepts = False
        rig.advance(3.2)
        assert rig["a"].link.failure is Failure.SILENT

    @pytest.mark.parametrize("reason", ["no-session", "refused"])
    def test_end_of_the_session_is_followed_by_a_new_one(self, make: Any, reason: Any) -> None:
        rig = make("a")
        rig["a"].say(control.Goodbye(reason, "because"))
        assert not rig["a"].connected
        assert rig["a"].link.failure is Failure.TURNED_AWAY
        assert ("a refuses the session: because" in rig.log) == (reason == "refused")
        rig.advance(0.3)
        assert rig["a"].link.state is LinkState.UP
        assert rig["a"].link.epoch == 2

    def test_ended_by_a_broker_that_stops_is_no_trouble(self, make: Any) -> None:
        rig = make("a", settings=Settings(reconnect_s=0.1, reconnect_s_max=60.0))
        rig["a"].link.failures = 5
        rig["a"].say(control.Goodbye("draining"))
        rig["a"].say(control.Goodbye("ended"))
        assert not rig["a"].connected
        assert rig["a"].link.failure is Failure.DRAINING
        assert rig["a"].link.failures == 1, "a planned end counts for nothing"
        rig.advance(0.2)
        assert rig["a"].link.state is LinkState.UP
        assert rig["a"].link.epoch == 2

    def test_ended_instead_of_a_welcome_backs_off(self, make: Any) -> None:
        rig = make("a", connect=False)
        rig["a"].accepts = False
        for _ in range(4):
            while not rig["a"].connected:
                rig.advance(0.1)
            rig["a"].say(control.Goodbye("ended"))
        assert rig["a"].link.failures == 4
        assert rig["a"].link.failure is Failure.DRAINING

    def test_refusal_instead_of_a_welcome_backs_off(self, make: Any) -> None:
        rig = make("a", connect=False)
        rig["a"].accepts = False
        for _ in range(6):
            while not rig["a"].connected:
                rig.advance(0.1)
            rig["a"].say(control.Goodbye("refused"))
        assert rig["a"].link.failures == 6

    def test_noted_is_kept_for_the_session(self, make: Any) -> None:
        rig = make("a")
        rig["a"].say(control.Goodbye("noted"))
        assert rig["a"].link.noted
        rig["a"].die()
        rig.advance(0.3)
        assert not rig["a"].link.noted

    def test_nothing_is_answered_into_a_session_that_is_over(self, make: Any) -> None:
        rig = make("a")
        rig["a"].accepts = False
        rig["a"].say(control.Goodbye("no-session"), control.Goodbye("draining"), control.Services(["echo"]))
        assert not rig["a"].take(control.Goodbye)
        assert not rig["a"].link.services


class TestPeers:
    def test_brokers_that_others_tell_of_are_connected_to(self, make: Any) -> None:
        rig = make("a")
        rig["a"].say(peers(b"a", b"b", b"c"))
        rig.advance(0.1)
        assert sorted(rig.core.links.links) == ["a", "b", "c"]
        assert rig["b"].link.state is LinkState.UP

    def test_forged_certificate_is_refused_and_told_once(self, make: Any) -> None:
        rig = make("a")
        for _ in range(3):
            rig["a"].say(peers(b"a forged one", b"b"))
        assert sorted(rig.core.links.links) == ["a", "b"]
        assert sum("certificate is refused" in line for line in rig.log) == 1

    def test_this_member_itself_is_ignored(self, make: Any) -> None:
        rig = make("a")
        rig["a"].say(peers(NODE.encode()))
        assert list(rig.core.links.links) == ["a"]

    def test_table_of_brokers_is_bounded(self, links: Links) -> None:
        for number in range(BROKERS_MAX + 5):
            links.learn(address(f"b{number}"), START)
        assert len(links.links) == BROKERS_MAX
        assert any("is ignored" in event.text for event in links.events.take())

    def test_table_of_forged_certificates_is_bounded(self, links: Links) -> None:
        links.learn(address("a"), START)
        link = links.links["a"]
        for start in range(0, BROKERS_MAX + 500, REFUSED_MAX):
            forged = [b"forged %d" % number for number in range(start, start + REFUSED_MAX)]
            links.on_control(link, encode_control(peers(*forged), 0), START)
        assert len(links._rejected) == BROKERS_MAX
        assert all(len(digest) == 16 for digest in links._rejected)

    def test_list_with_many_forged_certificates_is_not_looked_at_further(self, links: Links) -> None:
        links.learn(address("a"), START)
        forged = [b"forged %d" % number for number in range(REFUSED_MAX)]
        links.on_control(links.links["a"], encode_control(peers(*forged, b"b"), 0), START)
        assert len(links._rejected) == REFUSED_MAX
        assert "b" not in links.links
        links.on_control(links.links["a"], encode_control(peers(*forged[1:], b"b"), 0), START)
        assert "b" in links.links

    def test_known_certificate_is_not_verified_again(self) -> None:
        verified = []

        def count(certificate: bytes) -> Any:
            verified.append(certificate)
            return verify(certificate)

        links = Links(Settings(), random.Random(1), count, own_name=NODE, software="", now=START)
        links.learn(address("a"), START)
        for _ in range(3):
            links.on_control(links.links["a"], encode_control(peers(b"a", b"b"), 0), START)
        assert verified == [b"b"]
        links.validate_state()


class TestTold:
    def test_diagnosis_names_every_broker_that_is_not_up(self, make: Any) -> None:
        rig = make("a", "b", "c", "d")
        rig["b"].accepts = False
        rig["b"].die(Failure.NOT_THIS_BROKER)
        rig["c"].say(control.Goodbye("draining"))
        rig["d"].beats = False
        rig.advance(2.0)
        assert rig.core.links.diagnosis() == (
            f"b at tcp://b:1: {Failure.NOT_THIS_BROKER}; c at tcp://c:1: it is draining; d at tcp://d:1: it is suspect"
        )
        assert rig.core.links.diagnosis("c") == "c at tcp://c:1: it is draining"
        assert rig.core.links.diagnosis("a") == ""

    def test_smallest_payload_limit_counts(self, make: Any) -> None:
        rig = make("a", "b", connect=False)
        rig["a"].payload_bytes_max = 5000
        assert rig.core.links.payload_bytes_max == Settings().payload_bytes_max
        rig.advance(0.1)
        assert rig.core.links.payload_bytes_max == 5000

    def test_malformed_message_is_told_once_per_session(self, make: Any) -> None:
        rig = make("a")
        for _ in range(3):
            rig["a"].say_bytes(b"\0\0\0\x0d\x10\x21\0\0\0\0\0\0\xc1")
        assert sum("not BRAID/1" in line for line in rig.log) == 1
        rig["a"].die()
        rig.advance(0.3)
        rig["a"].say_bytes(b"\0\0\0\x0d\x10\x21\0\0\0\0\0\0\xc1")
        assert sum("not BRAID/1" in line for line in rig.log) == 2

    def test_changes_and_actions_come_in_order(self, links: Links) -> None:
        links.learn(address("a"), START)
        links.on_timer(START)
        links.on_resolved("a", ["tcp://1.2.3.4:1"], START)
        welcome = encode_control(control.Welcome("a", NODE, 1000, 5000), 0)
        link = links.links["a"]
        links.on_control(link, welcome, START)
        links.on_control(link, encode_control(control.Services(["echo"]), 0), START)
        links.on_control(link, encode_control(control.Goodbye("no-session"), 0), START)
        assert links.take_actions() == [
            Resolve("a", ("tcp://a:1",)), Open("a", "tcp://1.2.3.4:1", address("a").key), Close("a"),
        ]  # fmt: skip
        assert [change for _, change in links.take_changes()] == [Change.UP, Change.SERVICES, Change.DOWN]
        assert links.version == 1 + 3, "it was learned, and three things happened"

    def test_refused_means_that_every_broker_refuses_this_key(self, make: Any) -> None:
        rig: NodeRig = make("a", "b", connect=False)
        assert not rig.core.links.refused
        rig["a"].refusal = rig["b"].refusal = Failure.NOT_REGISTERED
        rig.advance(0.1)
        assert rig.core.links.refused
        rig["b"].refusal = None
        rig.advance(3.0)
        assert not rig.core.links.refused
