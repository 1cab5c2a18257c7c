"""What a broker keeps of its members, of the services they provide, and of the requests on their way."""

from collections import OrderedDict
from enum import StrEnum

from braidmq.core.balancing import Balancer, Candidate, LeastOutstanding, RoundRobin
from braidmq.core.pace import Pace
from braidmq.core.staleness import Staleness
from braidmq.members import Member
from braidmq.settings import Settings


class SessionState(StrEnum):
    """How a connected member stands."""

    OPEN = "open"
    SUSPECT = "suspect"
    """Silent for too long to get new work."""
    LEAVING = "leaving"
    """It finishes what it has and takes nothing new."""


class Account:
    """What one key holds at this broker, over all its connections."""

    __slots__ = ("in_flight", "principal", "queued_bytes", "sessions")

    def __init__(self, principal: str) -> None:
        self.principal = principal
        self.sessions = 0
        self.in_flight = 0
        self.queued_bytes = 0


class Session:
    """A connected member.

    Attributes:
        route: the routing id of its connection.
        requests: as a client: its unanswered requests by the tag it chose.
        assigned: as a worker: the requests it has by the tag the broker chose.
        slots: as a worker: its services.
        spoke: whether something was sent to it since the broker last looked.
        peers_at: when it was sent the list of brokers.
        noted: whether it has said that it sends no more requests to this draining broker.
    """

    __slots__ = (
        "account",
        "assigned",
        "callable",
        "heard_at",
        "heartbeat_s",
        "member",
        "name",
        "noted",
        "peers_at",
        "requests",
        "route",
        "services_sent",
        "slots",
        "spoke",
        "staleness",
        "state",
        "warned",
    )

    def __init__(self, route: bytes, account: Account, member: Member, heartbeat_s: float, now: float) -> None:
        self.route = route
        self.account = account
        self.member = member
        self.name = member.name.encode()
        self.heartbeat_s = heartbeat_s
        self.heard_at = now
        self.staleness = Staleness()
        self.state = SessionState.OPEN
        self.callable: dict[bytes, bool] = {}
        self.requests: dict[int, Exchange] = {}
        self.assigned: dict[int, Exchange] = {}
        self.slots: dict[bytes, Slot] = {}
        self.services_sent: tuple[str, ...] = ()
        self.spoke = False
        self.warned = False
        self.noted = False
        self.peers_at = now


class Slot(Candidate):
    """One session as a worker of one service.

    Attributes:
        outstanding_max: the most it can have: its credit, or what it had when it lowered that.
        addressed: requests that wait for this very worker.
    """

    __slots__ = ("addressed", "outstanding_max", "service", "session")

    def __init__(self, service: "Service", session: Session) -> None:
        super().__init__()
        self.service = service
        self.session = session
        self.outstanding_max = 0
        self.addressed: OrderedDict[Exchange, None] = OrderedDict()


class Service:
    """A service, its workers, and the requests that wait for one.

    Attributes:
        slots: its workers, ready or not.
        queue: requests that wait for any worker, the oldest first.
        queued: how many wait, those addressed to one worker included.
        demand_at: when the workers may be asked for more credit again.
        pace: how fast it works off what waits.
    """

    __slots__ = ("balancer", "demand_at", "name", "pace", "queue", "queued", "slots")

    def __init__(self, name: bytes, settings: Settings) -> None:
        self.name = name
        self.slots: dict[Session, Slot] = {}
        self.balancer: Balancer[Slot] = RoundRobin() if settings.balance == "round-robin" else LeastOutstanding()
        self.queue: OrderedDict[Exchange, None] = OrderedDict()
        self.queued = 0
        self.demand_at = 0.0
        self.pace = Pace()

    def offer(self, slot: Slot) -> None:
        """Let the balancer see `slot` as it is now."""
        if slot.session.state is SessionState.OPEN:
            self.balancer.put(slot)
        else:
            self.balancer.remove(slot)

    def available(self) -> bool:
        """Whether a request would find a worker now, at once or after a wait."""
        return any(slot.credit and slot.session.state is SessionState.OPEN for slot in self.slots.values())

    def free_credit(self) -> int:
        """Return how many more requests its ready workers accept now."""
        return sum(
            max(0, slot.credit - slot.outstanding)
            for slot in self.slots.values()
            if slot.session.state is SessionState.OPEN
        )

    def validate_state(self, settings: Settings) -> None:
        """Assert what always holds between two inputs. For tests."""
        assert self.queued == len(self.queue) + sum(len(slot.addressed) for slot in self.slots.values())
        assert self.queued <= settings.queue_messages_max
        for exchange in self.queue:
            assert exchange.service is self
            assert exchange.wanted is None
        offered = []
        for session, slot in self.slots.items():
            assert slot.session is session
            assert slot.service is self
            assert session.slots[self.name] is slot
            assert 0 <= slot.outstanding <= slot.outstanding_max
            is_open = session.state is SessionState.OPEN
            assert is_open or not slot.addressed, "only a worker that can get them is waited for"
            if is_open and slot.outstanding < slot.credit:
                offered.append(slot)
                assert not self.queue, "what waits goes to whoever has credit"
                assert not slot.addressed, "what waits for a worker goes to it once it has credit"
            for exchange in slot.addressed:
                assert exchange.service is self
                assert exchange.wanted is slot
        self.balancer.validate_state(offered)


class Exchange:
    """One attempt of a request on its way through this broker.

    Attributes:
        client: where the answer goes; None once the client is gone or has given up.
        client_tag: the tag that the client chose for this attempt.
        slot: the worker that has it; None while it waits.
        wanted: the worker whose queue it waits in, if it is addressed to one.
        tag: the tag that the broker chose towards the worker.
        waits: whether it waits for a worker; then it counts with `size_bytes`, the size of its message.
        rest: its extension block and payload while it waits; empty afterwards.
        version: of its message, and what its worker is to be told likewise: flags, retry_count, code,
            extension_bytes (the size of that block), working_ms.
        fed_at: when it went to its worker, if it has waited.
        timer: its bucket in the broker's timers.
    """

    __slots__ = (
        "account",
        "client",
        "client_tag",
        "code",
        "deadline",
        "extension_bytes",
        "fed_at",
        "flags",
        "id",
        "rest",
        "retry_count",
        "service",
        "size_bytes",
        "slot",
        "tag",
        "timer",
        "version",
        "waits",
        "wanted",
        "working_ms",
    )

    def __init__(
        self,
        client: Session,
        client_tag: int,
        id_: bytes,
        service: Service,
        *,
        deadline: float,
        size_bytes: int,
        version: int,
        flags: int,
        retry_count: int,
        code: int,
        extension_bytes: int,
        working_ms: int,
    ) -> None:
        self.client: Session | None = client
        self.account = client.account
        self.client_tag = client_tag
        self.id = id_
        self.service = service
        self.deadline = deadline
        self.size_bytes = size_bytes
        self.version = version
        self.flags = flags
        self.retry_count = retry_count
        self.code = code
        self.extension_bytes = extension_bytes
        self.working_ms = working_ms
        self.slot: Slot | None = None
        self.wanted: Slot | None = None
        self.tag = 0
        self.waits = False
        self.rest = b""
        self.fed_at = 0.0
        self.timer = 0
