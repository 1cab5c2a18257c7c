"""What a broker keeps of its members, of the services they provide, and of the requests on their way."""

from enum import StrEnum
from typing import Final

from braidmq.core.balancing import Balancer, Candidate, LeastOutstanding, RoundRobin
from braidmq.core.broker.conduct import Conduct
from braidmq.core.broker.key_usage import KeyUsage
from braidmq.core.broker.pace import Pace
from braidmq.core.broker.timing import Timing
from braidmq.core.fair_queue import FairQueue
from braidmq.core.liveness import Silence
from braidmq.core.staleness import Staleness
from braidmq.members import Member, is_service
from braidmq.settings import Settings
from braidmq.wire.control import BridgeStatus
from braidmq.wire.extension import INSTANCE_BYTES, Field, field_of

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


class Withholding:
    """Why a member gets no new work.

    Attributes:
        by: who has taken it out.
        since: when.
        credit: what it has granted for its services, and is not taken up.
    """

    __slots__ = ("by", "credit", "since")

    def __init__(self, by: str, since: float) -> None:
        self.by = by
        self.since = since
        self.credit: dict[bytes, int] = {}


class Session:
    """A connected member.

    Attributes:
        route: the routing id of its connection.
        instance: what tells its process from others with the same key.
        call_rights: that of its usage.
        requests: as a client: its unanswered requests by the tag it chose.
        assigned: as a worker: the requests it has by the tag the broker chose.
        offers: as a worker: its services.
        joining_bytes: as a worker: the size of the requests that it has without credit.
        postponed: as a worker: the grants that a limit has kept from being taken, by service.
        began_at: when it began.
        told: whether the log has it.
        silence: what its silence means.
        heartbeat_s: how often a word is due, in seconds; `beat_at`: when it is looked next whether one is.
        paced: whether it may be welcomed again, with another interval.
        bridge: what it has told of itself, if it is a bridge.
        spoke: whether something was sent to it since the broker last looked.
        peers_at: when it was sent the list of brokers.
        noted: whether it has said that it sends no more requests to this draining broker.
        withheld: why it gets no new work, if it was taken out.
        serial: of the certificate that it has; and `roster`: the version of its list of brokers.
    """

    __slots__ = (
        "assigned",
        "beat_at",
        "began_at",
        "bridge",
        "call_rights",
        "heard_at",
        "heartbeat_s",
        "instance",
        "joining_bytes",
        "member",
        "name",
        "noted",
        "offers",
        "paced",
        "peers_at",
        "postponed",
        "requests",
        "roster",
        "route",
        "serial",
        "services_sent",
        "silence",
        "spoke",
        "staleness",
        "state",
        "told",
        "usage",
        "warned",
        "withheld",
    )

    def __init__(
        self, route: bytes, usage: KeyUsage, member: Member, silence: Silence, heartbeat_s: float, now: float
    ) -> None:
        self.route = route
        self.usage = usage
        self.member = member
        self.name = member.name.encode()
        self.instance = b""
        self.silence = silence
        self.heartbeat_s = heartbeat_s
        self.beat_at = now + heartbeat_s / 2
        self.paced = False
        self.bridge: BridgeStatus | None = None
        self.heard_at = now
        self.began_at = now
        self.told = False
        self.staleness = Staleness()
        self.state = SessionState.OPEN
        self.call_rights = usage.call_rights
        self.requests: dict[int, Transit] = {}
        self.assigned: dict[int, Transit] = {}
        self.offers: dict[bytes, Offer] = {}
        self.postponed: dict[bytes, int] = {}
        self.joining_bytes = 0
        self.services_sent: tuple[str, ...] = ()
        self.spoke = False
        self.warned = False
        self.noted = False
        self.peers_at = now
        self.withheld: Withholding | None = None
        self.serial = 0
        self.roster = 0

    def may_call(self, service: bytes) -> bool:
        """Whether it may call a service; the answer is remembered in `callable`."""
        try:
            name = service.decode("ascii")
        except UnicodeDecodeError:
            return False
        if len(self.call_rights) >= CALLABLE_MAX:
            self.call_rights.clear()
        allowed = self.call_rights[service] = is_service(name) and self.member.may_call(name)
        return allowed


class Offer(Candidate):
    """One session as a worker of one service.

    Attributes:
        full: whether it has given a request back for want of a place: it gets no more until its next READY.
        cools: whether it gets no more for a while, as it has refused what others would have run (cooling.py).
        conduct: what the workers of its key do with the requests that they have of this service.
    """

    __slots__ = ("conduct", "cool_until", "cools", "full", "service", "session")

    def __init__(self, service: "Service", session: Session) -> None:
        super().__init__(session.usage.principal)
        self.service = service
        self.session = session
        self.full = False
        self.cools = False
        self.cool_until = 0.0
        self.conduct = service.conduct_of(session.name)
        self.conduct.offers[self] = None

    @property
    def listed(self) -> bool:
        """Whether its worker still provides the service."""
        return self.service.offers.get(self.session) is self

    @property
    def ready(self) -> bool:
        """Whether it may be given requests as far as it has credit."""
        return self.session.state is SessionState.OPEN and not self.full and not self.cools


class Service:
    """A service, its workers, and the requests that wait for one.

    Attributes:
        offers: its workers, ready or not.
        granting: how many of them grant credit.
        cooling: those of these that get nothing for a while; never all of them.
        conducts: what the workers of each member do, by its name; also of some that are gone.
        expected_by: the key that has called it before any worker has come.
        queue: requests that wait for any worker; each key has its turn.
        demand_at: when the workers may be asked for more credit again.
        pace: how fast it works off what waits.
        requests: how many came for it.
        rejected: how many of them the broker has refused itself.
        timing: how long its requests take.
        unmeasured: how many more replies there are until one is measured.
    """

    __slots__ = (
        "balancer",
        "conducts",
        "cooling",
        "demand_at",
        "expected_by",
        "granting",
        "name",
        "offers",
        "pace",
        "queue",
        "rejected",
        "requests",
        "timing",
        "unmeasured",
    )  # fmt: skip

    def __init__(self, name: bytes, settings: Settings) -> None:
        self.name = name
        self.offers: dict[Session, Offer] = {}
        self.granting = 0
        self.cooling: dict[Offer, None] = {}
        self.conducts: dict[bytes, Conduct] = {}
        self.expected_by: KeyUsage | None = None
        self.balancer: Balancer[Offer] = RoundRobin() if settings.balance == "round-robin" else LeastOutstanding()
        self.queue: FairQueue[KeyUsage, Transit] = FairQueue()
        self.demand_at = 0.0
        self.pace = Pace()
        self.requests = 0
        self.rejected = 0
        self.timing = Timing()
        self.unmeasured = 1

    @property
    def queued(self) -> int:
        """How many requests wait."""
        return self.queue.count

    def conduct_of(self, member: bytes) -> Conduct:
        """Return what is known of the workers of a member."""
        conduct = self.conducts.get(member)
        if conduct is None:
            conduct = self.conducts[member] = Conduct(member)
        return conduct

    def workers_of(self, member: bytes) -> list[Offer]:
        """Return the workers of a member."""
        conduct = self.conducts.get(member)
        return [] if conduct is None else [offer for offer in conduct.offers if offer.listed]

    def offer(self, offer: Offer) -> None:
        """Let the balancer see `offer` as it is now."""
        if offer.session.state is _OPEN and not offer.full and not offer.cools:
            self.balancer.put(offer)
        else:
            self.balancer.remove(offer)

    @property
    def replies(self) -> int:
        """How many replies there were."""
        return self.timing.measured + self.timing.stride - self.unmeasured

    def observe_reply(self, transit: "Transit", offer: Offer, *, failed: bool, now: float) -> None:
        """Note how one of several workers has answered."""
        if failed or offer.failing:
            self.balancer.observe_outcome(offer, failed=failed)
        if not failed and not transit.retry_count and offer.listed:
            self.balancer.observe(offer, now - transit.dispatched_at)
            conduct = offer.conduct
            conduct.good += 1.0
            if conduct.watched:
                conduct.praise(transit.usage.principal)

    def pick_other(self, avoided: list[Offer]) -> Offer | None:
        """Return the worker that the next request goes to: none of the avoided ones, if another one has credit."""
        for offer in avoided:
            self.balancer.remove(offer)
        found = self.balancer.pick()
        for offer in avoided:
            self.offer(offer)
        return found or self.balancer.pick()

    def pick_again(self, receiver: bytes, extension: bytes) -> Offer | None:
        """Return the worker that a request of an earlier attempt goes to at once, if there is one.

        It is the one that has it, which needs no credit, as nothing new begins there; or any but those that have been
        silent, as far as the request names them.

        Raises:
            ProtocolError: the extension block is malformed.
        """
        if receiver:
            instance = field_of(extension, Field.INSTANCE)
            for offer in self.workers_of(receiver):
                session = offer.session
                if session.state is SessionState.OPEN and (instance is None or session.instance == instance):
                    return offer
        silent = field_of(extension, Field.AVOID)
        if silent is None:
            return None
        avoided = [
            offer
            for cut in range(INSTANCE_BYTES + 1)
            for offer in self.workers_of(silent[cut:])
            if offer.session.instance == silent[:cut]
        ]
        return self.pick_other(avoided) if avoided else None

    def available(self) -> bool:
        """Whether a request would find a worker now, at once or after a wait."""
        return any(offer.credit and offer.session.state is SessionState.OPEN for offer in self.offers.values())

    def free_credit(self) -> int:
        """Return how many more requests its ready workers accept now."""
        return sum(max(0, offer.credit - offer.outstanding) for offer in self.offers.values() if offer.ready)

    def validate_state(self, settings: Settings) -> None:
        """Assert what always holds between two inputs. For tests."""
        self.queue.validate_state()
        assert self.queued <= settings.queue_messages_max
        for transit in self.queue:
            assert transit.service is self
        offered = []
        for session, offer in self.offers.items():
            assert offer.session is session
            assert offer.service is self
            assert session.offers[self.name] is offer
            if offer.ready and offer.outstanding < offer.credit:
                offered.append(offer)
                assert not self.queue, "what waits goes to whoever has credit"
        assert self.granting == sum(offer.credit > 0 for offer in self.offers.values())
        for conduct in self.conducts.values():
            assert all(offer.listed and offer.conduct is conduct for offer in conduct.offers)
        assert all(offer in offer.conduct.offers for offer in self.offers.values())
        assert set(self.cooling) == {offer for offer in self.offers.values() if offer.cools}
        assert all(offer.credit for offer in self.cooling)
        assert not self.cooling or len(self.cooling) < self.granting, "one that grants is never out of the choice"
        self.balancer.validate_state(offered)
        assert set(self.offers.values()).issuperset(self.balancer.remembered())


class Transit:
    """One attempt of a request on its way through this broker.

    Attributes:
        client: where the answer goes; None once the client is gone or has given up.
        client_tag: the tag that the client chose for this attempt.
        offer: the worker that has it; None while it waits.
        tag: the tag that the broker chose towards the worker.
        waits: whether it waits for a worker; then it counts with `size_bytes`, the size of its message.
        rest: its extension block and payload: while it waits, and for a moment after it went to a worker, who may
            give it back; then None.
        version: of its message, and what its worker is to be told likewise: flags, retry_count, code,
            extension_bytes (the size of that block), working_ms.
        interval_s: what working_ms stands for.
        joins: whether its worker has it without credit.
        sure_until: until when no other attempt can have overtaken it (patience.py).
        came_at: when it has come, if it has waited or was given back by a worker; else 0.0.
        dispatched_at: when it went to its worker.
        returns: how often workers have given it back.
        working_at: when its client was last passed a WORKING of the worker.
        superseded: whether its client has sent it again since it went to a worker.
        timer: its bucket in the broker's timers.
    """

    __slots__ = (
        "came_at",
        "client",
        "client_tag",
        "code",
        "deadline",
        "dispatched_at",
        "extension_bytes",
        "flags",
        "id",
        "interval_s",
        "joins",
        "offer",
        "rest",
        "retry_count",
        "returns",
        "service",
        "size_bytes",
        "superseded",
        "sure_until",
        "tag",
        "timer",
        "usage",
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
        self.usage = client.usage
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
        self.offer: Offer | None = None
        self.tag = 0
        self.waits = False
        self.came_at = 0.0
        self.rest: bytes | None = None
        self.dispatched_at = 0.0
        self.returns = 0
        self.working_at = _NEVER
        self.superseded = False
        self.joins = False
        self.timer = 0
