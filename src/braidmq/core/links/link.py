"""One connection to one broker: how it stands, why it failed, and what its owner keeps of it."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Any, Final

from braidmq.core.balancing import PeakEwma
from braidmq.core.intake import Inlet
from braidmq.core.links.health import FAIR_PRICE, Health
from braidmq.core.links.lists import Lists
from braidmq.core.liveness import Silence
from braidmq.core.staleness import Staleness


class LinkState(StrEnum):
    """How a link stands."""

    WAITING = "waiting"
    """Not connected; it will be tried again."""
    CONNECTING = "connecting"
    UP = "up"
    SUSPECT = "suspect"
    """Connected but silent for too long to be given new work."""
    DRAINING = "draining"
    """The broker takes no new requests; answers still come."""


OPEN: Final = frozenset((LinkState.UP, LinkState.SUSPECT, LinkState.DRAINING))
"""States in which there is a session with the broker."""


class Failure(StrEnum):
    """Why a connection could not be made or ended, as far as the transport can tell."""

    CLOSED = "the connection was closed"
    UNREACHABLE = "nothing answers there"
    NO_ANSWER = "no answer of any kind: the host is down, or packets are dropped on the way (a firewall?)"
    UNRESOLVED = "its host name has no address"
    MUTE = "it takes connections but says nothing: it is no broker, or one that hangs"
    HUNG_UP = "what answers there ended the handshake: it does not hold this broker's key, or is about to stop"
    RESET = "it resets every connection: a proxy or firewall without a broker behind it, or another program"
    FOREIGN = "what answers there is no broker: it speaks another protocol"
    HTTP = "what answers there is no broker, it is an HTTP server: check address and port"
    NOT_REGISTERED = "the broker refuses this key: it is not registered"
    REMOVED = "the broker refuses this key: its member was removed from the net; it must be added again"
    REVOKED = "the broker refuses this key: it was revoked, for good; the member needs a new join file"
    EXPIRED = "the broker refuses this key: its certificate has expired; it must be renewed"
    BARRED = "the broker keeps this key out for some seconds, for what it has done: the broker's log says what"
    THRONG = "this key has as many connections to the broker as one may have: give each process a join file of its own"
    EARLY = "the broker has just started and asks the others for the registry first: it lets members in soon"
    UNJUDGED = "the broker could not judge this key, by an error of its own, which its log tells"
    OTHER_NET = "what answers there does not hold this broker's key: it is a broker of another net; take its join file"
    OTHER_KEY = (
        "what answers there does not hold this broker's key: it is another broker, or newer than this join file, which "
        "must be got anew"
    )
    VERSION = "the broker speaks another version of BRAID: install the same major version of braidmq at both"
    NOT_THIS_BROKER = "what answers there does not hold this broker's key, or is no broker"
    SILENT = "the broker was silent for too long"
    HUNG = "the broker was silent for too long, though its host has taken all that was sent: its process hangs"
    TOO_SLOW = "the broker reads too slowly: too much waits for it"
    LARGE_LOST = (
        "large packets to the broker are lost on the way, and nothing says so: its path takes only smaller ones"
    )
    SESSION_REFUSED = "the broker ended the session"
    DRAINING = "the broker is about to stop"
    NONSENSE = "the broker sends what is not BRAID/1, again and again"
    CHANGED = "what the broker sends does not arrive as it was sent: something on the way changes it"
    FLOODED = "the broker sends more than can be read, and is left alone for some seconds"
    UNASKED = "the broker sends answers that nobody asked for, and is left alone for some seconds"
    FAULT = "a message of the broker has met an error of this program's own, which its log tells"
    NO_ROOM = "this process has no file descriptors left for a connection: raise its limit (`ulimit -n`, LimitNOFILE=)"


class Step(Enum):
    """How far a connection has come that is being made."""

    REACHED = "reached"
    """Something takes connections there."""
    GREETED = "greeted"
    """The handshake is complete: it is the broker."""


AGGRIEVING: Final = frozenset((Failure.NONSENSE, Failure.FLOODED, Failure.UNASKED, Failure.FAULT))
"""Failures for which this side has left a broker because of what it sends: the pause grows, however long its sessions
last."""

ABANDONED: Final = (
    frozenset((Failure.SILENT, Failure.HUNG, Failure.TOO_SLOW, Failure.CHANGED, Failure.LARGE_LOST)) | AGGRIEVING
)
"""Failures for which this side gave up a connection that may have been whole: what was sent may still arrive."""


KEY_REFUSED: Final = frozenset((Failure.NOT_REGISTERED, Failure.REMOVED, Failure.REVOKED, Failure.EXPIRED))
"""Failures by which a broker has said that it lets this key in no more."""

FINAL: Final = KEY_REFUSED | {Failure.OTHER_NET, Failure.OTHER_KEY, Failure.VERSION}
"""Failures that do not pass by themselves: somebody has to change something first."""

HARMLESS: Final = frozenset((Failure.DRAINING, Failure.HUNG_UP, Failure.EARLY))
"""Failures of brokers that are about to stop, as they do now and then, or have just started."""

BROKEN: Final = frozenset((Failure.CLOSED, Failure.CHANGED))
"""Failures of connections that had come about, over which the broker has not said that it would end them: it was there,
and may be again at once."""


class Change(Enum):
    """What happened to a link, for the core that owns it."""

    UP = "up"
    DOWN = "down"
    STATE = "state"
    SERVICES = "services"
    PEERS = "peers"
    """The broker lists other brokers than before."""
    GONE = "gone"
    """The broker was forgotten: it is no link any more."""

    @property
    def about_credit(self) -> bool:
        """Whether a worker may have to spread its credit anew."""
        return self not in (Change.SERVICES, Change.PEERS)


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """A broker as its certificate describes it.

    Attributes:
        name: its registered name.
        endpoints: where it can be reached, in order of preference; at least one.
        key: its CURVE public key, 32 bytes.
        certificate: the signed certificate that says so.
        serial: the certificate's number; a higher one replaces a lower one.
        former_key: the key that still holds beside, while the broker gets a new one; empty if there is none.
    """

    name: str
    endpoints: tuple[str, ...]
    key: bytes
    certificate: bytes
    serial: int
    former_key: bytes = b""


Verify = Callable[[bytes], BrokerAddress]
"""Returns the address in a certificate, or raises ProtocolError if this net's authority has not signed it."""


@dataclass(frozen=True, slots=True)
class Resolve:
    """Look up the addresses behind endpoints, and tell them by `on_resolved`; those that are addresses stay."""

    name: str
    endpoints: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Open:
    """Make a new socket and connect it."""

    name: str
    endpoint: str
    key: bytes


@dataclass(frozen=True, slots=True)
class Close:
    """Close the socket and forget it.

    Attributes:
        name: of the broker.
        silent: whether the broker has said nothing for too long; tell by `on_hung` if its host takes what is sent.
    """

    name: str
    silent: bool = False


Action = Resolve | Open | Close
"""What a shell does with sockets on behalf of a core."""


MALFORMED_MAX: Final = 100
"""Malformed messages in one session before a broker is left. A broken one sends many of them, a healthy one none."""


class Link:
    """One broker and the connection to it.

    Attributes:
        configured: whether it comes from this member's own file; otherwise brokers told of it, and it is forgotten
            once they tell so no more.
        wanted: whether there should be a connection; False for those beyond brokers_connected_max.
        resolving: whether the addresses are being looked up.
        target: the address that is in use, or was tried last.
        targets: addresses that are left to try in this round.
        met: whether something takes connections at the address that is being tried.
        slow: whether that attempt has lasted for a while.
        last_good: the address that worked last.
        retiring: whether this node is about to end the session, because it is no longer wanted.
        peers: the brokers that this broker listed last, without the dead.
        reached: those of them that it was connected to.
        dropped: those that it listed earlier in the session, and lists no more.
        unlisted_at: since when this broker cannot be reached, and no other one lists it.
        told: the failures that were told since a session began; each is told once.
        failures: rounds that failed since a connection has lasted for reconnect_s_max.
        refusal: why the broker has refused or ended a session, with its own words; empty if it has not said why.
        welcomed_at: when the session began.
        unix_ahead_s: what to add to the time for that of the broker's clock, in Unix seconds; 0.0 if it has not told.
        hello_at: when this side asked for it.
        journey: how long requests take over this path to their workers and back, without the time that they run there,
            as far as that is known.
        health: what came of calls over this path, also in earlier sessions.
        silence: what its silence means in this session.
        unread_bytes: what has come from it and was not read yet, if that is much.
        price: what its latency is multiplied with, to a client's choice (path_health.py).
        proven_bytes: the largest payload that the broker is known to have got in this session.
        risked: how many calls are on it whose payloads may make it deaf (passage.py).
        passed_at: when the newest attempt was sent that the broker is known to have.
        epoch: counts the sessions, so that an answer never goes into another session than its request's.
        services: those with a worker at this broker that this node may call.
        inlet: what has come from it.
        calls: what awaits an answer over this link; owned by the client.
        asked: the jobs that have come over this link in this session, by tag; owned by the worker.
        aggrieved_at: when this member has left it last for what it sent, and `aggrieved_s`: how long it is left alone
            next time.
        asked_report: whether a REPORT is awaited.
        malformed: what the broker has sent in this session that is not BRAID/1, counted.
        withdrawn: attempts over this path in this session that nobody waits for any more: each may be answered yet.
        unasked: answers that have come besides since `unasked_since` (late_answers.py).
        lists: those that it has sent and that were not read yet, as they come too fast.
        noted: whether the broker has said that it sends no more requests to this draining node.
        unsent: what was due to the broker when the connection ended and never reached the transport.
    """

    __slots__ = (
        "address",
        "aggrieved_at",
        "aggrieved_s",
        "asked",
        "asked_report",
        "calls",
        "configured",
        "dropped",
        "epoch",
        "ewma",
        "failure",
        "failures",
        "health",
        "heard_at",
        "heartbeat_at",
        "heartbeat_s",
        "hello_at",
        "in_flight",
        "inlet",
        "journey",
        "last_good",
        "lists",
        "malformed",
        "met",
        "name",
        "noted",
        "passed_at",
        "payload_bytes_max",
        "peers",
        "price",
        "proven_bytes",
        "reached",
        "refusal",
        "resolving",
        "retiring",
        "risked",
        "services",
        "silence",
        "since",
        "slow",
        "spoke",
        "staleness",
        "state",
        "target",
        "targets",
        "told",
        "unasked",
        "unasked_since",
        "unix_ahead_s",
        "unlisted_at",
        "unread_bytes",
        "unsent",
        "wake_at",
        "wanted",
        "warned",
        "welcomed_at",
        "withdrawn",
    )

    def __init__(self, address: BrokerAddress, now: float) -> None:
        self.address = address
        self.name = address.name
        self.state = LinkState.WAITING
        self.wake_at = now
        self.aggrieved_at = -math.inf
        self.aggrieved_s = 0.0
        self.since = now
        self.configured = False
        self.wanted = True
        self.resolving = False
        self.target = ""
        self.targets: list[str] = []
        self.met = False
        self.slow = False
        self.last_good = ""
        self.retiring = False
        self.peers: frozenset[str] = frozenset()
        self.reached: frozenset[str] = frozenset()
        self.dropped: frozenset[str] = frozenset()
        self.unlisted_at: float | None = None
        self.told: set[Failure | None] = set()
        self.failures = 0
        self.refusal = ""
        self.welcomed_at = now
        self.unix_ahead_s = 0.0
        self.hello_at = now
        self.failure: Failure | None = None
        self.epoch = 0
        self.heard_at = now
        self.heartbeat_at = now
        self.heartbeat_s = 0.0
        self.silence = Silence(math.inf, math.inf)
        self.payload_bytes_max = 0
        self.services: frozenset[bytes] = frozenset()
        self.staleness = Staleness()
        self.ewma = PeakEwma(now)
        self.journey = PeakEwma(now)
        self.health = Health(now)
        self.price = FAIR_PRICE
        self.unread_bytes = 0
        self.passed_at = -math.inf
        self.proven_bytes = 0
        self.risked = 0
        self.in_flight = 0
        self.calls: dict[Any, None] = {}
        self.inlet: Inlet[Link] = Inlet()
        self.asked: dict[int, Any] = {}
        self.asked_report = False
        self.malformed = 0
        self.withdrawn = 0
        self.unasked = 0
        self.unasked_since = now
        self.lists = Lists()
        self.spoke = False
        self.warned = False
        self.noted = False
        self.unsent: list[bytes] = []

    @property
    def open(self) -> bool:
        """Whether there is a session with the broker."""
        return self.state in OPEN

    @property
    def problem(self) -> str | None:
        """Why there is no session, as far as that can be told; None if there is one, or nothing is known yet."""
        if self.failure is Failure.SESSION_REFUSED and self.refusal:
            return self.refusal
        if self.failure is not None:
            return self.failure.value
        if self.state is not LinkState.CONNECTING or not self.slow:
            return None
        if self.resolving:
            return "no connection yet: its name is being looked up"
        if self.met:
            return "no connection yet: it takes connections, but has not said anything; is it a broker?"
        return "no connection yet: no answer of any kind so far; are packets dropped on the way (a firewall)?"

    def begin_session(self, heartbeat_s: float, silence: Silence, payload_bytes_max: int, now: float) -> None:
        """Note that the broker has welcomed this member: nothing that was known of another session holds any more."""
        self.state = LinkState.UP
        self.since = now
        self.epoch += 1
        self.failure = None
        self.refusal = ""
        self.welcomed_at = now
        self.heartbeat_s = heartbeat_s
        self.heartbeat_at = min(now + heartbeat_s / 2, self.hello_at + heartbeat_s)
        self.spoke = False  # what was said before the answer came has been heard long ago
        self.silence = silence
        self.payload_bytes_max = payload_bytes_max
        self.services = frozenset()
        self.ewma = PeakEwma(now)
        self.journey = PeakEwma(now)
        self.journey.observe(now - self.hello_at, now)
        self.passed_at = -math.inf
        self.proven_bytes = 0
        self.warned = False
        self.noted = False
        self.retiring = False
        self.told.clear()

    def end_session(self, failure: Failure | None, now: float) -> None:
        """Note that the connection has ended, or could not be made; without a `failure` it was left on purpose."""
        self.failure = failure
        self.state = LinkState.WAITING
        self.since = now
        self.services = frozenset()
        self.peers = self.reached = self.dropped = frozenset()
        self.staleness = Staleness()
        self.unread_bytes = 0
        self.asked.clear()
        self.lists.clear()
        self.malformed = 0
        self.withdrawn = 0
        self.unasked = 0
        self.asked_report = False
