"""A broker among others: what nodes may ask of them, what only they may say, and what a fresh one takes from them."""

import pytest

from braidmq.core.broker.broker import TICK_S
from braidmq.core.events.event import WARNING
from braidmq.members import Role
from braidmq.wire.envelope import REJECT, REPLY, Reason
from braidmq.wire.gossip import About, Ack, Gossip, Nack, Ping, Probe, Rumor, Sync
from braidmq.wire.kinds import Control
from tests.support.rigs.broker_rig import BROKER, Peers, Rig

DEAD = Rumor("b2", 1_000, "dead")
GOSSIPED: tuple[Control, ...] = (
    Ping(1, [DEAD]), Ack(1, [DEAD]), Probe(1, "b2", [DEAD]), Nack(1), Gossip([DEAD]), Sync([DEAD], answer=True),
)  # fmt: skip


class TestGossip:
    @pytest.mark.parametrize("message", GOSSIPED, ids=lambda message: type(message).__name__)
    def test_of_a_node_is_refused(self, message: Control) -> None:
        rig = Rig()
        rig.peer("b2")
        node = rig.client("b2")  # whatever it is called
        before = rig.peering.membership.version
        node.control(message)
        assert rig.counters["malformed"] == 1
        assert rig.peering.membership.version == before
        assert rig.peering.membership.members["b2"].state == "alive"
        rig.advance(TICK_S)
        assert all(isinstance(each, Peers) for each in node.take())
        assert sum(event.level == WARNING for event in rig.events) == 1

    def test_of_a_peer_is_answered_over_its_own_connection_if_there_is_no_other(self) -> None:
        rig = Rig()
        peer = rig.connect("b2", role=Role.BROKER)
        peer.control(Sync([Rumor("b2", 4, "alive", "", b"b2")], answer=True))
        (sync,) = peer.of(Sync)
        assert {(row.name, row.incarnation) for row in sync.members} == {(BROKER, 0), ("b2", 4)}
        peer.control(Ping(7))
        assert [ack.number for ack in peer.of(Ack)] == [7]
        assert rig.counters["malformed"] == 0

    def test_what_the_membership_has_to_say_by_itself_leaves_with_a_tick(self) -> None:
        rig = Rig()
        peer = rig.connect("b2", role=Role.BROKER)
        peer.control(Sync([Rumor("b2", 0, "alive", "", b"b2")]))
        peer.take()
        rig.advance(2.5, heartbeats=True)
        assert peer.of(Ping)

    def test_about_over_a_session_is_not_taken(self) -> None:
        """What a broker says of itself counts from where this one has connected to, with that broker's key."""
        rig = Rig()
        rig.peer("b2")
        rig.connect("b2", role=Role.BROKER).control(About("b2", 9, settled=True))
        rig.client().control(About("b2", 9, settled=True))
        assert not rig.peering.abouts
        assert rig.counters["malformed"] == 0


class TestReadiness:
    """What a fresh broker does with a request for a service that has no worker here yet."""

    def rejects(self, rig: Rig, service: str = "echo") -> bool:
        client = rig.client(f"client-{len(rig.members)}")
        client.request(service)
        answers = [(each.command, each.code) for each in client.transits()]
        assert answers in ([], [(REJECT, Reason.NO_WORKER)])
        return bool(answers)

    def test_all_wait_while_there_is_no_peer(self) -> None:
        assert not self.rejects(Rig(settle_s=5.0))

    def test_all_wait_while_no_peer_is_settled(self) -> None:
        rig = Rig(settle_s=5.0)
        rig.peer("b2").about("sum", settled=False)
        rig.advance(TICK_S)
        assert not self.rejects(rig)

    def test_service_that_no_peer_offers_is_rejected_at_once_if_a_peer_is_settled(self) -> None:
        rig = Rig(settle_s=5.0)
        rig.peer("b2").about("sum")
        rig.peer("b3").about("max", settled=False)
        rig.advance(TICK_S)
        assert self.rejects(rig, "echo")
        assert not self.rejects(rig, "sum")
        assert not self.rejects(rig, "max")

    def test_peer_that_was_lost_tells_nothing_any_more(self) -> None:
        rig = Rig(settle_s=5.0)
        peer = rig.peer("b2")
        peer.about("sum")
        rig.advance(TICK_S)
        peer.lose()
        rig.advance(TICK_S)
        assert not self.rejects(rig)

    def test_worker_that_comes_gets_what_has_waited(self) -> None:
        rig = Rig(settle_s=5.0)
        rig.peer("b2").about("echo")
        rig.advance(TICK_S)
        client = rig.client()
        client.request()
        worker = rig.worker()
        worker.reply(worker.request_in())
        assert client.answer() == (REPLY, 0)

    def test_settled_broker_waits_for_nothing(self) -> None:
        rig = Rig(settle_s=2.0)
        peer = rig.peer("b2")
        peer.about("echo")
        rig.advance(2.1, heartbeats=True)
        assert self.rejects(rig)

    def test_what_waits_is_rejected_once_the_broker_has_settled(self) -> None:
        rig = Rig(settle_s=2.0)
        rig.peer("b2").about("echo")
        rig.advance(TICK_S)
        client = rig.client()
        client.request()
        rig.advance(1.8, heartbeats=True)
        assert client.transits(REJECT) == []
        rig.advance(0.3, heartbeats=True)
        assert [answer.code for answer in client.transits(REJECT)] == [Reason.NO_WORKER]
