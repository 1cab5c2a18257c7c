"""A broker among others: what nodes may ask of them, what only they may say, and what a fresh one takes from them."""

from typing import Any

import pytest

from braidmq.core.broker.broker import SEEKS_PER_TICK, TICK_S
from braidmq.core.events.event import WARNING
from braidmq.members import Role
from braidmq.wire.envelope import REJECT, REPLY, Reason
from braidmq.wire.gossip import RUMORS_MAX, About, Ack, Gossip, Nack, Paths, Ping, Probe, Rumor, Seek, Sync
from braidmq.wire.kinds import Control
from tests.support.rigs.broker_rig import BROKER, Peers, Rig

DEAD = Rumor("b2", 1_000, "dead")
GOSSIPED: tuple[Control, ...] = (
    Ping(1, [DEAD]), Ack(1, [DEAD]), Probe(1, "b2", [DEAD]), Nack(1), Gossip([DEAD]), Sync([DEAD], answer=True),
)  # fmt: skip


class TestSeek:
    def test_names_the_peers_with_workers(self) -> None:
        rig = Rig()
        for name, services in {"b2": ("echo",), "b3": ("sum",), "b4": ("sum", "echo")}.items():
            rig.peer(name).about(*services)
        rig.peer("b5")
        client = rig.client()
        client.control(Seek("echo"))
        (paths,) = client.of(Paths)
        assert paths.service == "echo"
        assert sorted(paths.brokers) == ["b2", "b4"]
        client.control(Seek("nothing"))
        assert client.of(Paths) == [Paths("nothing", [])]

    @pytest.mark.parametrize("calls", [(), ("sum",), ("echo.*",)])
    def test_is_answered_only_to_who_may_call_the_service(self, calls: tuple[str, ...]) -> None:
        rig = Rig()
        rig.peer("b2").about("echo")
        client = rig.client(calls=calls)
        client.control(Seek("echo"))
        assert client.take() == []
        rig.register("client", calls=("echo",))
        rig.change_registry()
        client.control(Seek("echo"))
        assert client.of(Paths) == [Paths("echo", ["b2"])]

    def test_peer_whose_workers_are_gone_is_not_named(self) -> None:
        rig = Rig()
        peer, client = rig.peer("b2"), rig.client()
        peer.about("echo", workers=0)
        client.control(Seek("echo"))
        peer.about("echo")
        client.control(Seek("echo"))
        peer.about()
        client.control(Seek("echo"))
        assert [paths.brokers for paths in client.of(Paths)] == [[], ["b2"], []]

    @pytest.mark.parametrize("state", ["suspect", "leaving", "dead"])
    def test_peer_that_is_not_alive_is_not_named(self, state: Any) -> None:
        rig = Rig()
        rig.peer("b2").about("echo")
        rig.peer("b3").say(Gossip([Rumor("b2", 0, state, "b3")]))
        client = rig.client()
        client.control(Seek("echo"))
        assert client.of(Paths) == [Paths("echo", [])]

    def test_peer_that_is_lost_is_not_named(self) -> None:
        rig = Rig()
        peer, client = rig.peer("b2"), rig.client()
        peer.about("echo")
        peer.lose()
        client.control(Seek("echo"))
        assert client.of(Paths) == [Paths("echo", [])]

    def test_answer_is_bounded(self) -> None:
        rig = Rig()
        for number in range(RUMORS_MAX + 3):
            rig.peer(f"b{number + 10}").about("echo")
        client = rig.client()
        client.control(Seek("echo"))
        for _ in range(20):
            client.control(Seek("echo"))
        answers = [paths.brokers for paths in client.of(Paths)]
        assert {len(set(brokers)) for brokers in answers} == {RUMORS_MAX}
        assert len(set().union(*answers)) == RUMORS_MAX + 3, "each gets some of the calls"


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


class TestManySeeks:
    def test_so_many_of_one_key_are_answered_in_a_tick(self) -> None:
        rig = Rig()
        rig.peer("b2").about("echo")
        first, second, other = rig.client("c"), rig.client("c"), rig.client("other")
        rig.advance(TICK_S)
        for member in (first, second):
            for _ in range(SEEKS_PER_TICK):
                member.control(Seek("echo"))
        other.control(Seek("echo"))
        assert len(first.of(Paths)) + len(second.of(Paths)) == SEEKS_PER_TICK
        assert other.of(Paths) == [Paths("echo", ["b2"])]
        rig.advance(TICK_S)
        second.control(Seek("echo"))
        assert second.of(Paths) == [Paths("echo", ["b2"])]
