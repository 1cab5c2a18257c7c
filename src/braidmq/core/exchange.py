"""What a broker keeps of its members, of the services they provide, and of the requests on their way."""

from enum import StrEnum
from typing import Final

from braidmq.core.balancing import Balancer, Candidate, LeastOutstanding, RoundRobin
from braidmq.core.fair_queue import FairQueue
from braidmq.core.intake import Inlet
from braidmq.core.pace import Pace
from braidmq.core.staleness import Staleness
from braidmq.members import Member, is_service
from braidmq.settings import Settings
from braidmq.wire.envelope import Field, field_of

CALLABLE_MAX: Final = 1_024
"""Services whose permission is remembered per key; a client that tries more is asked anew."""


class SessionState(StrEnum):
    """How a connected member stands."""

    OPEN = "open"
    SUSPECT = "suspect"
    """Silent for too long to get new work."""
    LEAVING = "leaving"
    """It finishes what it has and takes nothing new."""


_OPEN: Final = SessionState.OPEN
_NEVER: Final = float("-inf")


OFFENCES_PER_S: Final = 10.0
"""Malformed messages of a key that are forgotten each second."""

OFFENCES_MAX: Final = 1_000
"""Malformed messages of a key beyond those, before it is barred: some come from another version, or a bad cable."""

JOINS_PER_S: Final = 100.0
"""Requests of a key each second that may go to the worker which they name although that has no credit left: further
attempts that find there what runs already, which is seldom. But whoever makes them up passes by all that waits."""

JOINS_MAX: Final = 512
"""How many of them may come at once: two nodes' calls, when another broker ends that had all of them."""

JOINS_FIRST: Final = 32
"""How many of these a key has when it comes: coming and going earns it none."""

JOINING_BYTES_MAX: Final = 32 * 1024 * 1024
"""Their size at one worker, half of what a node takes for a flood."""


class Account:
    """What one key holds at this broker, over all its connections.

    Attributes:
        callable: whether it may call services, as far as that was asked.
        in_flight: its unanswered requests.
        queued_bytes: of those that wait for a worker.
        kept_bytes: of those that were just given to workers.
        expected: services that are known here only because it has called them.
        serves: the services that it provides, with how many of its sessions do.
        granted: the credit of all of these.
        assigned: requests that its sessions have as workers.
        seeks: how often it was answered SEEK since the last tick.
        joins_left: how many more of its requests may go to workers without credit, as of `joins_at`.
        joining_bytes: of those that have.
        inlet: what has come from it.
        offences: how many malformed messages it has sent, as of `offended_at`.
    """

    __slots__ = (
        "assigned",
        "callable",
        "expected",
        "granted",
        "in_flight",
        "inlet",
        "joining_bytes",
        "joins_at",
        "joins_left",
        "kept_bytes",
        "offences",
        "offended_at",
        "principal",
        "queued_bytes",
        "seeks",
        "serves",
        "sessions",
    )

    def __init__(self, principal: str, now: float = 0.0) -> None:
        self.principal = principal
        self.inlet: Inlet[Session] = Inlet()
        self.offences = 0.0
        self.offended_at = 0.0
        self.sessions = 0
        self.callable: dict[bytes, bool] = {}
        self.in_flight = 0
        self.queued_bytes = 0
        self.kept_bytes = 0
        self.expected = 0
        self.serves: dict[bytes, int] = {}
        self.granted = 0
        self.assigned = 0
        self.seeks = 0
        self.joins_left = float(JOINS_FIRST)
        self.joins_at = now
        self.joining_bytes = 0

    def join(self, now: float) -> bool:
        """Whether a request of it may go to a worker without credit, as far as their number goes; count it."""
        self.joins_left = min(float(JOINS_MAX), self.joins_left + JOINS_PER_S * (now - self.joins_at))
        self.joins_at = now
        if self.joins_left < 1.0:
            return False
        self.joins_left -= 1.0
        return True

    def offend(self, now: float) -> None:
        """Take in that it has sent a malformed message."""
        self.offences = max(0.0, self.offences - OFFENCES_PER_S * (now - self.offended_at)) + 1.0
        self.offended_at = now


class Session:
    """A connected member.

    Attributes:
        route: the routing id of its connection.
        instance: what tells its process from others with the same key.
        callable: that of its account.
        requests: as a client: its unanswered requests by the tag it chose.
        assigned: as a worker: the requests it has by the tag the broker chose.
        slots: as a worker: its services.
        joining_bytes: as a worker: the size of the requests that it has without credit.
        postponed: as a worker: the grants that a limit has kept from being taken, by service.
        began_at: when it began.
        told: whether the log has it.
        spoke: whether something was sent to it since the broker last looked.
        peers_at: when it was sent the list of brokers.
        noted: whether it has said that it sends no more requests to this draining broker.
    """

    __slots__ = (
        "account",
        "assigned",
        "began_at",
        "callable",
        "heard_at",
        "heartbeat_s",
        "instance",
        "joining_bytes",
        "member",
        "name",
        "noted",
        "peers_at",
        "postponed",
        "requests",
        "route",
        "services_sent",
        "slots",
        "spoke",
        "staleness",
        "state",
        "told",
        "warned",
    )

    def __init__(self, route: bytes, account: Account, member: Member, heartbeat_s: float, now: float) -> None:
        self.route = route
        self.account = account
        self.member = member
        self.name = member.name.encode()
        self.instance = b""
        self.heartbeat_s = heartbeat_s
        self.heard_at = now
        self.began_at = now
        self.told = False
        self.staleness = Staleness()
        self.state = SessionState.OPEN
        self.callable = account.callable
        self.requests: dict[int, Exchange] = {}
        self.assigned: dict[int, Exchange] = {}
        self.slots: dict[bytes, Slot] = {}
        self.postponed: dict[bytes, int] = {}
        self.joining_bytes = 0
        self.services_sent: tuple[str, ...] = ()
        self.spoke = False
        self.warned = False
        self.noted = False
        self.peers_at = now

    def may_call(self, service: bytes) -> bool:
        """Whether it may call a service; the answer is remembered in `callable`."""
        try:
            name = service.decode("ascii")
        except UnicodeDecodeError:
            return False
        if len(self.callable) >= CALLABLE_MAX:
            self.callable.clear()
        allowed = self.callable[service] = is_service(name) and self.member.may_call(name)
        return allowed


class Slot(Candidate):
    """One session as a worker of one service.

    Attributes:
        full: whether it has given a request back for want of a place: it gets no more until its next READY.
        cools: whether it gets no more for a while, as it has refused what others would have run (cooling.py).
        refusals: how many requests in a row it has refused, or lost.
        lost_of: the key whose request it has lost last.
    """

    __slots__ = ("cool_until", "cools", "full", "lost_of", "refusals", "service", "session")

    def __init__(self, service: "Service", session: Session) -> None:
        super().__init__(session.account.principal)
        self.service = service
        self.session = session
        self.full = False
        self.cools = False
        self.cool_until = 0.0
        self.refusals = 0
        self.lost_of = ""

    @property
    def listed(self) -> bool:
        """Whether its worker still provides the service."""
        return self.service.slots.get(self.session) is self

    @property
    def ready(self) -> bool:
        """Whether it may be given requests as far as it has credit."""
        return self.session.state is SessionState.OPEN and not self.full and not self.cools


class Service:
    """A service, its workers, and the requests that wait for one.

    Attributes:
        slots: its workers, ready or not.
        granting: how many of them grant credit.
        cooling: those of these that get nothing for a while; never all of them.
        expected_by: the key that has called it before any worker has come.
        queue: requests that wait for any worker; each key has its turn.
        demand_at: when the workers may be asked for more credit again.
        pace: how fast it works off what waits.
    """

    __slots__ = ("balancer", "cooling", "demand_at", "expected_by", "granting", "name", "pace", "queue", "slots")

    def __init__(self, name: bytes, settings: Settings) -> None:
        self.name = name
        self.slots: dict[Session, Slot] = {}
        self.granting = 0
        self.cooling: dict[Slot, None] = {}
        self.expected_by: Account | None = None
        self.balancer: Balancer[Slot] = RoundRobin() if settings.balance == "round-robin" else LeastOutstanding()
        self.queue: FairQueue[Account, Exchange] = FairQueue()
        self.demand_at = 0.0
        self.pace = Pace()

    @property
    def queued(self) -> int:
        """How many requests wait."""
        return self.queue.count

    def offer(self, slot: Slot) -> None:
        """Let the balancer see `slot` as it is now."""
        if slot.session.state is _OPEN and not slot.full and not slot.cools:
            self.balancer.put(slot)
        else:
            self.balancer.remove(slot)

    def pick_other(self, avoided: list[Slot]) -> Slot | None:
        """Return the worker that the next request goes to: none of the avoided ones, if another one has credit."""
        for slot in avoided:
            self.balancer.remove(slot)
        found = self.balancer.pick()
        for slot in avoided:
            self.offer(slot)
        return found or self.balancer.pick()

    def pick_again(self, receiver: bytes, extension: bytes) -> Slot | None:
        """Return the worker that a request of an earlier attempt goes to at once, if there is one.

        It is the one that has it, which needs no credit, as nothing new begins there; or any but those that have been
        silent, as far as the request names them.

        Raises:
            ProtocolError: the extension block is malformed.
        """
        slots = self.slots.values()
        if receiver:
            instance = field_of(extension, Field.INSTANCE)
            for slot in slots:
                session = slot.session
                named = session.name == receiver and (instance is None or session.instance == instance)
                if named and session.state is SessionState.OPEN:
                    return slot
        silent = field_of(extension, Field.AVOID)
        if silent is None:
            return None
        avoided = [slot for slot in slots if slot.session.instance + slot.session.name == silent]
        return self.pick_other(avoided) if avoided else None

    def available(self) -> bool:
        """Whether a request would find a worker now, at once or after a wait."""
        return any(slot.credit and slot.session.state is SessionState.OPEN for slot in self.slots.values())

    def free_credit(self) -> int:
        """Return how many more requests its ready workers accept now."""
        return sum(max(0, slot.credit - slot.outstanding) for slot in self.slots.values() if slot.ready)

    def validate_state(self, settings: Settings) -> None:
        """Assert what always holds between two inputs. For tests."""
        self.queue.validate_state()
        assert self.queued <= settings.queue_messages_max
        for exchange in self.queue:
            assert exchange.service is self
        offered = []
        for session, slot in self.slots.items():
            assert slot.session is session
            assert slot.service is self
            assert session.slots[self.name] is slot
            if slot.ready and slot.outstanding < slot.credit:
                offered.append(slot)
                assert not self.queue, "what waits goes to whoever has credit"
        assert self.granting == sum(slot.credit > 0 for slot in self.slots.values())
        assert set(self.cooling) == {slot for slot in self.slots.values() if slot.cools}
        assert all(slot.credit for slot in self.cooling)
        assert not self.cooling or len(self.cooling) < self.granting, "one that grants is never out of the choice"
        self.balancer.validate_state(offered)
        assert set(self.slots.values()).issuperset(self.balancer.remembered())


class Exchange:
    """One attempt of a request on its way through this broker.

    Attributes:
        client: where the answer goes; None once the client is gone or has given up.
        client_tag: the tag that the client chose for this attempt.
        slot: the worker that has it; None while it waits.
        tag: the tag that the broker chose towards the worker.
        waits: whether it waits for a worker; then it counts with `size_bytes`, the size of its message.
        rest: its extension block and payload: while it waits, and for a moment after it went to a worker, who may
            give it back; then None.
        version: of its message, and what its worker is to be told likewise: flags, retry_count, code,
            extension_bytes (the size of that block), working_ms.
        interval_s: what working_ms stands for.
        joins: whether its worker has it without credit.
        sure_until: until when no other attempt can have overtaken it (patience.py).
        has_waited: whether it has waited.
        dispatched_at: when it went to its worker.
        returns: how often workers have given it back.
        working_at: when its client was last passed a WORKING of the worker.
        superseded: whether its client has sent it again since it went to a worker.
        timer: its bucket in the broker's timers.
    """

    __slots__ = (
        "account",
        "client",
        "client_tag",
        "code",
        "deadline",
        "dispatched_at",
        "extension_bytes",
        "flags",
        "has_waited",
        "id",
        "interval_s",
        "joins",
        "rest",
        "retry_count",
        "returns",
        "service",
        "size_bytes",
        "slot",
        "superseded",
        "sure_until",
        "tag",
        "timer",
        "version",
        "waits",
        "working_at",
        "working_ms",
    )

    def __init__(
        self,
        client: Session,
        client_tag: int,
        id_: bytes,
        service: Service,
        deadline: float,
        sure_until: float,
        size_bytes: int,
        version: int,
        flags: int,
        retry_count: int,
        code: int,
        extension_bytes: int,
        working_ms: int,
        interval_s: float,
    ) -> None:
        self.client: Session | None = client
        self.account = client.account
        self.client_tag = client_tag
        self.id = id_
        self.service = service
        self.deadline = deadline
        self.sure_until = sure_until
        self.size_bytes = size_bytes
        self.version = version
        self.flags = flags
        self.retry_count = retry_count
        self.code = code
        self.extension_bytes = extension_bytes
        self.working_ms = working_ms
        self.interval_s = interval_s
        self.slot: Slot | None = None
        self.tag = 0
        self.waits = False
        self.has_waited = False
        self.rest: bytes | None = None
        self.dispatched_at = 0.0
        self.returns = 0
        self.working_at = _NEVER
        self.superseded = False
        self.joins = False
        self.timer = 0
