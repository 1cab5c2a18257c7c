"""The core of the zgossip bridge in virtual time, and nodes of libczmq as a model of what recorded ones do."""

import re
from collections.abc import Iterable
from typing import Any

from braidmq.bridges.port import OWN, Finish, Job, Offer, Peer, Send, Withdraw
from braidmq.bridges.zgossip import wire
from braidmq.bridges.zgossip.core import GossipCore
from braidmq.bridges.zgossip.keys import Keys
from braidmq.members import Member, Role
from braidmq.messages import Request

NET = "shop"
NAME = "bridge-1"
KEYS = Keys(NET, NAME)
SAME = object()


def key_of(what, net=NET):
    """Return a key of the net: `service/pricing/bridge-1`."""
    return f"braidmq/{net}/{what}".encode()


def tuples(frames):
    """Return the tuples that were published among frames, in order."""
    read = [wire.read(frame) for frame in frames]
    return [(key, value) for kind, key, value in read if kind is wire.Kind.PUBLISH]


def is_wellformed(frame: bytes) -> bool:
    """Whether libczmq bears a message; any other one ends its node. Written without the bridge's own codec."""
    if re.fullmatch(rb"\xaa\xa0[\x01\x03\x04\x05]\x01", frame):
        return True
    if not frame.startswith(b"\xaa\xa0\x02\x01") or len(frame) < 5:
        return False
    key = 5 + frame[4]
    size = int.from_bytes(frame[key : key + 4], "big")
    return len(frame) == key + 4 + size + 4 and b"\0" not in frame[5:key] + frame[key + 4 : key + 4 + size]


class World:
    """Drives one core.

    Attributes:
        sent: what has been sent, as (peer's name, frame).
        unreachable: names of peers to whom nothing can be sent.
        finished: how jobs have ended, by number.
        offered: the services of the bridge.
    """

    def __init__(self, *, serves: tuple[str, ...] = ("*",), put_prefix: bytes = b"", keys: Keys = KEYS) -> None:
        self.now = 1_000.0
        self.member = Member(NAME, Role.NODE, calls=("*",), serves=serves)
        self.core = GossipCore(keys, lambda member: {OWN: self.member}[member], put_prefix)
        self.peers: dict[str, Peer] = {}
        self.sent: list[tuple[str, bytes]] = []
        self.unreachable: set[str] = set()
        self.finished: dict[int, Any] = {}
        self.offered: set[str] = set()
        self.facts: dict[str, Any] = {}

    # -- peers

    def connect(self, name: str) -> None:
        """Let a connection stand that the bridge has opened."""
        peer = self.peers[name] = Peer(b"", name)
        self.core.on_connected(peer, self.now)
        self.settle()

    def say(self, name: str, *frames: bytes) -> list[bytes]:
        """Let a peer send a message; return what it gets at once."""
        if name not in self.peers:
            self.peers[name] = Peer(b"\0" + name.encode(), "127.0.0.1")
        before = len(self.sent)
        self.core.on_message(self.peers[name], list(frames), self.now)
        self.settle()
        return [frame for told, frame in self.sent[before:] if told == name]

    def tell(self, name: str, key: bytes, value: bytes) -> list[bytes]:
        """Let a peer publish a tuple."""
        return self.say(name, wire.publish(key, value))

    def close(self, name: str) -> None:
        peer = self.peers.pop(name, None)
        if peer is not None:
            peer.gone = True
            self.core.on_gone(peer, self.now)
            self.settle()

    def heard(self, name: str) -> list[bytes]:
        """Return what a peer has got since it was last asked."""
        got = [frame for told, frame in self.sent if told == name]
        self.sent = [(told, frame) for told, frame in self.sent if told != name]
        return got

    # -- the net

    def know(self, services: Any = SAME, *, brokers: Any = SAME, bridges: Any = SAME) -> None:
        """Let the net be so."""
        for kind, what in (("services", services), ("brokers", brokers), ("bridges", bridges)):
            if what is not SAME:
                self.facts[kind] = what
        facts = KEYS.facts(self.facts.get("bridges", {}), self.facts.get("brokers", {}), self.facts.get("services", {}))
        self.core.on_facts(facts, self.now)
        self.settle()

    def list_members(self, names: Iterable[str] | None) -> None:
        self.core.on_listed(None if names is None else frozenset(names), self.now)
        self.settle()

    def ask(self, service: str, payload: bytes, member: str = "shop") -> Any:
        """Let a member call a service of the bridge; return how it ended."""
        number = len(self.finished)
        request = Request(
            payload, member, NAME, service, bytes(16), False, 0, self.now + 30, {}, "b1", lambda: self.now
        )  # fmt: skip
        self.core.on_job(Job(number, OWN, request), self.now)
        self.settle()
        return self.finished[number]

    # -- time

    def advance(self, seconds: float) -> None:
        until = self.now + seconds
        while (due := self.core.next_deadline()) is not None and due <= until:
            self.now = max(self.now, due)
            self.core.on_timer(self.now)
            self.settle()
        self.now = until

    def settle(self) -> None:
        """Do what the core asks for."""
        while outputs := self.core.take():
            for output in outputs:
                self._do(output)
        self.core.validate_state()

    def _do(self, output: Any) -> None:
        match output:
            case Send(peer, [frame]):
                assert is_wellformed(frame)
                name = next((name for name, each in self.peers.items() if each is peer), None)
                if name is None or name in self.unreachable:
                    self.core.on_unsent(output, self.now)
                else:
                    self.sent.append((name, frame))
            case Offer(member, service, concurrency):
                assert member == OWN
                assert self.member.may_serve(service)
                assert concurrency >= 1
                self.offered.add(service)
            case Withdraw(member, service):
                self.offered.remove(service)
            case Finish(number, outcome):
                assert number not in self.finished
                self.finished[number] = outcome
            case _:
                raise AssertionError(output)
