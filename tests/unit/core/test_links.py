import random
from collections.abc import Iterator
from typing import Any

import pytest

from braidmq.core.links import BROKERS_MAX, Change, Close, Failure, Links, LinkState, Open
from braidmq.settings import Settings
from braidmq.wire import control
from braidmq.wire.control import encode_control
from rigs.node_rig import NODE, START, NodeRig, address, checked_rigs, verify


@pytest.fixture
def make() -> Iterator[Any]:
    with checked_rigs() as make:
        yield make


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

    def test_endpoints_are_tried_in_turn(self, make: Any) -> None:
        rig = make(connect=False)
        broker = rig.add(address("a", "tcp://one:1", "tcp://two:1", "tcp://three:1"))
        broker.refusal = Failure.UNREACHABLE
        rig.advance(20.0)
        assert broker.opened[:6] == ["tcp://one:1", "tcp://two:1", "tcp://three:1"] * 2

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
        forged = [b"forged %d" % number for number in range(BROKERS_MAX + 500)]
        links.on_control(link, encode_control(peers(*forged), 0), START)
        assert len(links._rejected) == BROKERS_MAX
        assert all(len(digest) == 16 for digest in links._rejected)

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
        welcome = encode_control(control.Welcome("a", NODE, 1000, 5000), 0)
        link = links.links["a"]
        links.on_control(link, welcome, START)
        links.on_control(link, encode_control(control.Services(["echo"]), 0), START)
        links.on_control(link, encode_control(control.Goodbye("no-session"), 0), START)
        assert [type(action) for action in links.take_actions()] == [Open, Close]
        assert [change for _, change in links.take_changes()] == [Change.UP, Change.SERVICES, Change.DOWN]
        assert links.version == 3

    def test_refused_means_that_every_broker_refuses_this_key(self, make: Any) -> None:
        rig: NodeRig = make("a", "b", connect=False)
        assert not rig.core.links.refused
        rig["a"].refusal = rig["b"].refusal = Failure.NOT_REGISTERED
        rig.advance(0.1)
        assert rig.core.links.refused
        rig["b"].refusal = None
        rig.advance(3.0)
        assert not rig.core.links.refused
