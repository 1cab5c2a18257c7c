"""A broker's core without sockets: fake members, fake peers, virtual time, and every message decoded.

After each input the rig checks `validate_state`, delivers what the core sends, and checks on the way what no
member may ever see: a worker never gets more than it granted, and names are those of the registry.
"""

import random
from typing import Any

from braidmq.core.broker.broker import TICK_S, BrokerCore
from braidmq.core.broker.registrar import Credentials
from braidmq.core.events.event import INFO, Event
from braidmq.core.links.link import Close, Failure, Open, Resolve
from braidmq.core.membership.peering import PeeringCore
from braidmq.members import Member, Role, Standing
from braidmq.observer import BrokerObserver
from braidmq.settings import Settings
from braidmq.wire.bundle import split
from braidmq.wire.control import (
    Demand,
    Goodbye,
    Heartbeat,
    Hello,
    Peers,
    Ready,
    Report,
    Services,
    Status,
    Welcome,
    decode_control,
    encode_control,
)
from braidmq.wire.envelope import (
    CANCEL,
    COMMON,
    CONTROL_FIRST,
    LOST,
    REJECT,
    RENEW,
    REPLY,
    REQUEST,
    UINT32,
    VERSION,
    WORKING,
    Envelope,
    Flag,
    Withdrawal,
    decode,
    encode,
)
from braidmq.wire.gossip import About, Ack, Ping, ServiceAbout
from braidmq.wire.kinds import Control
from braidmq.wire.operation import Operate, Operated
from tests.support.rigs.books import BrokerBooks
from tests.support.rigs.instants import Instants
from tests.support.rigs.node_rig import address, verify

Received = Envelope | Control

BROKER = "b1"
FINAL = (REPLY, REJECT, LOST)


def packed(command: int, body: bytes = b"", version: int = VERSION, flags: int = 0) -> bytes:
    """Return a message with any command, version and flags in its header."""
    return COMMON.pack(COMMON.size + len(body), version, command, flags, 0, 0) + body


class Registry:
    """A Directory that a test changes."""

    def __init__(self) -> None:
        self.members: dict[str, Member] = {}
        self.standings: dict[str, Standing] = {}

    def member(self, principal: str) -> Member | None:
        return self.members.get(principal)

    def standing(self, principal: str) -> Standing:
        known = Standing.MEMBER if principal in self.members else Standing.UNKNOWN
        return self.standings.get(principal, known)


class Rig:
    """One broker, its registry and its members.

    Args:
        now: the time at first.
        observer: is told what happens, beside the rig's own.
        registry: who is registered, if that is to be another directory.
        credentials: the same, if the registry is to move.
        unix_s: what the broker's clock says at first.
        settings: of the broker.
    """

    def __init__(
        self,
        now: float = 1_000.0,
        *,
        observer: BrokerObserver | None = None,
        registry: Registry | None = None,
        credentials: Credentials | None = None,
        unix_s: float = 0.0,
        **settings: Any,
    ) -> None:
        self.now = now
        self.settings = Settings(**{"settle_s": 0, **settings})
        self.registry = registry or Registry()
        self.books = books = BrokerBooks(observer)
        self.peering = PeeringCore(
            address(BROKER), self.settings, random.Random(1), verify, software="test", now=now, observer=books
        )
        self.core = BrokerCore(
            self.settings,
            self.registry,
            self.peering,
            software="test",
            now=now,
            process="this one",
            observer=books,
            credentials=credentials,
            unix_s=unix_s,
        )
        self.members: dict[bytes, FakeMember] = {}
        self.peers: dict[str, FakePeer] = {}
        self.events: list[Event] = []
        self._routes = 0

    @property
    def counters(self) -> dict[str, int]:
        return self.core.counters

    def register(
        self,
        name: str,
        *,
        calls: tuple[str, ...] = (),
        serves: tuple[str, ...] = (),
        observe: bool = False,
        operate: bool = False,
        role: Role = Role.NODE,
    ) -> str:
        """Register a member, or change its rights; return its principal."""
        principal = f"key-of-{name}"
        self.registry.members[principal] = Member(name, role, calls, serves, observe, operate=operate)
        return principal

    def stranger(self, name: str, *, route: bytes | None = None, principal: str | None = None) -> "FakeMember":
        """Return a connection of the member `name` that has not said HELLO."""
        self._routes += 1
        route = b"R" + self._routes.to_bytes(15) if route is None else route
        member = FakeMember(self, name, route, principal or f"key-of-{name}")
        self.members[member.route] = member
        return member

    def connect(self, name: str, instance: bytes = b"", **rights: Any) -> "FakeMember":
        """Register a member, say HELLO, and forget what the broker answered."""
        self.register(name, **rights)
        member = self.stranger(name)
        member.instance = instance
        member.hello()
        assert any(isinstance(each, Welcome) for each in member.take())
        return member

    def client(self, name: str = "client", calls: tuple[str, ...] = ("*",)) -> "FakeMember":
        """Return a connected member that may call everything."""
        return self.connect(name, calls=calls)

    def worker(
        self, name: str = "worker", service: str = "echo", credit: int = 1, instance: bytes = b""
    ) -> "FakeMember":
        """Return a connected member that serves `service`."""
        worker = self.connect(name, instance, serves=("*",))
        worker.ready(service, credit)
        return worker

    def full_worker(self, name: str = "worker", service: str = "echo", instance: bytes = b"") -> "FakeMember":
        """Return a connected worker that grants credit, but has no place before it says READY again."""
        worker = self.worker(name, service, instance=instance)
        offer = self.core.sessions[worker.route].offers[service.encode()]
        offer.full = True
        offer.service.offer(offer)
        return worker

    def peer(self, name: str = "b2") -> "FakePeer":
        """Return another broker that this one knows and is connected to."""
        peer = self.peers[name] = FakePeer(self, name)
        self.core.learn(address(name), self.now)
        self.peering.on_timer(self.now)
        self.settle()
        assert peer.connected
        return peer

    def change_registry(self) -> None:
        """Tell the core that the registry changed."""
        self.revoke_grants()
        self.core.on_registry(self.now)
        self.settle()

    def revoke_grants(self) -> None:
        """Let those serve nothing who may not any more."""
        for member in self.members.values():
            found = self.registry.member(member.principal)
            for service in list(member.granted):
                if found is None or not found.may_serve(service.decode()):
                    member.stop_serving(service)

    def tick(self) -> None:
        """Let the broker notice the present, and nothing else."""
        self.core.on_timer(self.now)
        self.peering.on_timer(self.now)
        self.settle()

    def advance(self, seconds: float, *, heartbeats: bool = False) -> None:
        """Let time pass and the timers fire when they are due; with `heartbeats` every member says that it lives.

        Peers do so in any case, as long as they are `alive`.
        """
        end = self.now + seconds
        instants = Instants()
        while (due := self.core.next_deadline()) <= end:
            self.now = max(self.now, due)
            instants.fire(self.now)
            for peer in self.peers.values():
                if peer.alive and peer.connected:
                    peer.say(Heartbeat())
            if heartbeats:
                for member in list(self.members.values()):
                    member.heartbeat()
            self.tick()
        self.now = end

    def stall(self, seconds: float) -> None:
        """Stop the broker's process for a time: no timer fires, nothing is read."""
        self.now += seconds
        self.tick()

    def drain(self) -> None:
        self.core.drain(self.now)
        self.settle()

    def settle(self) -> None:
        """Check the cores, and deliver what they send."""
        self.core.validate_state()
        self.peering.validate_state()
        self.books.check(self.core)
        while self._deliver_to_peers() or self._deliver_to_members():
            pass
        self.events += self.core.take_events()

    def _deliver_to_members(self) -> bool:
        sends = self.core.take_sends()
        for route, messages in sends.items():
            member = self.members.get(route)
            if member is not None:
                for message in messages:
                    member.deliver(message)
        return bool(sends)

    def _deliver_to_peers(self) -> bool:
        actions, sends = self.core.take_actions(), self.core.take_peer_sends()
        for name, messages in sends.items():
            for message in messages:
                self.peers[name].deliver(message)
        for action in actions:
            peer = self.peers.get(action.name)
            if isinstance(action, Resolve):
                self.core.on_resolved(action.name, list(action.endpoints), self.now)
            elif peer is not None:
                peer.on_action(action)
        return bool(actions or sends)

    def logged(self, text: str) -> int:
        """How many lines of the log hold `text`, as an operator sees it."""
        return sum(text in str(event) for event in self.events if event.level >= INFO)


class FakePeer:
    """Another broker, at the other end of a connection that this broker has made.

    Attributes:
        inbox: what came over that connection, decoded.
        alive: whether it accepts connections, says heartbeats and answers PINGs.
        version: of its last ABOUT.
    """

    def __init__(self, rig: Rig, name: str) -> None:
        self.rig = rig
        self.name = name
        self.inbox: list[Control] = []
        self.alive = True
        self.connected = False
        self.version = 0

    def on_action(self, action: Open | Close) -> None:
        self.connected = isinstance(action, Open) and self.alive
        if self.connected:
            self.rig.core.on_connected(self.name, self.rig.now)
            self.say(Welcome(self.name, BROKER, 1_000, 1_024))

    def deliver(self, message: bytes) -> None:
        received = decode_control(message)
        assert received is not None
        self.inbox.append(received)
        if isinstance(received, Ping) and self.alive:
            self.say(Ack(received.number))

    def say(self, *messages: Control) -> None:
        """Send something over the connection that this broker has made."""
        sent_ms = int(self.rig.now * 1000) & UINT32
        frame = b"".join(encode_control(each, sent_ms) for each in messages)
        self.rig.core.on_peer_frame(self.name, frame, self.rig.now)
        self.rig.settle()

    def about(self, *services: str, settled: bool = True, workers: int = 1, **fields: Any) -> None:
        """Say which services have workers there."""
        self.version = fields.pop("version", self.version + 1)
        offered = [ServiceAbout(service, workers, workers) for service in services]
        self.say(About(fields.pop("name", self.name), self.version, settled=settled, services=offered, **fields))

    def lose(self) -> None:
        """End the connection, for good."""
        self.alive = self.connected = False
        self.rig.core.on_failed(self.name, Failure.CLOSED, [], self.rig.now)
        self.rig.settle()

    def of(self, kind: type[Any]) -> list[Any]:
        """Take what has come, and return the messages of this kind."""
        inbox, self.inbox = self.inbox, []
        return [each for each in inbox if isinstance(each, kind)]


class FakeMember:
    """One connection of a member.

    Attributes:
        inbox: what it has received, decoded.
        granted: its credit by service.
        held: as a worker: requests that it has not answered, by tag.
        instance: its process.
        stuck: if a list, what the broker sends goes there and not to the inbox: the pipe is full.
        clock_s: how far its clock is off.
    """

    def __init__(self, rig: Rig, name: str, route: bytes, principal: str) -> None:
        self.rig = rig
        self.name = name.encode()
        self.route = route
        self.principal = principal
        self.inbox: list[Received] = []
        self.granted: dict[bytes, int] = {}
        self.held: dict[int, Envelope] = {}
        self.stuck: list[bytes] | None = None
        self.clock_s = 0.0
        self.instance = b""
        self._tag = 0

    # -- from the broker

    def deliver(self, message: bytes) -> None:
        assert split(message) == ([message], True)
        if self.stuck is not None:
            self.stuck.append(message)
        elif message[5] >= CONTROL_FIRST:
            received = decode_control(message)
            assert received is not None
            self.inbox.append(received)
        else:
            self._deliver_exchange(decode(message))

    def _deliver_exchange(self, envelope: Envelope) -> None:
        self.inbox.append(envelope)
        if envelope.command == REQUEST:
            # Further attempts may join what runs, which takes no credit.
            held = sum(each.service == envelope.service and not each.retry_count for each in self.held.values())
            assert held < self.granted[envelope.service] or envelope.retry_count, "above its credit"
            assert envelope.receiver == self.name
            assert envelope.tag not in self.held
            self.held[envelope.tag] = envelope

    def take(self) -> list[Received]:
        """Return what has come since the last call."""
        received, self.inbox = self.inbox, []
        return received

    def transits(self, *commands: int) -> list[Envelope]:
        """Take what has come, and return its transit messages (of these commands)."""
        return [
            each for each in self.take() if isinstance(each, Envelope) and (not commands or each.command in commands)
        ]

    def requests(self) -> list[Envelope]:
        return self.transits(REQUEST)

    def request_in(self) -> Envelope:
        """Take exactly one request, and return it."""
        (found,) = self.requests()
        return found

    def one(self) -> Envelope:
        """Take what has come, of which exactly one is a transit message, and return that."""
        (found,) = self.transits()
        return found

    def answer(self) -> tuple[int, int]:
        """Take exactly one transit message, and return its command and its code."""
        found = self.one()
        return found.command, found.code

    def of(self, kind: type[Any]) -> list[Any]:
        """Take what has come, and return its control messages of this kind."""
        return [each for each in self.take() if isinstance(each, kind)]

    # -- to the broker

    @property
    def sent_ms(self) -> int:
        return int((self.rig.now + self.clock_s) * 1000) & UINT32

    def frame(self, frame: bytes) -> None:
        """Send a frame as it is."""
        self.rig.core.on_frame(self.route, self.principal, frame, self.rig.now)
        while self.rig.core.behind:
            self.rig.core.on_timer(self.rig.now)
        self.rig.settle()

    def control(self, message: Control) -> None:
        self.frame(encode_control(message, self.sent_ms))

    def hello(self) -> None:
        self.control(Hello("fake", self.instance))

    def heartbeat(self) -> None:
        self.control(Heartbeat())

    def goodbye(self, reason: Any = "draining") -> None:
        if reason != "noted":
            for service in list(self.granted):
                self.stop_serving(service)
        self.control(Goodbye(reason))

    def ready(self, service: str = "echo", credit: int = 1) -> None:
        self.granted[service.encode()] = credit
        self.control(Ready(service, credit))

    def stop_serving(self, service: bytes) -> None:
        """Forget a service: what it still holds of it counts towards no later grant."""
        self.granted.pop(service, None)
        self.held = {tag: each for tag, each in self.held.items() if each.service != service}

    def operate(self, action: str, name: str, *, force: bool = False, number: int = 1) -> tuple[str, str]:
        """Ask for something that operators may; return what came of it."""
        self.take()
        self.control(Operate(number, action, name, force))
        (answer,) = self.of(Operated)
        assert answer.number == number
        return answer.outcome, answer.text

    def status(self) -> Report:
        self.control(Status())
        self.rig.advance(TICK_S)
        (report,) = self.of(Report)
        assert isinstance(report, Report)
        return report

    def envelope(self, service: str = "echo", payload: bytes = b"", **fields: Any) -> Envelope:
        """Return a new request with a tag and an id of its own, not sent."""
        self._tag += 1
        values: dict[str, Any] = {
            "tag": self._tag,
            "time_ms": 5_000,
            "working_ms": 300,
            "sent_ms": self.sent_ms,
            **fields,
        }
        id_ = values.pop("id", self._tag.to_bytes(4) + self.route[-12:])
        return Envelope(REQUEST, id_, service=service.encode(), payload=payload, **values)

    def request(self, service: str = "echo", payload: bytes = b"", **fields: Any) -> Envelope:
        """Send a request and return it."""
        envelope = self.envelope(service, payload, **fields)
        self.frame(encode(envelope))
        return envelope

    def retry(self, service: str = "echo", payload: bytes = b"", *, extension: bytes = b"", **fields: Any) -> Envelope:
        """Send a further attempt of a request and return it."""
        fields = {"retry_count": 1, "flags": Flag.POSSIBLE_DUPLICATE, **fields}
        return self.request(service, payload, extension=extension, **fields)

    def cancel(self, request: Envelope, how: int = Withdrawal.GIVEN_UP) -> None:
        self.frame(encode(Envelope(CANCEL, request.id, tag=request.tag, sent_ms=self.sent_ms, code=how)))

    def renew(self, queued: Envelope) -> None:
        """Answer a QUEUED."""
        renewal = Envelope(RENEW, queued.id, tag=queued.tag, sent_ms=self.sent_ms, time_ms=queued.time_ms)
        self.frame(encode(renewal))

    def send_answer(self, command: int, request: Envelope, **fields: Any) -> None:
        """Send any answer to a request that was received."""
        if command != WORKING:
            self.held.pop(request.tag, None)
        values: dict[str, Any] = {"tag": request.tag, "sent_ms": self.sent_ms, **fields}
        self.frame(encode(Envelope(command, values.pop("id", request.id), **values)))

    def reply(self, request: Envelope, payload: bytes = b"", **fields: Any) -> None:
        self.send_answer(REPLY, request, payload=payload, **fields)

    def working(self, request: Envelope) -> None:
        self.send_answer(WORKING, request)

    def reject(self, request: Envelope, reason: int) -> None:
        self.send_answer(REJECT, request, code=reason)

    def disconnect(self) -> None:
        """Lose the connection; what is stuck comes back to the broker as unsent."""
        self.rig.members.pop(self.route, None)
        core, now = self.rig.core, self.rig.now
        if self.stuck is not None:
            core.on_unsent(self.route, self.stuck, now)
            core.validate_state()
        core.on_disconnect(self.route, now)
        self.rig.settle()


__all__ = ["BROKER", "FINAL", "Demand", "FakeMember", "FakePeer", "Peers", "Received", "Registry", "Rig", "Services"]
