"""What members say to a broker besides requests and answers: who may say what, and how much of it."""

from typing import Any

import msgspec
import pytest

from braidmq.core.broker.broker import TICK_S
from braidmq.core.broker.controls import NODE_CONTROL_BYTES_MAX, SEEKS_PER_TICK
from braidmq.members import Role
from braidmq.wire.control import Heartbeat, Peer, Ready, Services, encode_control
from braidmq.wire.gossip import RUMORS_MAX, Gossip, Paths, Rumor, Seek
from braidmq.wire.kinds import Control
from tests.support.rigs.broker_rig import Peers, Rig, packed


class TestLength:
    def padded(self, message: Control, length: int) -> bytes:
        """Return a message of so many bytes, most of which are a field that nobody knows."""
        fields, more = msgspec.to_builtins(message), length - len(encode_control(message, 0))
        head = len(msgspec.msgpack.encode({"x": bytes(1_000)})) - 1_000 - 1  # of one more field in a small map
        return packed(message.NUMBER, msgspec.msgpack.encode({**fields, "x": bytes(more - head)}))

    def test_that_of_a_node_is_bounded(self) -> None:
        rig = Rig()
        worker = rig.connect("worker", serves=("*",))
        worker.frame(self.padded(Ready("longest", 1), NODE_CONTROL_BYTES_MAX))
        worker.frame(self.padded(Ready("longer", 1), NODE_CONTROL_BYTES_MAX + 1))
        assert {name.decode() for name in rig.core.sessions[worker.route].offers} == {"longest"}
        assert rig.counters["malformed"] == 1

    def test_heartbeat_and_broker_are_not_measured(self) -> None:
        rig = Rig()
        rig.client().frame(self.padded(Heartbeat(), NODE_CONTROL_BYTES_MAX + 1))
        peer = rig.connect("b2", role=Role.BROKER)
        peer.control(Gossip([Rumor(f"b{number}", 0, "alive", "", bytes(900)) for number in range(10, 20)]))
        assert rig.counters["malformed"] == 0


class TestReading:
    @pytest.mark.parametrize("message", [Services(["echo"]), Peers([Peer(b"b2")])])
    def test_what_is_none_of_a_brokers_business_is_not_even_decoded(self, message: Control) -> None:
        rig = Rig()
        client = rig.client()
        client.frame(packed(encode_control(message, 0)[5], b"\xc1 is no MessagePack"))
        assert rig.counters["malformed"] == 0
        client.frame(packed(Ready.NUMBER, b"\xc1 is no MessagePack"))
        assert rig.counters["malformed"] == 1


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
