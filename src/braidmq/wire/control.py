"""The cold messages of BRAID/1: MessagePack maps behind the common prefix, typed and validated by msgspec.

Unknown fields are skipped, so that a newer minor version can add some. Fields: docs/protocol.md, "Control
messages". What brokers tell one another about the net is in gossip.py.

Rows of a Report hold nothing that could hold them, so Python's collector of cycles need not know of them (`gc=False`).
"""

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from braidmq.errors import CODE_BYTES_MAX, ProtocolError, ServiceError
from braidmq.wire.envelope import COMMON, MAJOR, UINT32, VERSION
from braidmq.wire.extension import INSTANCE_BYTES
from braidmq.wire.gossip import MEMBERS_MAX, Blob, Count, Name, ServiceName, State
from braidmq.wire.kinds import Control, kinds_of
from braidmq.wire.limits import CLAIMS_ASKED_MAX, CONTROL_BYTES_MAX, SERVICE_ROWS_MAX
from braidmq.wire.nesting import VALUES_MAX, check_nesting
from braidmq.wire.operation import OperationStatus, Text
from braidmq.wire.registry import Version
from braidmq.wire.registry_status import RegistryStatus

Milliseconds = Annotated[int, Meta(ge=1, le=UINT32)]


class Hello(Control, frozen=True):
    """The first message on a connection, from the side that connected.

    Attributes:
        software: what runs there.
        instance: a random number of the process, by which it is told apart from others with the same key.
        serial: of the sender's own certificate; 0 if it has none yet.
        roster: the version of the list of brokers that the sender has; 0 if it has none.
        asks: whether it wants nothing but its certificate and that list, and no session.
        paced: whether it takes another WELCOME in its session, for another heartbeat interval.
    """

    NUMBER = 32
    software: Text = ""
    instance: Annotated[bytes, Meta(max_length=INSTANCE_BYTES)] = b""
    serial: Version = 0
    roster: Version = 0
    asks: bool = False
    paced: bool = False


class Welcome(Control, frozen=True):
    """The broker's answer to HELLO: the session is open. Later in the session: the heartbeat interval is another one.

    Attributes:
        broker: its name.
        member: the name of who has said HELLO.
        heartbeat_ms: how often to say something.
        payload_bytes_max: the largest payload that it takes.
        software: what runs there.
        time_ms: what its clock says, in milliseconds since 1970 (UTC); 0 if it does not tell.
        registry: the version of the registry that is in force there; 0 if it does not tell.
    """

    NUMBER = 33
    broker: Name
    member: Name
    heartbeat_ms: Milliseconds
    payload_bytes_max: Count
    software: Text = ""
    time_ms: Version = 0
    registry: Version = 0


class Ready(Control, frozen=True):
    """A worker's grant: at most `credit` requests of `service` may be outstanding. The newest grant holds."""

    NUMBER = 34
    service: ServiceName
    credit: Count


class Demand(Control, frozen=True):
    """A broker's wish for more credit: `backlog` requests of `service` wait at it."""

    NUMBER = 41
    service: ServiceName
    backlog: Count


class Heartbeat(Control, frozen=True):
    """Nothing but a sign of life."""

    NUMBER = 35


class Services(Control, frozen=True):
    """The services that this node may call and that have a worker at the broker now. Replaces the last list."""

    NUMBER = 40
    available: Annotated[list[ServiceName], Meta(max_length=SERVICE_ROWS_MAX)]


class Peer(Struct, frozen=True, omit_defaults=True):
    """A broker of the net: its signed certificate, whether the sender is connected to it, and how it stands."""

    certificate: Blob
    connected: bool = False
    state: State = "alive"


class Peers(Control, frozen=True):
    """The brokers of the net as the sender sees it, itself included. Replaces the last list."""

    NUMBER = 36
    brokers: Annotated[list[Peer], Meta(max_length=MEMBERS_MAX)]


class Goodbye(Control, frozen=True):
    """How a session ends.

    `draining`: the sender takes no new requests. `noted`: the answer to that: the sender has sent its last
    request over this session. `ended`: the draining broker ends this session, with nothing left in it.
    `no-session` and `refused`: the broker has no session for this connection.
    """

    NUMBER = 37
    reason: Literal["draining", "noted", "ended", "no-session", "refused"]
    text: Text = ""


class Status(Control, frozen=True):
    """Asks a broker for a Report. Only members with the right to observe get one.

    Attributes:
        claims: names; who claims them by a token is to be told, too.
    """

    NUMBER = 38
    claims: Annotated[list[Name], Meta(max_length=CLAIMS_ASKED_MAX)] = []


class BridgeStatus(Struct, frozen=True, omit_defaults=True, gc=False):
    """What a bridge tells of itself.

    Attributes:
        kind: what it speaks to foreign programs.
        peers: foreign connections that have said something.
        services: what foreign programs provide through it now.
        requests: what foreign programs have asked for since its start; the same holds for what follows.
        errors: those that were answered with an error, or in silence for one.
        denied: what a foreign program was not allowed.
        dropped: what was dropped of what foreign programs have sent, or were to be sent.
    """

    kind: Name
    peers: Count = 0
    services: Count = 0
    requests: Count = 0
    errors: Count = 0
    denied: Count = 0
    dropped: Count = 0


class Bridging(Control, frozen=True):
    """What a node that is a bridge tells of itself, after each change, at most each few seconds. The newest holds."""

    NUMBER = 59
    bridge: BridgeStatus


class ServiceStatus(Struct, frozen=True, omit_defaults=True, gc=False):
    """A service as a broker sees it.

    Attributes:
        name: its name.
        workers: how many it has there.
        credit: how many requests they take at once.
        outstanding: how many they have.
        queued: how many wait for a worker.
        replies: how many were answered, with a result or an error, since the broker has known the service.
        took: how long these have taken, from the request's coming to the reply's leaving; see Histogram.encoded of
            core/histogram.py. Empty where a report tells of too many others.
        requests: how many came for it, since the broker has known the service; None from brokers of older versions.
        rejected: how many of them the broker itself has refused.
    """

    name: str
    workers: int
    credit: int
    outstanding: int
    queued: int
    replies: int = 0
    took: list[int] = []
    requests: int | None = None
    rejected: int = 0


class NodeStatus(Struct, frozen=True, omit_defaults=True, gc=False):
    """A connected node as a broker sees it.

    Attributes:
        name: its name.
        state: open, suspect or leaving.
        silent_ms: for how long nothing was heard of it.
        in_flight: its requests that await an answer.
        serves: the services that it is a worker for.
        bridge: what it tells of itself, if it is a bridge.
        out_by: who has taken it out of work there; empty if nobody has.
        out_ms: for how long it is out.
        requests: how many its key has made over all its connections to the broker, since the first of them; told in the
            first row of a key only, and so is what follows.
        request_bytes: their size.
        rejected: how many of them the broker itself has refused, by reason.
    """

    name: str
    state: str
    silent_ms: int
    in_flight: int
    serves: list[str] = []
    bridge: BridgeStatus | None = None
    out_by: str = ""
    out_ms: int = 0
    requests: int = 0
    request_bytes: int = 0
    rejected: dict[str, int] = {}


class PeerStatus(Struct, frozen=True, omit_defaults=True, gc=False):
    """A broker of the net, as a broker sees it.

    Attributes:
        name: its name; the first row is the broker itself.
        state: alive, suspect, leaving or dead; unknown, if it was never met.
        link: the connection to it: waiting, connecting, up, suspect or draining; empty for itself.
        problem: why there is no connection, if there is none and a reason is known.
        incarnation: which of its lives this is about.
        since_ms: for how long it has had this state.
        nodes: how many are connected to it, in its own words; the same holds for what follows.
        in_flight: requests that are with its workers.
        queued: requests that wait for a worker.
        services: how many have a worker.
        registry: the version of the registry that is in force there, as far as that is known; else 0.
        left: whether it is dead, and had said before that it would stop.
        rtt_ms: how long a probe takes there and back; 0 if that is not known.
        operations: of the broker itself: what it has done for operators, the latest first.
        silent_ms: for how long nothing has come over the connection, if there is one.
    """

    name: str
    state: str
    link: str = ""
    problem: str = ""
    incarnation: int = 0
    since_ms: int = 0
    nodes: int = 0
    in_flight: int = 0
    queued: int = 0
    services: int = 0
    registry: int = 0
    left: bool = False
    rtt_ms: int = 0
    operations: list[OperationStatus] = []
    silent_ms: int = 0


class LossStatus(Struct, frozen=True, omit_defaults=True, gc=False):
    """A worker or a bridge whose session has ended without a goodbye, and who is not connected to the broker again.

    Attributes:
        name: the worker.
        ago_ms: how long ago its session has ended.
        silent: whether the broker has given it up for silence; else its connection was closed.
        requests: those that were with it.
        serves: what it served.
        bridge: what it had told of itself, if it was a bridge.
    """

    name: str
    ago_ms: int
    silent: bool = False
    requests: int = 0
    serves: list[str] = []
    bridge: BridgeStatus | None = None


class RefusalStatus(Struct, frozen=True, omit_defaults=True, gc=False):
    """What a broker has refused of one kind.

    Attributes:
        kind: see docs/operations.md.
        count: how many, since its start.
        who: the newest one: a member, or a key; what follows is about it, too.
        where: from which address, if that is known.
        what: it wanted or did.
        ago_ms: how long ago that was.
    """

    kind: str
    count: int
    who: str = ""
    where: str = ""
    what: str = ""
    ago_ms: int = 0


class LagStatus(Struct, frozen=True, omit_defaults=True, gc=False):
    """How late a broker's loop is, which looks at the time 25 times a second.

    Attributes:
        took: by how much it was late each time since its start; see Histogram.encoded of core/histogram.py.
        stalls: how often it was late for more than 100 ms, since its start.
        recent: how often within the last 10 seconds.
        worst_ms: the longest of these recent ones; 0 if there are none.
    """

    took: list[int] = []
    stalls: int = 0
    recent: int = 0
    worst_ms: int = 0


class Report(Control, frozen=True):
    """A broker's state. Lists are cut at REPORT_ROWS_MAX; the counters are totals since its start."""

    NUMBER = 39
    broker: str = ""
    software: str = ""
    state: str = ""
    uptime_s: float = 0.0
    denied: bool = False
    brokers: list[PeerStatus] = []
    nodes: list[NodeStatus] = []
    nodes_total: int = 0
    services: list[ServiceStatus] = []
    services_total: int = 0
    counters: dict[str, int] = {}
    refusals: list[RefusalStatus] = []
    registry: RegistryStatus | None = None
    losses: list[LossStatus] = []
    lag: LagStatus | None = None


class Failure(Struct, frozen=True, omit_defaults=True):
    """The payload of a REPLY whose code is ERROR."""

    code: Text
    message: str = ""
    details: Any = None


REPORT_SERVES_MAX: Final = 16
"""Services that a Report names for each node."""

REPORT_ROWS_MAX: Final = 1_000
"""Rows of each list in a Report: more than a screen shows, and below CONTROL_BYTES_MAX in any case."""

REPORT_BUCKETS_MAX: Final = 14_000
"""Buckets of latencies that all services of a Report have together, those with the most replies first: 350 services
with 40 buckets each, which are usual, and 154 KB at most."""

REPORT_CLAIMED_MAX: Final = 64
"""Names of whose claims a Report tells, for all who have asked since the last one together."""

REPORT_CLAIMS_MAX: Final = 8
"""Claims to one name that a Report tells: with a token and a prefix anybody may make many, of 512 bytes each."""

KINDS: Final = {kind.NUMBER: kind for kind in kinds_of(Control)}
"""Every kind of control message by its number."""

_DECODERS: Final = {number: msgspec.msgpack.Decoder(kind) for number, kind in KINDS.items()}
_ENCODER: Final = msgspec.msgpack.Encoder()
_FAILURE: Final = msgspec.msgpack.Decoder(Failure)

_MALFORMED: Final = (msgspec.DecodeError, ValueError, RecursionError, ProtocolError)
"""What msgspec and nesting.py raise on bytes of a peer. ValueError: invalid UTF-8, a timestamp beyond the year 9999."""

_REASON_CHARS: Final = 200
"""How much of msgspec's text an error repeats: it quotes the peer's value, which may be megabytes long."""


def encode_control(control: Control, sent_ms: int) -> bytes:
    """Return the message that carries `control`."""
    body = _ENCODER.encode(control)
    return COMMON.pack(COMMON.size + len(body), VERSION, control.NUMBER, 0, 0, sent_ms) + body


def decode_control(message: bytes) -> Control | None:
    """Return the control message in `message`; None for a command that this version does not know.

    Raises:
        ProtocolError: the bytes are not one whole control message of this major version.
    """
    if not COMMON.size <= len(message) <= CONTROL_BYTES_MAX:
        raise ProtocolError(f"a control message of {len(message)} bytes")
    length, version, command, _flags, _retry_count, _sent_ms = COMMON.unpack_from(message)
    if length != len(message) or version >> 4 != MAJOR:
        raise ProtocolError(f"length {length}, version {version:#x}, command {command} in {len(message)} bytes")
    decoder = _DECODERS.get(command)
    if decoder is None:
        return None
    body = message[COMMON.size :]
    try:
        check_nesting(body, VALUES_MAX)
        return decoder.decode(body)
    except _MALFORMED as error:
        raise ProtocolError(f"{KINDS[command].__name__.upper()} is malformed: {str(error)[:_REASON_CHARS]}") from None


def encode_failure(error: ServiceError, bytes_max: int) -> bytes:
    """Return the payload of the REPLY that carries `error`, of at most about `bytes_max`.

    An error that cannot travel whole, because it is larger or MessagePack cannot carry it, goes without its details,
    with a shorter message, and says so.
    """
    try:
        payload = _encoded(error.code, error.message, error.details)
        if len(payload) <= bytes_max:
            return payload
        why = f"it has {len(payload)} bytes, and the limit is {bytes_max}"
    except TypeError as unfit:
        why = str(unfit)
    code, message = (str(part).encode(errors="replace").decode()[:200] for part in (error.code, error.message))
    return _encoded(code, f"{message} (the whole error could not be sent: {why[:200]})", None)


def _encoded(code: object, message: object, details: object) -> bytes:
    """Raises TypeError if it holds something that MessagePack cannot carry, or that its reader would refuse."""
    try:
        fitting = str(code).encode()[:CODE_BYTES_MAX].decode(errors="ignore")
        payload = _ENCODER.encode(Failure(fitting, str(message), details))
        check_nesting(payload, len(payload))
    except (ValueError, OverflowError, RecursionError, ProtocolError) as unfit:
        raise TypeError(f"MessagePack cannot carry the error: {unfit}") from None
    return payload


def decode_failure(payload: bytes) -> Failure:
    """Return the error in the payload of a REPLY.

    Raises:
        ProtocolError: the payload is malformed.
    """
    try:
        check_nesting(payload, len(payload))
        return _FAILURE.decode(payload)
    except _MALFORMED as error:
        raise ProtocolError(f"the error in a reply is malformed: {str(error)[:_REASON_CHARS]}") from None
