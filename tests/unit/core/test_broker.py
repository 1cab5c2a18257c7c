"""Sessions: who gets in, who stays, what members are told."""

import msgspec
import pytest

from braidmq.core.broker import STRANGERS_MAX, TICK_S
from braidmq.core.events import WARNING
from braidmq.members import Member, Role
from braidmq.wire.control import (
    Control,
    Goodbye,
    Heartbeat,
    Hello,
    Peer,
    Ready,
    Report,
    Status,
    Welcome,
    encode_control,
)
from braidmq.wire.envelope import (
    CANCEL,
    COMMON,
    LOST,
    PREFIX_BYTES,
    REJECT,
    REPLY,
    REQUEST,
    VERSION,
    Command,
    Envelope,
    Reason,
    encode,
)
from braidmq.wire.gossip import Gossip
from rigs.broker_rig import BROKER, Demand, FakeMember, Peers, Rig, Services

OWN = Peer(BROKER.encode(), connected=True)
"""What a broker says of itself to its members: the certificate of the rig's broker is its name."""


def patched(message: bytes, at: int, value: int) -> bytes:
    """Return `message` with one byte changed."""
    return message[:at] + bytes((value,)) + message[at + 1 :]


def common(command: int, body: bytes = b"", version: int = VERSION, flags: int = 0) -> bytes:
    return COMMON.pack(COMMON.size + len(body), version, command, flags, 0, 0) + body


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
        worker.reply(*worker.requests())
        assert first.answer() == (REPLY, 0)
        assert second.exchanges() == []

    def test_large_net_is_told_a_longer_heartbeat_interval(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("braidmq.core.broker.NODES_PER_HEARTBEAT_S", 2)
        rig = Rig(heartbeat_s=1.0)
        for number in range(6):
            rig.client(f"c{number}")
        rig.register("late")
        late = rig.stranger("late")
        late.hello()
        assert late.of(Welcome)[0].heartbeat_ms == 3000

    def test_member_with_a_longer_interval_is_given_longer_silence(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("braidmq.core.broker.NODES_PER_HEARTBEAT_S", 1)
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
        "frame", [b"", b"\0", b"\0\0\0\0", bytes(12), b"\xff" * 100, common(Command.HELLO, version=0x20)]
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

    def test_memory_of_strangers_is_bounded(self) -> None:
        rig = Rig()
        rig.register("alice")
        for _ in range(STRANGERS_MAX + 10):
            rig.stranger("alice").heartbeat()
        assert len(rig.core._strangers) <= STRANGERS_MAX  # validate_state holds it at every step


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
    def test_another_key_on_a_live_route_is_counted_and_dropped(self) -> None:
        rig = Rig()
        worker, client = rig.worker(), rig.client()
        rig.register("mallory", calls=("*",), serves=("*",))
        forger = FakeMember(rig, "client", client.route, "key-of-mallory")
        forger.request()
        forger.hello()
        assert rig.counters["forged"] == 2
        assert worker.requests() == []
        assert client.exchanges() == []

    def test_forged_frame_is_no_sign_of_life(self) -> None:
        rig = Rig()
        client = rig.client()
        forger = FakeMember(rig, "client", client.route, "key-of-mallory")
        for _ in range(4):
            rig.advance(1.0)
            forger.heartbeat()
        assert client.route not in rig.core.sessions


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
        for frame in (common(200), b"", b"garbage", encode(Envelope(REPLY, bytes(16))), encode_control(Heartbeat(), 0)):
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
        assert client.exchanges() == []
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


class TestLeaving:
    def test_node_that_drains_gets_nothing_new_and_is_told_so(self) -> None:
        rig = Rig()
        client, leaver, stayer = rig.client(), rig.worker("leaver", credit=9), rig.worker("stayer", credit=9)
        leaver.goodbye()
        assert leaver.of(Goodbye) == [Goodbye("noted")]
        for _ in range(3):
            client.request()
        assert leaver.requests() == []
        assert len(stayer.requests()) == 3

    def test_answers_of_a_leaving_node_pass(self) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.worker()
        client.request()
        (held,) = worker.requests()
        worker.goodbye()
        worker.working(held)
        worker.reply(held, b"done")
        assert [each.payload for each in client.exchanges(REPLY)] == [b"done"]

    def test_leaving_node_may_still_call(self) -> None:
        rig = Rig()
        worker, client = rig.worker(), rig.client()
        client.goodbye()
        client.request()
        assert len(worker.requests()) == 1

    def test_queue_without_another_worker_is_rejected_at_once(self) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.worker(credit=0)
        client.request()
        worker.goodbye()
        assert client.answer() == (REJECT, Reason.NO_WORKER)

    def test_ready_of_a_leaving_node_is_ignored(self) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.worker()
        worker.goodbye()
        worker.ready()
        client.request()
        assert client.answer() == (REJECT, Reason.NO_WORKER), "nobody would ever take it out of a queue"

    def test_leaving_node_is_never_open_again(self) -> None:
        rig = Rig()
        worker = rig.worker()
        worker.goodbye()
        rig.advance(1.6)
        worker.heartbeat()
        assert rig.core.sessions[worker.route].state == "leaving"


class TestDrain:
    def test_members_are_told_and_new_requests_are_rejected(self) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.worker(credit=2)
        rig.drain()
        assert client.of(Goodbye) == worker.of(Goodbye) == [Goodbye("draining")]
        client.request()
        assert client.answer() == (REJECT, Reason.DRAINING)
        assert worker.requests() == []

    def test_requests_that_are_here_are_finished(self) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.worker(credit=1)
        client.request()
        client.request()
        rig.drain()
        for _ in range(2):
            (held,) = worker.requests()
            worker.reply(held)
        assert [each.command for each in client.exchanges()] == [REPLY, REPLY]

    def test_requests_that_wait_for_a_worker_go_back_where_another_broker_is(self) -> None:
        rig = Rig()
        rig.peer("b2")
        client, worker = rig.client(), rig.worker(credit=1)
        for _ in range(3):
            client.request()
        rig.drain()
        assert [each.code for each in client.exchanges()] == [Reason.DRAINING] * 2
        worker.reply(*worker.requests())
        assert [each.command for each in client.exchanges()] == [REPLY]

    def test_requests_that_still_wait_at_the_end_go_back(self) -> None:
        rig = Rig()
        client = rig.client()
        rig.worker(credit=1)
        client.request()
        client.request()
        rig.drain()
        assert client.exchanges() == []
        rig.core.end(rig.now)
        rig.settle()
        assert [each.code for each in client.exchanges()] == [Reason.DRAINING]

    def test_sessions_of_other_brokers_end_last(self) -> None:
        rig = Rig()
        client, worker, peer = rig.client(), rig.worker(), rig.connect("b2", role=Role.BROKER)
        client.request()
        rig.drain()
        for member in (client, worker, peer):
            member.goodbye("noted")
        rig.advance(1.0, heartbeats=True)
        assert peer.of(Goodbye) == [Goodbye("draining")]
        worker.reply(*worker.requests())
        rig.advance(TICK_S)
        assert peer.of(Goodbye) == []
        rig.advance(TICK_S)
        assert peer.of(Goodbye) == [Goodbye("ended")]
        assert rig.core.idle

    def test_broker_is_idle_once_every_session_has_ended(self) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.worker()
        client.request()
        rig.drain()
        client.goodbye("noted")
        worker.goodbye("noted")
        rig.advance(1.0, heartbeats=True)
        assert not rig.core.idle, "an answer is due"
        worker.reply(*worker.requests())
        assert not rig.core.idle, "nobody was told that it may go"
        rig.advance(TICK_S)
        assert rig.core.idle
        assert client.of(Goodbye) == [Goodbye("draining"), Goodbye("ended")]

    def test_broker_waits_for_requests_that_may_be_on_their_way(self) -> None:
        rig = Rig()
        client = rig.client()
        rig.drain()
        rig.advance(1.0, heartbeats=True)
        assert not rig.core.idle
        assert client.of(Goodbye) == [Goodbye("draining")]
        client.goodbye("noted")
        rig.advance(TICK_S)
        assert rig.core.idle
        assert client.of(Goodbye) == [Goodbye("ended")]

    def test_member_that_is_gone_is_not_waited_for(self) -> None:
        rig = Rig()
        client = rig.client()
        rig.drain()
        client.disconnect()
        assert rig.core.idle

    def test_sessions_end_a_few_at_a_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("braidmq.core.broker.ENDED_PER_TICK", 2)
        rig = Rig()
        clients = [rig.client(f"c{number}") for number in range(5)]
        rig.drain()
        for client in clients:
            client.goodbye("noted")
        for left in (3, 1, 0):
            rig.advance(TICK_S)
            assert len(rig.core.sessions) == left
        assert all(client.of(Goodbye)[-1] == Goodbye("ended") for client in clients)

    def test_client_stays_until_its_requests_are_answered_and_others_go(self) -> None:
        rig = Rig()
        busy, free, worker = rig.client("busy"), rig.client("free"), rig.worker()
        busy.request()
        rig.drain()
        for member in (busy, free, worker):
            member.goodbye("noted")
        rig.advance(1.0, heartbeats=True)
        assert [session.member.name for session in rig.core.sessions.values()] == ["busy", "worker"]
        worker.reply(*worker.requests())
        assert busy.answer() == (REPLY, 0)
        rig.advance(TICK_S)
        assert rig.core.idle

    def test_workers_stay_as_long_as_any_request_may_need_them(self) -> None:
        rig = Rig()
        client, other, worker = rig.client(), rig.worker("other", "sum"), rig.worker()
        client.request()
        client.request()
        rig.drain()
        for member in (client, other, worker):
            member.goodbye("noted")
        for _ in range(2):
            rig.advance(0.5, heartbeats=True)
            assert len(rig.core.sessions) == 3, "a request is here"
            worker.reply(*worker.requests())
        rig.advance(TICK_S)
        assert rig.core.idle
        assert len(client.exchanges(REPLY)) == 2

    def test_what_was_said_in_the_same_turn_arrives_before_the_end(self) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.worker()
        client.request()
        (held,) = worker.requests()
        rig.drain()
        worker.goodbye("noted")
        client.goodbye("noted")
        client.take()
        reply = encode(Envelope(REPLY, held.id, tag=held.tag, payload=b"done", sent_ms=worker.sent_ms))
        rig.now += 2 * TICK_S
        rig.core.on_frame(worker.route, worker.principal, reply, rig.now)
        rig.core.on_timer(rig.now)
        assert rig.core.idle
        rig.settle()
        answer, *rest = client.take()
        assert isinstance(answer, Envelope)
        assert answer.payload == b"done"
        assert rest[-1] == Goodbye("ended")

    def test_broker_without_members_is_idle(self) -> None:
        rig = Rig()
        assert not rig.core.idle
        rig.drain()
        assert rig.core.idle

    def test_newcomer_is_turned_away_as_from_a_broker_that_has_ended(self) -> None:
        rig = Rig()
        rig.drain()
        rig.register("late")
        late = rig.stranger("late")
        late.hello()
        assert late.take() == [Goodbye("ended", "this broker is about to stop")]
        assert not rig.core.sessions
        assert rig.counters["sessions_refused"] == 0

    def test_peers_and_nodes_hear_that_the_broker_leaves(self) -> None:
        rig = Rig()
        peer, client = rig.peer("b2"), rig.client()
        peer.inbox.clear()
        rig.drain()
        assert [rumor.state for gossip in peer.of(Gossip) for rumor in gossip.rumors] == ["leaving"]
        rig.advance(TICK_S)
        assert client.of(Peers)[-1].brokers[0] == Peer(b"b1", connected=True, state="leaving")


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


REQUEST_BYTES = encode(Envelope(REQUEST, b"i" * 16, service=b"echo", tag=7, time_ms=1000))
SERVICE_BYTES_AT = 36
SENDER_BYTES_AT = 37
GARBAGE = {
    "empty": b"",
    "a byte": b"\x01",
    "a length alone": b"\0\0\0\x0c",
    "length zero": bytes(40),
    "length beyond the end": b"\xff\xff\xff\xff" + bytes(40),
    "another major version": patched(REQUEST_BYTES, 4, 0x20),
    "major version zero": patched(REQUEST_BYTES, 4, 0),
    "a REQUEST that is cut off": common(REQUEST, bytes(10)),
    "a REPLY that is cut off": common(REPLY),
    "a CANCEL that is cut off": common(CANCEL, bytes(PREFIX_BYTES - COMMON.size - 1)),
    "a service beyond the end": patched(REQUEST_BYTES, SERVICE_BYTES_AT, 255),
    "a REPLY with a sender beyond the end": patched(patched(REQUEST_BYTES, 5, REPLY), SENDER_BYTES_AT, 255),
    "a HELLO of garbage": common(Command.HELLO, b"\xc1garbage"),
    "a READY without fields": common(Command.READY, b"\x80"),
    "a READY of the wrong types": common(Command.READY, msgspec.msgpack.encode({"service": 5, "credit": "many"})),
    "a READY with a negative credit": common(Command.READY, msgspec.msgpack.encode({"service": "echo", "credit": -1})),
    "a READY of a huge credit": common(Command.READY, msgspec.msgpack.encode({"service": "echo", "credit": 2**63})),
    "a control message of invalid UTF-8": common(Command.READY, b"\x82\xa7service\xa2\xff\xfe\xa6credit\x01"),
    "deep nesting": common(Command.STATUS, b"\x81\xa1x" + b"\x91" * 100_000),
    "an unknown reason to go": common(Command.GOODBYE, msgspec.msgpack.encode({"reason": "bored"})),
    "a tail that is no message": encode_control(Heartbeat(), 0) + b"tail",
}  # fmt: skip


class TestGarbage:
    @pytest.mark.parametrize("frame", GARBAGE.values(), ids=GARBAGE.keys())
    def test_garbage_is_counted_and_costs_nobody_anything(self, frame: bytes) -> None:
        rig = Rig()
        worker, client, hostile = rig.worker(), rig.client(), rig.connect("hostile", calls=("*",), serves=("*",))
        hostile.frame(frame)
        assert rig.counters["malformed"] == 1
        client.request()
        worker.reply(*worker.requests())
        assert client.answer() == (REPLY, 0)

    def test_garbage_is_logged_once_per_session(self) -> None:
        rig = Rig()
        hostile = rig.client()
        for _ in range(50):
            hostile.frame(b"garbage")
        assert rig.counters["malformed"] == 50
        assert sum(event.level == WARNING for event in rig.events) == 1

    def test_what_stands_before_the_garbage_in_a_bundle_counts(self) -> None:
        rig = Rig()
        worker, client = rig.worker(), rig.client()
        client.frame(encode(client.envelope()) + b"garbage" + encode(client.envelope()))
        assert len(worker.requests()) == 1
        assert rig.counters["malformed"] == 1

    def test_malformed_message_does_not_spoil_its_bundle(self) -> None:
        rig = Rig()
        worker, client = rig.worker(), rig.client()
        client.frame(patched(encode(client.envelope()), SERVICE_BYTES_AT, 255) + encode(client.envelope()))
        assert len(worker.requests()) == 1

    @pytest.mark.parametrize("command", [0, 7, 31, 51, 99, 255])
    def test_unknown_command_is_skipped(self, command: int) -> None:
        rig = Rig()
        client = rig.client()
        client.frame(common(command, b"whatever"))
        assert client.take() == []
        assert rig.counters["malformed"] == 0

    @pytest.mark.parametrize(
        "message", [Welcome("x", "y", 1, 1), Services(["echo"]), Peers([]), Demand("echo", 1), Report()]
    )
    def test_control_messages_that_only_brokers_send_are_skipped(self, message: Control) -> None:
        rig = Rig()
        client = rig.client()
        client.control(message)
        assert client.take() == []
        assert rig.counters["malformed"] == 0

    def test_newer_minor_version_unknown_flags_and_unknown_fields_are_no_reason_to_refuse(self) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.connect("worker", serves=("*",))
        worker.granted[b"echo"] = 1
        ready = msgspec.msgpack.encode({"service": "echo", "credit": 1, "colour": "blue"})
        worker.frame(common(Command.READY, ready, version=VERSION | 5, flags=0x80))
        client.frame(patched(encode(client.envelope(flags=0xF0, payload=b"x")), 4, VERSION | 5))
        (request,) = worker.requests()
        assert (request.flags, request.payload) == (0xF0, b"x")
        assert rig.counters["malformed"] == 0

    def test_status_with_unknown_fields_is_answered(self) -> None:
        rig = Rig()
        eye = rig.connect("eye", observe=True)
        eye.frame(common(Command.STATUS, msgspec.msgpack.encode({"verbose": True})))
        rig.advance(TICK_S)
        assert len(eye.of(Report)) == 1


class TestDeadlines:
    def test_timer_is_due_for_the_next_tick_even_with_nothing_to_do(self) -> None:
        rig = Rig()
        assert rig.now < rig.core.next_deadline() <= rig.now + 0.05

    def test_timer_is_due_for_a_request_that_runs_out_before_the_next_tick(self) -> None:
        rig = Rig()
        rig.worker(credit=0)
        rig.client().request(time_ms=20)
        assert rig.core.next_deadline() <= rig.now + 0.031
