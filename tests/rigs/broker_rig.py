"""A broker's core without sockets: fake members, virtual time, and every message decoded.

After each input the rig checks `validate_state`, delivers what the core sends, and checks on the way what no
member may ever see: a worker never gets more than it granted, and names are those of the registry.
"""

from typing import Any

from braidmq.core.broker import TICK_S, BrokerCore
from braidmq.core.events import Event
from braidmq.members import Member, Role
from braidmq.settings import Settings
from braidmq.wire.bundle import split
from braidmq.wire.control import (
    Control,
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
    CONTROL_FIRST,
    LOST,
    REJECT,
    REPLY,
    REQUEST,
    UINT32,
    WORKING,
    Envelope,
    decode,
    encode,
)

Received = Envelope | Control

BROKER = "b1"
FINAL = (REPLY, REJECT, LOST)


class Registry:
    """A Directory that a test changes."""

    def __init__(self) -> None:
        self.members: dict[str, Member] = {}

    def member(self, principal: str) -> Member | None:
        return self.members.get(principal)


class Rig:
    """One broker, its registry and its members."""

    def __init__(self, now: float = 1_000.0, **settings: Any) -> None:
        self.now = now
        self.settings = Settings(**{"settle_s": 0, **settings})
        self.registry = Registry()
        self.core = BrokerCore(BROKER, self.settings, self.registry, software="test", now=now)
        self.members: dict[bytes, FakeMember] = {}
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
        role: Role = Role.NODE,
    ) -> str:
        """Register a member, or change its rights; return its principal."""
        principal = f"key-of-{name}"
        self.registry.members[principal] = Member(name, role, calls, serves, observe)
        return principal

    def stranger(self, name: str, *, route: bytes | None = None, principal: str | None = None) -> "FakeMember":
        """Return a connection of the member `name` that has not said HELLO."""
        self._routes += 1
        route = b"R" + self._routes.to_bytes(15) if route is None else route
        member = FakeMember(self, name, route, principal or f"key-of-{name}")
        self.members[member.route] = member
        return member

    def connect(self, name: str, **rights: Any) -> "FakeMember":
        """Register a member, say HELLO, and forget what the broker answered."""
        self.register(name, **rights)
        member = self.stranger(name)
        member.hello()
        assert any(isinstance(each, Welcome) for each in member.take())
        return member

    def client(self, name: str = "client", calls: tuple[str, ...] = ("*",)) -> "FakeMember":
        """Return a connected member that may call everything."""
        return self.connect(name, calls=calls)

    def worker(self, name: str = "worker", service: str = "echo", credit: int = 1) -> "FakeMember":
        """Return a connected member that serves `service`."""
        worker = self.connect(name, serves=("*",))
        worker.ready(service, credit)
        return worker

    def change_registry(self) -> None:
        """Tell the core that the registry changed."""
        for member in self.members.values():
            found = self.registry.member(member.principal)
            for service in list(member.granted):
                if found is None or not found.may_serve(service.decode()):
                    member.stop_serving(service)
        self.core.on_registry(self.now)
        self.settle()

    def tick(self) -> None:
        """Let the broker notice the present, and nothing else."""
        self.core.on_timer(self.now)
        self.settle()

    def advance(self, seconds: float, *, heartbeats: bool = False) -> None:
        """Let time pass and the timers fire when they are due; with `heartbeats` every member says that it lives."""
        end = self.now + seconds
        while (due := self.core.next_deadline()) <= end:
            self.now = max(self.now, due)
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
        """Check the core and deliver what it sends."""
        self.core.validate_state()
        while sends := self.core.take_sends():
            for route, messages in sends.items():
                member = self.members.get(route)
                if member is not None:
                    for message in messages:
                        member.deliver(message)
        self.events += self.core.take_events()

    def logged(self, text: str) -> int:
        """How many lines of the log hold `text`."""
        return sum(text in event.text for event in self.events)


class FakeMember:
    """One connection of a member.

    Attributes:
        inbox: what it has received, decoded.
        granted: its credit by service.
        held: as a worker: requests that it has not answered, by tag.
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
            held = sum(each.service == envelope.service for each in self.held.values())
            assert held < self.granted[envelope.service], "above its credit"
            assert envelope.receiver == self.name
            assert envelope.tag not in self.held
            self.held[envelope.tag] = envelope

    def take(self) -> list[Received]:
        """Return what has come since the last call."""
        received, self.inbox = self.inbox, []
        return received

    def exchanges(self, *commands: int) -> list[Envelope]:
        """Take what has come, and return its exchange messages (of these commands)."""
        return [
            each for each in self.take() if isinstance(each, Envelope) and (not commands or each.command in commands)
        ]

    def requests(self) -> list[Envelope]:
        return self.exchanges(REQUEST)

    def one(self) -> Envelope:
        """Take what has come, of which exactly one is an exchange message, and return that."""
        (found,) = self.exchanges()
        return found

    def answer(self) -> tuple[int, int]:
        """Take exactly one exchange message, and return its command and its code."""
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
        self.rig.settle()

    def control(self, message: Control) -> None:
        self.frame(encode_control(message, self.sent_ms))

    def hello(self) -> None:
        self.control(Hello("fake"))

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

    def cancel(self, request: Envelope) -> None:
        self.frame(encode(Envelope(CANCEL, request.id, tag=request.tag, sent_ms=self.sent_ms)))

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


__all__ = ["BROKER", "FINAL", "Demand", "FakeMember", "Peers", "Received", "Registry", "Rig", "Services"]
