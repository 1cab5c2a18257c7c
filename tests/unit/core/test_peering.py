import random

import pytest

from braidmq.core.links import BrokerAddress, Close, Failure, Open
from braidmq.core.peering import PeeringCore
from braidmq.errors import ProtocolError
from braidmq.settings import Settings
from braidmq.wire.control import (
    Control,
    Goodbye,
    Heartbeat,
    Hello,
    Peer,
    Peers,
    PeerStatus,
    Welcome,
    decode_control,
    encode_control,
)
from braidmq.wire.envelope import REQUEST, Envelope, encode


def address(name: str) -> BrokerAddress:
    key = name.encode().ljust(32, b"k")
    return BrokerAddress(name, (f"tcp://{name}:5555",), key, b"certificate of " + name.encode(), 1)


def verify(certificate: bytes) -> BrokerAddress:
    if not certificate.startswith(b"certificate of "):
        raise ProtocolError("not signed by the authority")
    return address(certificate.removeprefix(b"certificate of ").decode())


class Peering:
    """The core of broker b1, with frames decoded."""

    def __init__(self, *names: str) -> None:
        self.now = 1000.0
        self.core = PeeringCore(address("b1"), Settings(), random.Random(1), verify, software="test", now=self.now)
        for name in names:
            self.core.learn(address(name), self.now)
        self.tick()

    def tick(self, seconds: float = 0.0) -> None:
        end = self.now + seconds
        while self.core.next_deadline() <= end:
            self.now = max(self.now, self.core.next_deadline())
            self.core.on_timer(self.now)
        self.now = end

    def send(self, name: str, *messages: Control) -> None:
        self.core.on_frame(name, b"".join(encode_control(each, 0) for each in messages), self.now)

    def up(self, name: str) -> None:
        self.core.on_connected(name, self.now)
        self.send(name, Welcome(name, "b1", 1000, 1024))

    def sent(self) -> dict[str, list[Control | None]]:
        return {name: [decode_control(each) for each in messages] for name, messages in self.core.take_sends().items()}

    def states(self) -> dict[str, str] | None:
        found = self.core.take_peers()
        return None if found is None else {each.name: each.state for each in found[1]}


def test_broker_that_is_configured_is_connected_to_and_greeted() -> None:
    peering = Peering("b2")
    assert peering.core.take_actions() == [Open("b2", "tcp://b2:5555", address("b2").key)]
    peering.core.on_connected("b2", peering.now)
    assert peering.sent() == {"b2": [Hello("test")]}


def test_list_begins_with_the_broker_itself() -> None:
    peers, states = Peering().core.take_peers() or ([], [])
    assert peers == [Peer(b"certificate of b1", connected=True)]
    assert states == []


def test_list_is_returned_when_it_has_changed_and_only_then() -> None:
    peering = Peering("b2")
    assert peering.states() == {"b2": "connecting"}
    assert peering.states() is None
    peering.up("b2")
    found = peering.core.take_peers()
    assert found is not None
    assert found[0][1] == Peer(b"certificate of b2", connected=True)
    assert found[1] == [PeerStatus("b2", "up")]
    peering.send("b2", Heartbeat())
    assert peering.states() is None
    peering.core.on_failed("b2", Failure.CLOSED, peering.now)
    assert peering.states() == {"b2": "waiting"}


def test_broker_that_a_peer_tells_of_is_learned_and_connected_to() -> None:
    peering = Peering("b2")
    peering.core.take_actions()
    peering.up("b2")
    peering.send("b2", Peers([Peer(b"certificate of b1"), Peer(b"certificate of b2"), Peer(b"certificate of b3")]))
    assert peering.states() == {"b2": "up", "b3": "waiting"}
    peering.tick(0.1)
    assert [action.name for action in peering.core.take_actions()] == ["b3"]


def test_broker_that_the_authority_has_not_signed_is_not_learned() -> None:
    peering = Peering("b2")
    peering.up("b2")
    peering.send("b2", Peers([Peer(b"forged"), Peer(b"certificate of b3")]))
    assert peering.states() == {"b2": "up", "b3": "waiting"}
    assert any("certificate is refused" in event.text for event in peering.core.take_events())


def test_silent_peer_is_suspect_and_then_given_up() -> None:
    peering = Peering("b2")
    peering.up("b2")
    peering.core.take_actions()
    peering.states()
    peering.tick(1.7)
    assert peering.states() == {"b2": "suspect"}
    peering.tick(1.5)
    assert peering.states() in ({"b2": "waiting"}, {"b2": "connecting"})
    assert Close("b2") in peering.core.take_actions()


def test_suspect_peer_that_is_heard_is_up_again() -> None:
    peering = Peering("b2")
    peering.up("b2")
    peering.tick(1.7)
    peering.send("b2", Heartbeat())
    assert peering.states() == {"b2": "up"}


def test_draining_peer_is_told_that_this_was_noted() -> None:
    peering = Peering("b2")
    peering.up("b2")
    peering.sent()
    peering.send("b2", Goodbye("draining"))
    assert peering.sent() == {"b2": [Goodbye("noted")]}
    assert peering.states() == {"b2": "draining"}


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"garbage",
        bytes(40),
        encode(Envelope(REQUEST, bytes(16))),
        encode_control(Heartbeat(), 0)[:4] + b"\x20" + encode_control(Heartbeat(), 0)[5:],
        encode_control(Heartbeat(), 0)[:-1] + b"\xc1",
    ],
    ids=["empty", "text", "zeroes", "a request", "another major version", "a malformed control message"],
)
def test_garbage_of_a_peer_does_not_raise_and_changes_nothing(frame: bytes) -> None:
    peering = Peering("b2")
    peering.up("b2")
    peering.states()
    peering.core.on_frame("b2", frame, peering.now)
    assert peering.states() is None
