from typing import Any

import pytest

from braidmq.core.links.dialing import LASTED_S
from braidmq.core.links.link import Change, Close, Failure, LinkState, Open, Resolve
from braidmq.core.links.links import TICK_S, Links
from braidmq.settings import Settings
from braidmq.wire import control
from braidmq.wire.control import encode_control
from braidmq.wire.extension import INSTANCE_BYTES
from tests.support.rigs.node_rig import NODE, START, NodeRig, address


class TestConnect:
    def test_hello_is_the_first_message(self, make: Any) -> None:
        rig = make("a", connect=False)
        rig["a"].accepts = False
        rig.advance(0.1)
        assert not rig["a"].inbox
        rig["a"].handshake()
        (hello,) = rig["a"].inbox
        assert isinstance(hello, control.Hello)
        assert hello.software == "rig"
        assert len(hello.instance) == INSTANCE_BYTES

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
        assert rig["a"].link.failure is Failure.NO_ANSWER
        assert len(rig["a"].opened) == 2

    def test_how_far_a_connection_has_come_is_told_before_it_has_failed(self, make: Any) -> None:
        rig = make("a", connect=False, settings=Settings(handshake_s_max=2.0))
        rig["a"].accepts = False
        rig.advance(0.5)
        assert rig["a"].link.problem is None
        rig.advance(0.7)
        assert "no answer of any kind so far" in (rig["a"].link.problem or "")
        rig.core.on_reached("a")
        assert "it takes connections, but has not said anything" in rig.core.links.diagnosis()
        rig.advance(1.1)
        assert rig["a"].link.failure is Failure.MUTE
        rig["a"].accepts = True
        rig.advance(2.2)
        assert rig["a"].link.problem is None

    def test_attempt_knows_nothing_of_the_one_before(self, make: Any) -> None:
        rig = make("a", connect=False, settings=Settings(handshake_s_max=2.0))
        rig["a"].accepts = False
        rig.advance(0.1)
        rig.core.on_reached("a")
        rig.advance(2.2)
        assert rig["a"].link.state is LinkState.CONNECTING
        rig.advance(2.2)
        assert rig["a"].link.failure is Failure.NO_ANSWER

    @pytest.mark.parametrize(
        ("failure", "likely"), [(Failure.HUNG_UP, Failure.NOT_THIS_BROKER), (Failure.RESET, Failure.RESET)]
    )
    def test_handshake_that_is_cut_off_is_no_warning_before_it_happens_again(
        self, make: Any, failure: Failure, likely: Failure
    ) -> None:
        rig = make("a", connect=False)
        rig["a"].refusal = failure
        rig.advance(0.01)
        assert rig["a"].link.failure is Failure.HUNG_UP
        assert not rig.warnings
        rig.advance(1.0)
        assert rig["a"].link.failure is likely
        assert rig.warnings == [f"no connection to a: {likely}"]
        rig["a"].refusal = None
        rig.advance(5.0)
        rig["a"].refusal = failure
        rig["a"].die(failure)
        assert rig["a"].link.failure is Failure.HUNG_UP, "a session in between begins anew"

    def test_broker_that_refuses_the_session_is_quoted(self, make: Any) -> None:
        rig = make("a", connect=False)
        rig["a"].accepts = False
        rig.advance(0.1)
        rig["a"].handshake()
        rig["a"].say(control.Goodbye("refused", "no more of you"))
        assert rig["a"].link.problem == "the broker refuses the session: no more of you"
        assert "no more of you" in rig.core.links.diagnosis()

    def test_what_a_broker_says_of_it_fits_a_report(self, make: Any) -> None:
        rig = make("a")
        rig["a"].say(control.Goodbye("refused", "x" * 255))
        row = control.PeerStatus("a", "alive", "waiting", rig["a"].link.problem)
        report = control.Report(broker="b", brokers=[row])
        assert control.decode_control(encode_control(report, 0)) == report

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
        assert Close("a") in rig.core.links._dialing.actions
        rig.pump()
        assert link.state is LinkState.WAITING
        assert link.failure is None
        assert not rig["a"].connected

    def test_link_that_is_not_open_is_not_left(self, make: Any) -> None:
        rig = make("a", connect=False)
        rig.core.links.leave(rig["a"].link, rig.now)
        rig.core.links.close(rig["a"].link, rig.now)
        rig.pump()
        assert not rig["a"].link.retiring
        assert rig["a"].inbox == []

    def test_new_session_is_not_left(self, make: Any) -> None:
        rig = make("a")
        rig.core.links.leave(rig["a"].link, rig.now)
        rig.pump()
        rig["a"].die()
        rig.advance(0.3)
        assert rig["a"].link.state is LinkState.UP
        assert not rig["a"].link.retiring

    def test_unwanted_broker_is_not_connected_to(self, links: Links) -> None:
        links.learn(address("a"), START)
        links.links["a"].wanted = False
        links.on_timer(START)
        assert links.take_actions() == []
        links.links["a"].wanted = True
        links.on_timer(START + TICK_S)
        assert links.take_actions() == [Resolve("a", ("tcp://a:1",))]


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

    def test_who_has_stood_still_says_a_word_at_once_though_it_spoke_just_before(self, make: Any) -> None:
        rig = make("a")
        rig.advance(3.0)
        rig.cancel(rig.call())
        rig["a"].inbox.clear()
        rig.now += 2.5
        rig.advance(0.0)
        assert rig["a"].take(control.Heartbeat)

    @pytest.mark.parametrize(("took_s", "within_s"), [(0.0, 0.5), (0.7, 0.3), (2.0, 0.0)])
    def test_first_one_follows_an_interval_after_the_hello_at_the_latest(
        self, make: Any, took_s: float, within_s: float
    ) -> None:
        """While its WELCOME is on its way the broker hears nothing, and counts that as silence."""
        rig = make("a", connect=False)
        rig["a"].accepts = False
        rig.advance(0.0)
        rig["a"].handshake()
        rig.advance(took_s)
        rig["a"].inbox.clear()
        rig["a"].welcome()
        rig.advance(within_s + 2 * TICK_S)
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

    def test_silent_broker_whose_host_takes_what_is_sent_hangs_until_it_is_connected_again(self, make: Any) -> None:
        rig = make("a", "b")
        rig["a"].beats = rig["a"].accepts = False
        rig.core.on_hung("a")
        assert rig["a"].link.problem is None
        rig.advance(3.2)
        assert rig["a"].link.failure is Failure.SILENT
        for name in ("a", "b", "nobody"):
            rig.core.on_hung(name)
        assert (rig["a"].link.problem, rig["b"].link.failure) == (Failure.HUNG, None)
        rig["a"].beats = rig["a"].accepts = True
        rig.advance(6.0)
        assert (rig["a"].link.state, rig["a"].link.problem) == (LinkState.UP, None)

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
        assert rig["a"].link.failure is Failure.SESSION_REFUSED
        assert ("no connection to a: the broker refuses the session: because" in rig.log) == (reason == "refused")
        rig.advance(0.3)
        assert rig["a"].link.state is LinkState.UP
        assert rig["a"].link.epoch == 2

    def test_ended_by_a_broker_that_stops_is_no_trouble(self, make: Any) -> None:
        rig = make("a", settings=Settings(reconnect_s=0.1, reconnect_s_max=60.0))
        rig.advance(LASTED_S)
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

    def test_payload_limits_are_those_of_each_broker(self, make: Any) -> None:
        rig = make("a", "b", connect=False)
        links, own = rig.core.links, Settings().payload_bytes_max
        rig["a"].payload_bytes_max = 5000
        rig["b"].payload_bytes_max = 6000
        assert (links.payload_bytes_sure, links.payload_bytes_max) == (own, own)
        rig.advance(0.1)
        assert (links.payload_bytes_sure, links.payload_bytes_max) == (5000, 6000)
        rig["b"].crash()
        assert (links.payload_bytes_sure, links.payload_bytes_max) == (5000, 6000), "it may be back"

    def test_broker_that_has_not_said_its_limit_yet_may_take_anything(self, make: Any) -> None:
        rig = make("a", "b", connect=False)
        rig["a"].payload_bytes_max = 0
        rig["b"].accepts = False
        rig.advance(0.1)
        assert rig.core.links.payload_bytes_max == Settings().payload_bytes_max
        rig["b"].crash()
        assert rig.core.links.payload_bytes_max == 0, "it can not be reached"

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

    def test_why_a_broker_has_ended_a_session_is_told_in_its_words(self, make: Any) -> None:
        rig: NodeRig = make("a")
        rig["a"].say(control.Goodbye("no-session", "you were silent for too long"))
        assert rig["a"].link.problem == "the broker ended the session: you were silent for too long"

    def test_refused_means_that_every_broker_refuses_this_key(self, make: Any) -> None:
        rig: NodeRig = make("a", "b", connect=False)
        assert not rig.core.links.refused
        rig["a"].refusal = rig["b"].refusal = Failure.NOT_REGISTERED
        rig.advance(0.1)
        assert rig.core.links.refused
        rig["b"].refusal = None
        rig.advance(3.0)
        assert not rig.core.links.refused
