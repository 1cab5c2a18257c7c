"""Sessions: who gets in, who stays, what members are told."""

import pytest

from braidmq.core.broker.broker import TICK_S
from braidmq.core.broker.reception import TWIN_S_MAX
from braidmq.core.broker.session_life import STRANGER_FRAMES_MAX, STRANGERS_MAX
from braidmq.core.broker.watch import GUEST_S_MAX
from braidmq.core.events.event import INFO
from braidmq.members import Member, Role
from braidmq.wire.control import Goodbye, Heartbeat, Hello, Peer, Ready, Report, Status, Welcome, encode_control
from braidmq.wire.envelope import LOST, REJECT, REPLY, Envelope, Reason, encode
from tests.support.rigs.broker_rig import BROKER, FakeMember, Peers, Rig, Services, packed

OWN = Peer(BROKER.encode(), connected=True)
"""What a broker says of itself to its members: the certificate of the rig's broker is its name."""


class TestLog:
    def test_a_node_that_stays_for_a_moment_leaves_no_trace(self) -> None:
        rig = Rig()
        client = rig.client("guest")
        rig.advance(1.0, heartbeats=True)
        client.goodbye()
        client.disconnect()
        assert rig.logged("guest") == 0

    def test_a_node_that_stays_is_told_once_and_so_is_its_end(self) -> None:
        rig = Rig()
        client = rig.client("stayer")
        rig.advance(GUEST_S_MAX + 1.0, heartbeats=True)
        assert rig.logged("stayer connected") == 1
        client.goodbye()
        client.disconnect()
        assert [str(event) for event in rig.events if event.level >= INFO] == [
            "stayer connected", "stayer is leaving", "stayer disconnected",
        ]  # fmt: skip

    def test_a_worker_is_told_at_once(self) -> None:
        rig = Rig()
        worker = rig.worker("w")
        assert rig.logged("w connected") == 1
        rig.advance(GUEST_S_MAX + 1.0, heartbeats=True)
        worker.disconnect()
        assert (rig.logged("w connected"), rig.logged("w disconnected")) == (1, 1)

    def test_a_node_that_falls_silent_is_told_however_short_it_was(self) -> None:
        rig = Rig()
        rig.client("mute")
        rig.advance(2.0)
        assert (rig.logged("mute connected"), rig.logged("mute is suspect")) == (1, 1)


class TestTwin:
    def twin(self, rig: Rig, process: str) -> FakeMember:
        rig.register(BROKER, role=Role.BROKER)
        twin = rig.stranger(BROKER)
        twin.control(Hello(process))
        return twin

    def test_another_process_with_this_brokers_key_is_refused_and_told_of_by_both(self) -> None:
        rig = Rig()
        twin = self.twin(rig, "another one")
        assert twin.take() == [Goodbye("refused", "this one")]
        assert rig.logged(f"another process runs as {BROKER}, with the same join file: another one") == 1
        assert rig.counters["twins"] == 1
        assert rig.counters["sessions"] == 0
        self.twin(rig, "another one")
        assert rig.logged("another process") == 1, "it is told once"
        self.twin(rig, "a third one")
        assert rig.logged("another process") == 2

    def test_this_process_meets_itself_and_says_nothing(self) -> None:
        rig = Rig()
        assert self.twin(rig, "this one").take() == [Goodbye("refused", "this one")]
        assert rig.logged("another process") == rig.counters["twins"] == 0

    def test_one_that_has_ended_is_forgotten(self) -> None:
        rig = Rig()
        self.twin(rig, "another one")
        rig.advance(TWIN_S_MAX + 1.0)
        assert rig.counters["twins"] == 0
        self.twin(rig, "another one")
        assert rig.logged("another process") == 2

    def test_garbage_for_a_hello_is_another_process(self) -> None:
        rig = Rig()
        rig.register(BROKER, role=Role.BROKER)
        hello = encode_control(Hello("x"), 0)
        rig.stranger(BROKER).frame(hello[:-1] + b"\xc1")
        assert rig.logged("an unknown one") == 1


class TestHello:
    def test_registered_member_is_welcomed_by_name(self) -> None:
        rig = Rig(heartbeat_s=1.0, payload_bytes_max=4096)
        rig.register("alice")
        alice = rig.stranger("alice")
        alice.hello()
        assert alice.take() == [Welcome(BROKER, "alice", 1000, 4096, "test"), Peers([OWN])]
        assert rig.counters["sessions"] == 1

    def test_newcomer_learns_the_brokers_and_the_services_it_may_call(self) -> None:
        rig = Rig()
        rig.peer("b2")
        rig.worker("w1", "echo")
        rig.worker("w2", "secret")
        rig.register("alice", calls=("echo",))
        alice = rig.stranger("alice")
        alice.hello()
        assert alice.take()[1:] == [Peers([OWN, Peer(b"b2", connected=True)]), Services(["echo"])]

    def test_messages_behind_hello_in_its_bundle_count(self) -> None:
        rig = Rig()
        rig.register("w", serves=("echo",))
        worker = rig.stranger("w")
        worker.granted[b"echo"] = 1
        worker.frame(encode_control(Hello(), 0) + encode_control(Ready("echo", 1), 0))
        rig.client().request()
        assert len(worker.requests()) == 1

    def test_second_hello_changes_nothing(self) -> None:
        rig = Rig()
        client = rig.client()
        client.hello()
        assert client.take() == []
        assert rig.counters["sessions"] == 1

    def test_members_of_one_key_are_told_apart_by_their_routes(self) -> None:
        rig = Rig()
        first = rig.client("alice")
        second = rig.client("alice")
        worker = rig.worker()
        first.request()
        worker.reply(worker.request_in())
        assert first.answer() == (REPLY, 0)
        assert second.transits() == []

    def test_large_net_is_told_a_longer_heartbeat_interval(self, patch_cores: pytest.MonkeyPatch) -> None:
        patch_cores.setattr("braidmq.core.broker.session_life.NODES_PER_HEARTBEAT_S", 2)
        rig = Rig(heartbeat_s=1.0)
        for number in range(6):
            rig.client(f"c{number}")
        rig.register("late")
        late = rig.stranger("late")
        late.hello()
        assert late.of(Welcome)[0].heartbeat_ms == 3000

    def test_member_with_a_longer_interval_is_given_longer_silence(self, patch_cores: pytest.MonkeyPatch) -> None:
        patch_cores.setattr("braidmq.core.broker.session_life.NODES_PER_HEARTBEAT_S", 1)
        rig = Rig()
        first = rig.client("first")
        rig.client("second")
        third = rig.client("third")
        rig.advance(3.2)
        assert first.route not in rig.core.sessions
        assert third.route in rig.core.sessions


class TestStrangers:
    def test_whoever_did_not_say_hello_is_turned_away_once(self) -> None:
        rig = Rig()
        rig.register("alice", calls=("*",))
        alice = rig.stranger("alice")
        alice.request()
        alice.request()
        assert alice.take() == [Goodbye("no-session", "say HELLO first")]
        assert not rig.core.sessions

    @pytest.mark.parametrize(
        "frame", [b"", b"\0", b"\0\0\0\0", bytes(12), b"\xff" * 100, packed(Hello.NUMBER, version=0x20)]
    )
    def test_garbage_instead_of_hello_is_turned_away(self, frame: bytes) -> None:
        rig = Rig()
        rig.register("alice")
        alice = rig.stranger("alice")
        alice.frame(frame)
        assert [each.reason for each in alice.of(Goodbye)] == ["no-session"]
        assert not rig.core.sessions

    def test_hello_after_being_turned_away_opens_a_session(self) -> None:
        rig = Rig()
        rig.register("alice")
        alice = rig.stranger("alice")
        alice.heartbeat()
        alice.hello()
        assert isinstance(alice.take()[1], Welcome)

    def test_who_goes_on_for_long_without_a_session_is_cut(self) -> None:
        rig = Rig()
        rig.register("alice")
        alice = rig.stranger("alice")
        for _ in range(STRANGER_FRAMES_MAX):
            alice.heartbeat()
        assert alice.route not in rig.core.take_cuts()
        alice.heartbeat()
        assert alice.route in rig.core.take_cuts()

    def test_memory_of_strangers_is_bounded(self) -> None:
        rig = Rig()
        rig.register("alice")
        for _ in range(STRANGERS_MAX + 10):
            rig.stranger("alice").heartbeat()
        assert rig.core.strangers <= STRANGERS_MAX  # validate_state holds it at every step


class TestRefusals:
    def refused(self, rig: Rig, member: FakeMember) -> str:
        before = rig.counters["sessions_refused"]
        member.hello()
        (goodbye,) = member.take()
        assert isinstance(goodbye, Goodbye)
        assert goodbye.reason == "refused"
        assert rig.counters["sessions_refused"] == before + 1
        assert member.route not in rig.core.sessions
        return goodbye.text

    def test_unregistered_key_is_refused(self) -> None:
        rig = Rig()
        assert "not registered" in self.refused(rig, rig.stranger("mallory"))

    @pytest.mark.parametrize("route", [b"", b"short", b"\0" + bytes(15), b"\0" * 5, b"R" * 15, b"R" * 17, b"R" * 255])
    def test_routing_id_of_another_shape_is_refused(self, route: bytes) -> None:
        rig = Rig()
        rig.register("alice")
        assert "routing id" in self.refused(rig, rig.stranger("alice", route=route))

    def test_nodes_max_bounds_the_sessions(self) -> None:
        rig = Rig(nodes_max=2)
        first = rig.client("c1")
        rig.client("c2")
        rig.register("c3")
        assert "nodes_max=2" in self.refused(rig, rig.stranger("c3"))
        first.disconnect()
        rig.client("c3")

    def test_connections_per_key_max_bounds_the_sessions_of_a_key(self) -> None:
        rig = Rig(connections_per_key_max=2)
        first = rig.client("alice")
        rig.client("alice")
        assert "connections_per_key_max=2" in self.refused(rig, rig.stranger("alice"))
        rig.client("bob")
        first.disconnect()
        rig.client("alice")

    def test_refusal_is_told_and_logged_once_per_connection(self) -> None:
        rig = Rig()
        mallory = rig.stranger("mallory")
        for _ in range(3):
            mallory.hello()
        assert len(mallory.take()) == 1
        assert rig.logged("refused a session") == 1


class TestPrincipal:
    def test_another_key_on_a_route_says_nothing_in_the_owners_name_and_ends_its_session(self) -> None:
        rig = Rig()
        worker, client = rig.worker(), rig.client()
        rig.register("mallory", calls=("*",), serves=("*",))
        forger = FakeMember(rig, "client", client.route, "key-of-mallory")
        forger.request()
        assert rig.counters["forged"] == 1
        assert worker.requests() == []
        assert client.route not in rig.core.sessions
        assert rig.logged("another key has its routing id") == 1

    def test_what_waits_for_the_owner_of_a_route_does_not_go_to_another_key(self) -> None:
        rig = Rig()
        worker, client = rig.worker(), rig.client()
        rig.register("mallory", calls=("*",), serves=("*",))
        client.request()
        (request,) = worker.requests()
        forger = FakeMember(rig, "mallory", client.route, "key-of-mallory")
        forger.hello()
        assert rig.core.sessions[client.route].member.name == "mallory"
        forger.take()
        worker.reply(request)
        assert forger.take() == []


class TestSilence:
    def test_silent_worker_gets_nothing_new_and_is_back_with_its_first_sign_of_life(self) -> None:
        rig = Rig()
        client, silent, other = rig.client(), rig.worker("silent", credit=9), rig.worker("other", credit=9)
        rig.advance(1.4)
        client.heartbeat()
        other.heartbeat()
        rig.advance(0.2)
        for _ in range(4):
            client.request()
        assert len(other.requests()) == 4
        assert silent.requests() == []
        silent.heartbeat()
        client.request()
        assert len(silent.requests()) == 1

    def test_what_a_suspect_worker_says_counts_before_it_gets_new_work(self) -> None:
        for grant in (True, False):
            rig = Rig()
            client, worker = rig.client(), rig.worker(credit=5)
            rig.advance(1.4)
            client.heartbeat()
            rig.advance(0.2)
            client.request()
            if grant:
                worker.ready(credit=0)
            else:
                worker.goodbye()
            assert worker.requests() == []

    def test_silent_member_is_given_up_and_told_so(self) -> None:
        rig = Rig()
        client = rig.client()
        rig.advance(2.9)
        assert client.route in rig.core.sessions
        client.take()
        rig.advance(0.2)
        assert client.route not in rig.core.sessions
        assert client.take() == [Goodbye("no-session", "you were silent for too long")]
        assert rig.counters["sessions_dead"] == 1

    def test_any_traffic_is_a_sign_of_life(self) -> None:
        rig = Rig()
        client = rig.client()
        for frame in (packed(200), b"", b"garbage", encode(Envelope(REPLY, bytes(16))), encode_control(Heartbeat(), 0)):
            rig.advance(1.4)
            client.frame(frame)
            assert rig.core.sessions[client.route].state == "open"

    def test_leaving_member_that_falls_silent_is_given_up(self) -> None:
        rig = Rig()
        client = rig.client()
        client.goodbye()
        rig.advance(3.2)
        assert client.route not in rig.core.sessions

    @pytest.mark.parametrize("seconds", [1.6, 3.5, 30.0, 3600.0])
    def test_nobody_is_given_up_because_the_broker_itself_was_stopped(self, seconds: float) -> None:
        rig = Rig()
        members = [rig.client(), rig.worker()]
        rig.advance(0.9)
        rig.stall(seconds)
        assert {session.state for session in rig.core.sessions.values()} == {"open"}
        rig.advance(0.3)
        assert {session.state for session in rig.core.sessions.values()} == {"open"}
        assert len(rig.core.sessions) == len(members)

    def test_member_that_stays_silent_after_the_broker_was_stopped_is_given_up(self) -> None:
        rig = Rig()
        client = rig.client()
        rig.stall(30.0)
        rig.advance(3.2)
        assert client.route not in rig.core.sessions


class TestHeartbeat:
    def test_broker_with_nothing_to_say_says_so_every_interval(self) -> None:
        rig = Rig(heartbeat_s=1.0)
        client = rig.client()
        rig.advance(10.0, heartbeats=True)
        assert 9 <= len(client.of(Heartbeat)) <= 10

    def test_broker_is_never_silent_for_longer_than_its_interval_whenever_it_last_spoke(self) -> None:
        for offset in range(24):
            rig = Rig(heartbeat_s=1.0)
            worker, client = rig.worker(), rig.client()
            rig.advance(2.0 + offset * 0.05, heartbeats=True)
            client.request()
            worker.take()
            spoken_at = rig.now
            while not worker.inbox:
                rig.advance(0.05, heartbeats=True)
                assert rig.now - spoken_at < 1.15, f"silent after it spoke {offset * 0.05:.2f} s behind a beat"

    def test_who_was_just_told_something_needs_no_heartbeat(self) -> None:
        rig = Rig(heartbeat_s=1.0)
        worker, client = rig.worker(credit=100), rig.client()
        for _ in range(30):
            client.request()
            rig.advance(0.1, heartbeats=True)
        assert worker.of(Heartbeat) == []

    def test_who_has_stood_still_says_a_word_at_once_though_it_spoke_just_before(self) -> None:
        rig = Rig(heartbeat_s=1.0)
        worker, client = rig.worker(credit=1), rig.client()
        client.request()
        worker.take()
        rig.stall(0.9)
        assert worker.of(Heartbeat)


class TestRegistry:
    def test_member_that_is_no_longer_registered_is_cut_off_and_told_why(self) -> None:
        rig = Rig()
        client, other = rig.client("client"), rig.client("other")
        del rig.registry.members[client.principal]
        rig.change_registry()
        assert client.take() == [Goodbye("refused", "the key is no longer registered")]
        assert client.route not in rig.core.sessions
        assert other.route in rig.core.sessions
        client.hello()
        assert client.route not in rig.core.sessions

    @pytest.mark.parametrize(("before", "after"), [(Role.NODE, Role.BROKER), (Role.BROKER, Role.NODE)])
    def test_member_whose_role_has_changed_begins_anew(self, before: Role, after: Role) -> None:
        """A broker's sessions are counted; one that was none when it came must not be counted when it leaves."""
        rig = Rig()
        rig.register("b2", role=before)
        member = rig.stranger("b2")
        member.hello()
        member.take()
        rig.register("b2", role=after)
        rig.change_registry()
        assert member.take() == [Goodbye("ended", "the key is registered as another member now")]
        assert member.route not in rig.core.sessions
        again = rig.stranger("b2")
        again.hello()
        again.disconnect()
        assert not rig.core.sessions

    def test_what_a_cut_off_worker_had_is_lost_at_once(self) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.worker()
        client.request()
        del rig.registry.members[worker.principal]
        rig.change_registry()
        assert client.answer() == (LOST, 0)

    def test_call_right_that_was_withdrawn_denies_the_next_request(self) -> None:
        rig = Rig()
        rig.worker()
        client = rig.client()
        client.request()
        rig.register("client", calls=("other",))
        rig.change_registry()
        client.take()
        client.request()
        assert client.answer() == (REJECT, Reason.DENIED)

    def test_call_right_that_was_given_allows_the_next_request(self) -> None:
        rig = Rig()
        rig.worker()
        client = rig.client(calls=())
        client.request()
        assert client.answer() == (REJECT, Reason.DENIED)
        rig.register("client", calls=("echo",))
        rig.change_registry()
        client.request()
        assert client.transits() == []
        rig.advance(0.1)
        assert client.of(Services) == [Services(["echo"])]

    def test_worker_whose_right_was_withdrawn_gets_nothing_new_but_may_finish(self) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.worker(credit=1)
        client.request()
        client.request()
        (held,) = worker.requests()
        rig.register("worker", serves=("other",))
        rig.change_registry()
        assert client.answer() == (REJECT, Reason.NO_WORKER), "nobody is left for the queue"
        worker.reply(held)
        assert client.answer() == (REPLY, 0)
        client.request()
        assert client.answer() == (REJECT, Reason.NO_WORKER)

    def test_right_to_observe_follows_the_registry(self) -> None:
        rig = Rig()
        client = rig.connect("client", observe=True)
        assert not client.status().denied
        rig.register("client", observe=False)
        rig.change_registry()
        assert client.status().denied

    def test_sender_is_stamped_by_the_newest_registry(self) -> None:
        rig = Rig()
        worker, client = rig.worker(credit=2), rig.client("old")
        rig.registry.members[client.principal] = Member("new", Role.NODE, calls=("*",))
        rig.change_registry()
        client.request()
        assert [each.sender for each in worker.requests()] == [b"new"]


class TestStatus:
    def test_observer_gets_the_report(self) -> None:
        rig = Rig()
        assert rig.connect("eye", observe=True).status().nodes_total == 1

    def test_peer_broker_gets_the_report(self) -> None:
        rig = Rig()
        assert not rig.connect("b2", role=Role.BROKER).status().denied

    def test_report_is_made_once_for_all_who_asked_since_the_last_tick(self) -> None:
        rig = Rig()
        eye, other = rig.connect("eye", observe=True), rig.connect("other", observe=True)
        for _ in range(100):
            eye.control(Status())
        other.control(Status())
        rig.advance(TICK_S)
        assert len(eye.of(Report)) == len(other.of(Report)) == 1
        assert not eye.status().denied, "whoever asks again is answered again"

    def test_others_are_denied(self) -> None:
        rig = Rig()
        assert rig.client().status() == Report(broker=BROKER, denied=True)
        assert rig.counters["denied"] == 1

    def test_reports_of_a_large_broker_come_more_seldom(self, patch_cores: pytest.MonkeyPatch) -> None:
        patch_cores.setattr("braidmq.core.broker.observers.REPORT_ROWS_PER_TICK", 1)
        rig = Rig()
        eye, weak = rig.connect("eye", observe=True), rig.client("weak")
        for number in range(8):
            rig.client(f"c{number}")
        came = 0
        for _ in range(50):
            eye.control(Status())
            weak.control(Status())
            rig.advance(TICK_S, heartbeats=True)
            came += len(eye.of(Report))
        assert 4 <= came <= 6

    def test_report_is_not_made_for_those_who_may_not_have_it(self, patch_cores: pytest.MonkeyPatch) -> None:
        rig = Rig()
        patch_cores.setattr(rig.core, "report", None)
        weak = rig.client()
        weak.control(Status())
        rig.advance(TICK_S)
        assert [report.denied for report in weak.of(Report)] == [True]


class TestDeadlines:
    def test_timer_is_due_for_the_next_tick_even_with_nothing_to_do(self) -> None:
        rig = Rig()
        rig.core.on_timer(rig.now)
        assert rig.now < rig.core.next_deadline() <= rig.now + 0.05

    def test_timer_is_due_for_a_request_that_runs_out_before_the_next_tick(self) -> None:
        rig = Rig()
        rig.full_worker()
        rig.client().request(time_ms=20)
        assert rig.core.next_deadline() <= rig.now + 0.031
