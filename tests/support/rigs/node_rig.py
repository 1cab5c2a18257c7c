"""A node without sockets: NodeCore in virtual time, and brokers that do what a test tells them.

The rig is the shell: after every input it takes what the core has to say, hands it to the scripted brokers, and
lets the core validate its state.
"""

import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from braidmq.core.events.event import WARNING
from braidmq.core.ids import SECRET_BYTES
from braidmq.core.links.link import Action, BrokerAddress, Close, Failure, Link, Open, Resolve
from braidmq.core.links.papers import Papers
from braidmq.core.node.node import NodeCore
from braidmq.core.proofs import Keyring
from braidmq.core.worker.job import Job
from braidmq.errors import BraidError, ProtocolError, ServiceError
from braidmq.members import Member, Role
from braidmq.messages import Reply
from braidmq.observer import NodeObserver
from braidmq.settings import Settings
from braidmq.wire import control
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
    Outcome,
    Progress,
    Reason,
    Withdrawal,
    decode,
    encode,
)
from braidmq.wire.kinds import Control
from tests.support.rigs.books import NodeBooks
from tests.support.rigs.instants import Instants

START = 1_000.0
NODE = "node"
WORKER = b"worker"
CLIENT = b"client"

Message = Envelope | Control


def address(name: str, *endpoints: str, serial: int = 1) -> BrokerAddress:
    """A broker's address; its certificate is its name, and its serial number if that is not 1."""
    certificate = name if serial == 1 else f"{name}0{serial}"
    return BrokerAddress(
        name=name,
        endpoints=endpoints or (f"tcp://{name}:1",),
        key=name.encode().ljust(32),
        serial=serial,
        certificate=certificate.encode(),
    )


def verify(certificate: bytes) -> BrokerAddress:
    """Certificates of this net are just names; anything else is forged."""
    if not certificate.isalnum():
        raise ProtocolError("the authority of this net has not signed it")
    return address(certificate.decode())


def request_id(number: int) -> bytes:
    return number.to_bytes(16)


class Broker:
    """What a test lets a broker do. It keeps sessions and heartbeats going by itself; the rest is the script's.

    Attributes:
        accepts: whether a new connection gets its WELCOME at once.
        refusal: how a new connection fails at once, if it does.
        beats: whether it sends heartbeats.
        reads: whether what the node sends leaves the node; otherwise it stays unsent.
        opened: the endpoints that the node connected to, in order.
        inbox: what the node sent and the test has not looked at.
        epochs: the session that a request came over, by its tag.
    """

    def __init__(self, rig: "NodeRig", address: BrokerAddress, services: Iterable[str]) -> None:
        self.rig = rig
        self.name = address.name
        self.address = address
        self.services = list(services)
        self.accepts = True
        self.refusal: Failure | None = None
        self.beats = True
        self.reads = True
        self.heartbeat_ms = max(1, int(rig.settings.heartbeat_s * 1000))
        self.payload_bytes_max = rig.settings.payload_bytes_max
        self.connected = False
        self.opened: list[str] = []
        self.opened_at: list[float] = []
        self.inbox: list[Message] = []
        self.unread: list[bytes] = []
        self.epochs: dict[int, int] = {}
        self.came_in: dict[int, int] = {}
        self.beat_at = 0.0
        self._tag = 0

    @property
    def link(self) -> Link:
        return self.rig.core.links.links[self.name]

    @property
    def beating(self) -> bool:
        """Whether it says heartbeats in a session; a broker that the node has forgotten has none."""
        link = self.rig.core.links.links.get(self.name)
        return self.beats and link is not None and link.open

    # -- what the node sent

    def take(self, kind: int | type[Any]) -> list[Any]:
        """Return the messages of a command, or of a control type, and forget them."""

        def wanted(message: Message) -> bool:
            if isinstance(kind, int):
                return isinstance(message, Envelope) and message.command == kind
            return isinstance(message, kind)

        taken = [message for message in self.inbox if wanted(message)]
        self.inbox = [message for message in self.inbox if not wanted(message)]
        return taken

    def requests(self) -> list[Envelope]:
        return self.take(REQUEST)

    def request(self) -> Envelope:
        """Return the only request that has come."""
        (request,) = self.requests()
        return request

    def accept_message(self, message: bytes) -> None:
        if message[5] == REQUEST:
            self.epochs[decode(message).tag] = self.link.epoch
        if not self.reads:
            self.unread.append(message)
            return
        decoded = control.decode_control(message) if message[5] >= CONTROL_FIRST else decode(message)
        assert decoded is not None
        if isinstance(decoded, Envelope):
            self.came_in[id(decoded)] = self.link.epoch
        self.inbox.append(decoded)

    def resume(self) -> None:
        """Read on, beginning with what has waited."""
        self.reads = True
        unread, self.unread = self.unread, []
        for message in unread:
            self.accept_message(message)

    # -- the session

    def open(self, endpoint: str) -> None:
        assert not self.connected, "a second socket for one link"
        self.opened.append(endpoint)
        self.opened_at.append(self.rig.now)
        self.connected = True
        if self.refusal is not None:
            self.die(self.refusal)
        elif self.accepts:
            self.handshake()
            self.welcome()

    def handshake(self) -> None:
        self.rig.core.on_connected(self.name, self.rig.now)
        self.rig.pump()

    def welcome(self) -> None:
        self.say(
            control.Welcome(self.name, NODE, self.heartbeat_ms, self.payload_bytes_max),
            control.Services(self.services),
        )

    def die(self, failure: Failure = Failure.CLOSED, unsent: Iterable[bytes] = ()) -> None:
        """End the connection. What the broker did not read never left the node."""
        self.connected = False
        unread, self.unread = self.unread, []
        self.rig.core.on_failed(self.name, failure, [*unsent, *unread], self.rig.now)
        self.rig.pump()

    def crash(self) -> None:
        """Die, and be unreachable from now on."""
        self.refusal = Failure.UNREACHABLE
        self.die()

    # -- what the broker says

    def say(self, *messages: Message, sent_at: float | None = None) -> None:
        """Send messages as one bundle, written at `sent_at`."""
        sent_ms = int((self.rig.now if sent_at is None else sent_at) * 1000) & UINT32
        parts = []
        for message in messages:
            if isinstance(message, Envelope):
                message.sent_ms = sent_ms
                parts.append(encode(message))
            else:
                parts.append(control.encode_control(message, sent_ms))
        self.say_bytes(b"".join(parts))

    def say_bytes(self, frame: bytes) -> None:
        if self.connected:
            self.rig.core.on_frame(self.name, frame, self.rig.now)
            self.rig.pump()

    # -- answers to the node as a client

    def answer(self, request: Envelope, command: int, **fields: Any) -> None:
        self.say(answer_to(request, command, **fields))

    def reply(self, request: Envelope, payload: bytes = b"pong", **fields: Any) -> None:
        self.answer(request, REPLY, payload=payload, **fields)

    def fail(self, request: Envelope, error: ServiceError) -> None:
        self.answer(request, REPLY, code=Outcome.ERROR, payload=control.encode_failure(error, self.payload_bytes_max))

    def working(self, request: Envelope, progress: Progress = Progress.RUNNING, **fields: Any) -> None:
        self.answer(request, WORKING, code=progress, **fields)

    def reject(self, request: Envelope, reason: int = Reason.BUSY, *, retry_after_ms: int = 0, **fields: Any) -> None:
        self.answer(request, REJECT, code=reason, time_ms=retry_after_ms, **{"sender": self.name.encode(), **fields})

    def lose(self, request: Envelope, **fields: Any) -> None:
        self.answer(request, LOST, **{"sender": self.name.encode(), **fields})

    # -- requests to the node as a worker

    def ask(
        self,
        number: int = 1,
        *,
        service: bytes = b"echo",
        time_ms: int = 5_000,
        sent_at: float | None = None,
        sender: bytes = CLIENT,
        **fields: Any,
    ) -> int:
        """Send the request of that number to the node; return its tag."""
        self._tag += 1
        tag = fields.pop("tag", self._tag)
        receiver = fields.pop("receiver", NODE.encode())
        envelope = Envelope(
            REQUEST,
            request_id(number),
            tag=tag,
            service=service,
            sender=sender,
            time_ms=time_ms,
            receiver=receiver,
            **fields,
        )
        self.say(envelope, sent_at=sent_at)
        return tag

    def cancel(self, number: int, tag: int, how: int = Withdrawal.GIVEN_UP, *, sender: bytes = CLIENT) -> None:
        self.say(Envelope(CANCEL, request_id(number), tag=tag, sender=sender, code=how))

    def answers(self) -> list[Envelope]:
        """Return the final answers of the worker, and forget them."""
        return [message for command in (REPLY, REJECT, LOST) for message in self.take(command)]

    def credit(self) -> int | None:
        """Return the newest grant, and forget the others."""
        grants = self.take(control.Ready)
        return grants[-1].credit if grants else None


def answer_to(request: Envelope, command: int, **fields: Any) -> Envelope:
    return Envelope(
        command,
        **{
            "id": request.id,
            "tag": request.tag,
            "retry_count": request.retry_count,
            "service": request.service,
            "sender": WORKER,
            "receiver": NODE.encode(),
            **fields,
        },
    )


class NodeRig:
    """A node and its brokers.

    Attributes:
        results: what came of each call, by its id.
        jobs: what the worker was told to run, in order.
        begins: whether handlers begin at once; otherwise a test lets them.
        stopped: what it was told to stop.
        log: the events.
        books: what it has told its observer, checked against what it holds.
        warnings: those that are warnings.
        found: what a lookup of a broker's endpoints finds, by its name, if not the endpoints; None: it takes forever.
        lookups: whose endpoints were looked up, in order.
    """

    def __init__(
        self,
        *names: str,
        settings: Settings | None = None,
        seed: int = 1,
        serves: dict[str, int] | None = None,
        provides: Iterable[str] = ("echo",),
        connect: bool = True,
        calls: tuple[str, ...] = ("*",),
        keyring: Keyring | None = None,
        observer: NodeObserver | None = None,
        papers: Papers | None = None,
    ) -> None:
        member = Member(NODE, Role.NODE, calls=calls, serves=("*",))
        self.now = START
        self.settings = settings or Settings()
        rng, secret = random.Random(seed), random.Random(~seed).randbytes(SECRET_BYTES)
        self.books = NodeBooks(observer)
        self.core = NodeCore(
            member,
            self.settings,
            rng,
            verify,
            secret=secret,
            software="rig",
            now=self.now,
            keyring=keyring,
            observer=self.books,
            papers=papers,
        )
        self.client = self.core.client
        self.worker = self.core.worker
        self.results: dict[bytes, Reply | BraidError] = {}
        self.resolved_at: dict[bytes, float] = {}
        self.begins = True
        self.begun: set[bytes] = set()
        self.jobs: list[Job] = []
        self.stopped: list[Job] = []
        self.log: list[str] = []
        self.warnings: list[str] = []
        self.brokers: dict[str, Broker] = {}
        self.found: dict[str, list[str] | None] = {}
        self.lookups: list[str] = []
        for service, concurrency in (serves or {}).items():
            self.worker.offer(service, concurrency)
        for name in names:
            self.add(address(name), provides)
        if connect:
            self.advance(0.0)

    def __getitem__(self, name: str) -> Broker:
        return self.brokers[name]

    def add(self, address: BrokerAddress, provides: Iterable[str] = ("echo",)) -> Broker:
        """Put a broker into the node's configuration."""
        broker = self.brokers[address.name] = Broker(self, address, provides)
        self.core.learn(address, self.now)
        return broker

    # -- the shell

    def pump(self) -> None:
        """Do what the core asks for."""
        core = self.core
        while jobs := core.worker.take_jobs():  # one that may not begin gives its place to the next
            for job in jobs:
                assert job.deadline > self.now, "a start after the end"
                if not self.begins or core.worker.begin(job, self.now):
                    self.jobs.append(job)
        self.stopped += core.worker.take_cancels()
        for id_, outcome in core.client.take_results():
            assert id_ in self.begun, "a result for no call"
            assert id_ not in self.results, "a second result"
            self.results[id_] = outcome
            self.resolved_at[id_] = self.now
        actions = self._look_up()
        for action in actions:
            if isinstance(action, Close) and action.name in self.brokers:
                self.brokers[action.name].connected = False
                self.brokers[action.name].unread.clear()
        for name, messages in core.take_sends().items():
            for message in messages:
                self.brokers[name].accept_message(message)
        events = core.take_events()
        self.log += [str(event) for event in events]
        self.warnings += [str(event) for event in events if event.level >= WARNING]
        core.validate_state()
        self.books.check(core)
        for action in actions:
            if isinstance(action, Open):
                if action.name not in self.brokers:
                    self.brokers[action.name] = Broker(self, address(action.name), ("echo",))
                self.brokers[action.name].open(action.endpoint)
        if core.resting:
            core.rest(self.now)

    def _look_up(self) -> list[Action]:
        """Return what is to be done with sockets, after all look-ups that lead there."""
        core, actions = self.core, []
        while more := core.take_actions():
            actions += more
            for action in more:
                if isinstance(action, Resolve):
                    self.lookups.append(action.name)
                    found = self.found.get(action.name, list(action.endpoints))
                    if found is not None:
                        core.on_resolved(action.name, found, self.now)
        return actions

    def advance(self, seconds: float) -> None:
        """Let time pass: timers fire when they are due, and brokers that beat are heard."""
        end = self.now + seconds
        instants = Instants()
        while True:
            beats = [broker.beat_at for broker in self.brokers.values() if broker.beating]
            self.now = max(self.now, min(end, self.core.next_deadline(), *beats))
            for broker in self.brokers.values():
                if broker.beating and self.now >= broker.beat_at:
                    broker.beat_at = self.now + self.settings.heartbeat_s / 2
                    broker.say(control.Heartbeat())
            if self.now >= self.core.next_deadline():
                instants.fire(self.now)
                self.core.on_timer(self.now)
                self.pump()
                self.core.rest(self.now)
            if self.now >= end and self.core.next_deadline() > self.now:
                return

    def jump(self, seconds: float) -> None:
        """Let time pass without running: the process was stopped, or its event loop blocked."""
        self.now += seconds
        self.core.on_timer(self.now)
        self.pump()

    # -- the caller

    def call(self, service: str = "echo", payload: bytes = b"ping", headers: Any = None, **options: Any) -> bytes:
        """Begin a call and return its id."""
        options["metadata"] = {"headers": headers}
        id_ = self.client.request(service, payload, now=self.now, **options)
        self.begun.add(id_)
        self.pump()
        return id_

    def cancel(self, id_: bytes) -> None:
        self.client.cancel(id_, self.now)
        self.pump()

    def begin(self, job: Job) -> bool:
        """Let a handler begin, and return whether it may."""
        may_begin = self.worker.begin(job, self.now)
        self.pump()
        return may_begin

    def finish(self, job: Job, outcome: bytes | ServiceError | None = b"pong") -> None:
        self.worker.on_done(job, outcome, self.now)
        self.pump()

    # -- what the node did

    def sent(self) -> list[tuple[Broker, Envelope]]:
        """Return the requests that have come to any broker, and forget them."""
        return [(broker, request) for broker in self.brokers.values() for request in broker.requests()]

    def attempt(self) -> tuple[Broker, Envelope]:
        """Return the only request that has come to any broker."""
        (attempt,) = self.sent()
        return attempt

    def other(self, broker: Broker) -> Broker:
        """Return the other one of two brokers."""
        (other,) = (one for one in self.brokers.values() if one is not broker)
        return other


@contextmanager
def checked_rigs() -> Iterator[Callable[..., NodeRig]]:
    """Yield what makes rigs, and let each validate its state at the end."""
    rigs: list[NodeRig] = []

    def make(*names: str, **options: Any) -> NodeRig:
        rigs.append(NodeRig(*names, **options))
        return rigs[-1]

    yield make
    for rig in rigs:
        rig.core.validate_state()
