"""The hot messages of BRAID/1: a fixed prefix, three short strings, an extension block and the payload.

Layout: docs/protocol.md, "Exchange messages". Encoding and decoding are the inner loop of the product: they
are plain functions over `struct`, without validation beyond what keeps a reader safe.
"""

import struct
from collections.abc import Callable
from enum import IntEnum, IntFlag
from typing import Final, NamedTuple

from braidmq.errors import ProtocolError

MAJOR: Final = 1
VERSION: Final = MAJOR << 4
"""Version byte of the messages that this code writes: major in the high half, minor in the low half."""

COMMON: Final = struct.Struct("!IBBBBI")
"""What every message begins with: length, version, command, flags, retry count, sent."""

PREFIX: Final = struct.Struct("!IBBBBIII16sBBBBHH")
"""What every exchange message begins with: COMMON, then time, tag, id, the lengths of service, sender and
receiver, code, the length of the extension block, and the WORKING interval."""

Prefix = tuple[int, int, int, int, int, int, int, int, bytes, int, int, int, int, int, int]
"""The fields of PREFIX."""

unpack: Final[Callable[[bytes], Prefix]] = PREFIX.unpack_from
"""Returns the fields of PREFIX from a message that is not shorter than that."""

PREFIX_BYTES: Final = PREFIX.size
UINT32: Final = 0xFFFFFFFF
UINT16: Final = 0xFFFF

VERSION_AT: Final = 4
"""Where the version byte of a message stands."""

COMMAND_AT: Final = 5
"""Where its command stands."""

SENT_AT: Final = 8
SENT_END: Final = 12
"""Where the time begins and ends at which it was written."""

CODE_AT: Final = 39
"""Where the code of an exchange message stands."""

ATTEMPT_AT: Final = 16
ATTEMPT_END: Final = 36
"""Where tag and id of an exchange message begin and end, which name the attempt that it is about on its hop."""


class Command(IntEnum):
    """What an exchange message is. Numbers from CONTROL_FIRST on are those of control messages: see kinds.py."""

    REQUEST = 1
    REPLY = 2
    WORKING = 3
    REJECT = 4
    CANCEL = 5
    LOST = 6
    RENEW = 7


REQUEST: Final = int(Command.REQUEST)
REPLY: Final = int(Command.REPLY)
WORKING: Final = int(Command.WORKING)
REJECT: Final = int(Command.REJECT)
CANCEL: Final = int(Command.CANCEL)
LOST: Final = int(Command.LOST)
RENEW: Final = int(Command.RENEW)
CUT: Final = 31
"""Never travels: a carrier hands it in for a REQUEST or REPLY that is longer than its member takes (`forward.cut`)."""

CONTROL_FIRST: Final = 32
"""The first number of a control message."""


class Flag(IntFlag):
    """Flags of an exchange message. Unknown ones are passed on untouched."""

    POSSIBLE_DUPLICATE = 1


class Outcome(IntEnum):
    """The code of a REPLY."""

    RESULT = 0
    ERROR = 1


class Progress(IntEnum):
    """The code of a WORKING."""

    RUNNING = 0
    """The worker named by the sender runs the request."""
    QUEUED = 1
    """The request waits in a broker's queue, and its client is asked for RENEW."""
    SILENT = 2
    """The worker named by the sender was given the request, and has said nothing since. It is no sign of life."""


class Withdrawal(IntEnum):
    """The code of a CANCEL: how much less is expected of an attempt."""

    GIVEN_UP = 0
    """Nobody waits for the request any more."""
    SUPERSEDED = 1
    """Another attempt is on its way. If this one has not begun, it must not; if it has, its answer still counts."""
    ORPHANED = 2
    """Nobody can be answered over this path. The request may come again over another one, and join what runs."""


class Reason(IntEnum):
    """The code of a REJECT: why the request was not run. It was certainly not run."""

    NO_WORKER = 1
    BUSY = 2
    DRAINING = 3
    EXPIRED = 4
    DENIED = 5
    TOO_LARGE = 6


def major_of(message: bytes) -> int:
    """Return the major version of a message."""
    return message[VERSION_AT] >> 4


def command_of(message: bytes) -> int:
    """Return what a message is: a number of Command, or of a control message."""
    return message[COMMAND_AT]


def now_ms(now: float) -> int:
    """Return the time `now` as messages tell it: in milliseconds, modulo 2**32."""
    return int(now * 1000.0) & UINT32


def since_ms(then_ms: int, now: float) -> int:
    """Return how many milliseconds have passed since `then_ms`, by the same clock, modulo 2**32."""
    return (int(now * 1000.0) - then_ms) & UINT32


def milliseconds(seconds: float) -> int:
    """Return a span as a field of 32 bits holds it: what is too long for one counts as the longest, NaN as none."""
    ms = seconds * 1000.0
    if not ms > 0.0:
        return 0
    return UINT32 if ms >= UINT32 else int(ms)


class Head(NamedTuple):
    """The fields of PREFIX, for whoever needs some of them and no Envelope. See Envelope for what they mean."""

    length: int
    version: int
    command: int
    flags: int
    retry_count: int
    sent_ms: int
    time_ms: int
    tag: int
    id: bytes
    service_bytes: int
    sender_bytes: int
    receiver_bytes: int
    code: int
    extension_bytes: int
    working_ms: int

    @property
    def sender_at(self) -> int:
        """Where the sender stands, behind the service."""
        return PREFIX_BYTES + self.service_bytes

    @property
    def receiver_at(self) -> int:
        """Where the receiver stands, behind the sender."""
        return PREFIX_BYTES + self.service_bytes + self.sender_bytes

    @property
    def rest_at(self) -> int:
        """Where the names end: what follows passes a broker as it is, the extension block and the payload."""
        return PREFIX_BYTES + self.service_bytes + self.sender_bytes + self.receiver_bytes

    @property
    def payload_bytes(self) -> int:
        """The size of the payload of a well-formed message."""
        return self.length - self.rest_at - self.extension_bytes


def head_of(message: bytes) -> Head:
    """Return the prefix of an exchange message; whether the lengths in it fit the message is not looked at.

    Raises:
        ProtocolError: the message is shorter than a prefix.
    """
    if len(message) < PREFIX_BYTES:
        raise ProtocolError("an exchange message that is cut off")
    return Head._make(unpack(message))


_REPLY_FIRST: Final = [bytes((byte | 0x80,)) for byte in range(256)]

FIELDS: Final = (
    "code", "command", "extension", "flags", "id", "payload", "receiver", "retry_count", "sender", "sent_ms", "service",
    "tag", "time_ms", "working_ms",
)  # fmt: skip
"""The names of what an Envelope holds."""


class Envelope:
    """One decoded exchange message.

    Attributes:
        command: its number.
        flags: see Flag.
        retry_count: attempts before this one that may have been run.
        sent_ms: when the peer wrote it, on the peer's own clock, modulo 2**32.
        time_ms: REQUEST: time left. REPLY: how long its handler has run, 0 if unknown. REJECT: when to come back, 0 if
            unknown. LOST: for how long a worker has had the request. WORKING: when its writer wrote it, on the
            writer's clock, modulo 2**32. RENEW: that number of the WORKING that it answers.
        tag: chosen by whoever sent the REQUEST over this hop, and returned with every answer to it.
        id: the id of the request.
        service: the service called.
        sender: REQUEST: the client; answers: the worker or broker. Stamped by the broker.
        receiver: REQUEST: the worker it is addressed to, or empty; answers: the client.
        code: Outcome, Progress, Reason or Withdrawal.
        working_ms: REQUEST: how often the client wants to hear WORKING; 0 leaves it to the worker.
        extension: the undecoded extension block.
        payload: the user's bytes.
    """

    __slots__ = FIELDS

    def __init__(
        self,
        command: int,
        id: bytes,  # noqa: A002 - the field's name in the specification
        flags: int = 0,
        retry_count: int = 0,
        sent_ms: int = 0,
        time_ms: int = 0,
        tag: int = 0,
        service: bytes = b"",
        sender: bytes = b"",
        receiver: bytes = b"",
        code: int = 0,
        working_ms: int = 0,
        extension: bytes = b"",
        payload: bytes = b"",
    ) -> None:
        self.command = command
        self.id = id
        self.flags = flags
        self.retry_count = retry_count
        self.sent_ms = sent_ms
        self.time_ms = time_ms
        self.tag = tag
        self.service = service
        self.sender = sender
        self.receiver = receiver
        self.code = code
        self.working_ms = working_ms
        self.extension = extension
        self.payload = payload

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Envelope) and all(getattr(self, name) == getattr(other, name) for name in FIELDS)

    __hash__ = None  # type: ignore[assignment]  # it is mutable

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in FIELDS if name != "payload")
        return f"Envelope({shown}, payload={len(self.payload)} bytes)"


def encode(envelope: Envelope) -> bytes:
    """Return the bytes of `envelope`. Its fields must fit the layout: `struct.error` is a bug of the caller."""
    e = envelope
    return pack(
        e.command, e.id, e.flags, e.retry_count, e.sent_ms, e.time_ms, e.tag, e.service, e.sender, e.receiver, e.code,
        e.working_ms, e.extension, e.payload,
    )  # fmt: skip


def pack(
    command: int,
    id_: bytes,
    flags: int,
    retry_count: int,
    sent_ms: int,
    time_ms: int,
    tag: int,
    service: bytes = b"",
    sender: bytes = b"",
    receiver: bytes = b"",
    code: int = 0,
    working_ms: int = 0,
    extension: bytes = b"",
    payload: bytes = b"",
) -> bytes:
    """Return the bytes of the exchange message with these fields: see `Envelope` and `encode`."""
    names = service + sender + receiver + extension
    head = PREFIX.pack(
        PREFIX_BYTES + len(names) + len(payload), VERSION, command, flags, retry_count, sent_ms, time_ms, tag, id_,
        len(service), len(sender), len(receiver), code, len(extension), working_ms,
    )  # fmt: skip
    return head + names + payload


def decode(message: bytes) -> Envelope:
    """Return the exchange message in `message`.

    Raises:
        ProtocolError: the bytes are not one whole exchange message of this major version.
    """
    if len(message) < PREFIX_BYTES:
        raise ProtocolError(f"an exchange message of {len(message)} bytes is shorter than its prefix")
    (
        length,
        version,
        command,
        flags,
        retry_count,
        sent_ms,
        time_ms,
        tag,
        id_,
        service_bytes,
        sender_bytes,
        receiver_bytes,
        code,
        extension_bytes,
        working_ms,
    ) = unpack(message)
    if length != len(message) or version >> 4 != MAJOR or not 0 < command < CONTROL_FIRST:
        raise ProtocolError(f"length {length}, version {version:#x}, command {command} in {len(message)} bytes")
    sender_at = PREFIX_BYTES + service_bytes
    receiver_at = sender_at + sender_bytes
    extension_at = receiver_at + receiver_bytes
    payload_at = extension_at + extension_bytes
    if payload_at > length:
        raise ProtocolError("the strings of an exchange message reach beyond its end")
    return Envelope(
        command, id_, flags, retry_count, sent_ms, time_ms, tag, message[PREFIX_BYTES:sender_at],
        message[sender_at:receiver_at], message[receiver_at:extension_at], code, working_ms,
        message[extension_at:payload_at], message[payload_at:],
    )  # fmt: skip


def reply_id(request_id: bytes) -> bytes:
    """Return the id of the reply to a request: the request's id with its first bit set.

    The first bit of a request's id is clear, so both ids are unique and neither needs a field of its own.
    """
    return _REPLY_FIRST[request_id[0]] + request_id[1:]
