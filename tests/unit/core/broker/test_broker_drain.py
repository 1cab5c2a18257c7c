"""Nodes that leave a broker, and a broker that leaves its nodes."""

import pytest

from braidmq.core.broker.broker import TICK_S
from braidmq.members import Role
from braidmq.wire.control import Goodbye, Peer
from braidmq.wire.envelope import REJECT, REPLY, Envelope, Reason, encode
from braidmq.wire.gossip import Gossip
from tests.support.rigs.broker_rig import Peers, Rig


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
        assert [each.payload for each in client.transits(REPLY)] == [b"done"]

    def test_leaving_node_may_still_call(self) -> None:
        rig = Rig()
        worker, client = rig.worker(), rig.client()
        client.goodbye()
        client.request()
        assert len(worker.requests()) == 1

    def test_queue_without_another_worker_is_rejected_at_once(self) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.full_worker()
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
        assert [each.command for each in client.transits()] == [REPLY, REPLY]

    def test_requests_that_wait_for_a_worker_go_back_where_another_broker_is(self) -> None:
        rig = Rig()
        rig.peer("b2")
        client, worker = rig.client(), rig.worker(credit=1)
        for _ in range(3):
            client.request()
        rig.drain()
        assert [each.code for each in client.transits()] == [Reason.DRAINING] * 2
        worker.reply(worker.request_in())
        assert [each.command for each in client.transits()] == [REPLY]

    def test_requests_that_still_wait_at_the_end_go_back(self) -> None:
        rig = Rig()
        client = rig.client()
        rig.worker(credit=1)
        client.request()
        client.request()
        rig.drain()
        assert client.transits() == []
        rig.core.end(rig.now)
        rig.settle()
        assert [each.code for each in client.transits()] == [Reason.DRAINING]

    def test_sessions_of_other_brokers_end_last(self) -> None:
        rig = Rig()
        client, worker, peer = rig.client(), rig.worker(), rig.connect("b2", role=Role.BROKER)
        client.request()
        rig.drain()
        for member in (client, worker, peer):
            member.goodbye("noted")
        rig.advance(1.0, heartbeats=True)
        assert peer.of(Goodbye) == [Goodbye("draining")]
        worker.reply(worker.request_in())
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
        worker.reply(worker.request_in())
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

    def test_sessions_end_a_few_at_a_time(self, patch_cores: pytest.MonkeyPatch) -> None:
        patch_cores.setattr("braidmq.core.broker.watch.ENDED_PER_TICK", 2)
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
        worker.reply(worker.request_in())
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
            worker.reply(worker.request_in())
        rig.advance(TICK_S)
        assert rig.core.idle
        assert len(client.transits(REPLY)) == 2

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
