"""Malamute's messages as frames: what mlm_client and its server really send, of Malamute 1.2.

The first frame has the signature, a command and its fields; numbers are big-endian, and a text is an octet that tells
its length, and bytes. The content of SEND and DELIVER follows in frames of its own.
Source: https://github.com/zeromq/malamute/blob/master/src/mlm_proto.xml
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import Final

import msgspec

TEXT_BYTES_MAX: Final = 255
"""Longest text of a field: one octet counts it."""

_SIGNATURE: Final = b"\xaa\xa8"
_PROTOCOL: Final = b"MALAMUTE"
_VERSION: Final = 1

_KEPT_BYTES: Final = 1_500
"""What a message takes besides its content: four texts and some objects."""

_FRAME_BYTES: Final = 48
"""What a frame takes besides its bytes."""

_DONE: Final = 200
_INVALID: Final = 500


class Command(IntEnum):
    """What a message is."""

    OPEN = 1
    PING = 2
    PONG = 3
    CLOSE = 4
    STREAM_WRITE = 5
    STREAM_READ = 6
    STREAM_SEND = 7
    STREAM_DELIVER = 8
    MAILBOX_SEND = 9
    MAILBOX_DELIVER = 10
    SERVICE_SEND = 11
    SERVICE_OFFER = 12
    SERVICE_DELIVER = 13
    OK = 14
    ERROR = 15
    CREDIT = 16
    CONFIRM = 17
    STREAM_CANCEL = 18


class Message(msgspec.Struct, gc=False):
    """One message. A field that its command does not have is empty.

    Attributes:
        command: what it is.
        protocol: of an OPEN.
        version: of an OPEN.
        address: a mailbox, or a service.
        stream: a stream.
        pattern: of subjects.
        sender: the mailbox of whoever has sent it.
        subject: what it is about.
        tracker: whatever the sender likes, which answers repeat.
        timeout_ms: how long it may wait to be delivered.
        status: of an OK, an ERROR or a CONFIRM.
        reason: of these.
        amount: of a CREDIT.
        content: its frames.
    """

    command: Command
    protocol: bytes = b""
    version: int = 0
    address: bytes = b""
    stream: bytes = b""
    pattern: bytes = b""
    sender: bytes = b""
    subject: bytes = b""
    tracker: bytes = b""
    timeout_ms: int = 0
    status: int = 0
    reason: bytes = b""
    amount: int = 0
    content: Sequence[bytes] = ()

    @property
    def size(self) -> int:
        """What it takes to keep it, in bytes."""
        return _KEPT_BYTES + sum(len(frame) + _FRAME_BYTES for frame in self.content)


_NUMBERS: Final = {"version": 2, "timeout_ms": 4, "status": 2, "amount": 2}
"""Fields that are numbers, with their length in bytes. All others are texts."""

_STATUS: Final = ("status", "reason")

_FIELDS: Final[dict[int, tuple[str, ...]]] = {
    Command.OPEN: ("protocol", "version", "address"),
    Command.PING: (),
    Command.PONG: (),
    Command.CLOSE: (),
    Command.STREAM_WRITE: ("stream",),
    Command.STREAM_READ: ("stream", "pattern"),
    Command.STREAM_SEND: ("subject",),
    Command.STREAM_DELIVER: ("stream", "sender", "subject"),
    Command.MAILBOX_SEND: ("address", "subject", "tracker", "timeout_ms"),
    Command.MAILBOX_DELIVER: ("sender", "address", "subject", "tracker"),
    Command.SERVICE_SEND: ("address", "subject", "tracker", "timeout_ms"),
    Command.SERVICE_OFFER: ("address", "pattern"),
    Command.SERVICE_DELIVER: ("sender", "address", "subject", "tracker"),
    Command.OK: _STATUS,
    Command.ERROR: _STATUS,
    Command.CREDIT: ("amount",),
    Command.CONFIRM: ("tracker", *_STATUS),
    Command.STREAM_CANCEL: ("stream",),
}

_WITH_CONTENT: Final = frozenset(
    (
        Command.STREAM_SEND,
        Command.STREAM_DELIVER,
        Command.MAILBOX_SEND,
        Command.MAILBOX_DELIVER,
        Command.SERVICE_SEND,
        Command.SERVICE_DELIVER,
    )
)


def read(frames: Sequence[bytes]) -> Message | None:
    """Return what a message says; None if it is none of Malamute's, or cut short. Bytes behind its fields are skipped.

    Args:
        frames: at least one.
    """
    head = frames[0]
    fields = _FIELDS.get(head[2]) if len(head) > 2 and head[:2] == _SIGNATURE else None
    if fields is None:
        return None
    found = Message(Command(head[2]))
    at = 3
    for name in fields:
        width = _NUMBERS.get(name, 1)
        told = head[at : at + width]
        at += width
        if len(told) < width:
            return None
        if name in _NUMBERS:
            setattr(found, name, int.from_bytes(told))
            continue
        end = at + told[0]
        if len(head) < end:
            return None
        setattr(found, name, head[at:end])
        at = end
    if found.command in _WITH_CONTENT:
        found.content = frames[1:]
    return found


def speaks_malamute(opening: Message) -> bool:
    """Whether an OPEN names the protocol and the version that are spoken here."""
    return opening.protocol == _PROTOCOL and opening.version == _VERSION


def frames_of(message: Message) -> list[bytes]:
    """Return a message as frames. Its texts have TEXT_BYTES_MAX at most."""
    parts = [_SIGNATURE, bytes((message.command,))]
    for name in _FIELDS[message.command]:
        value = getattr(message, name)
        parts.append(value.to_bytes(_NUMBERS[name]) if name in _NUMBERS else bytes((len(value),)) + value)
    return [b"".join(parts), *message.content]


def opening(address: bytes) -> list[bytes]:
    """Return an OPEN."""
    return frames_of(Message(Command.OPEN, protocol=_PROTOCOL, version=_VERSION, address=address))


PING: Final = frames_of(Message(Command.PING))
PONG: Final = frames_of(Message(Command.PONG))
CLOSE: Final = frames_of(Message(Command.CLOSE))
OK: Final = frames_of(Message(Command.OK, status=_DONE))


def error(reason: str) -> list[bytes]:
    """Return an ERROR 500 with as much of a reason as it has room for: the client opens anew."""
    return frames_of(Message(Command.ERROR, status=_INVALID, reason=cut(reason)))


def mail(sender: bytes, address: bytes, subject: bytes, tracker: bytes, content: Sequence[bytes]) -> Message:
    """Return a MAILBOX-DELIVER."""
    return Message(
        Command.MAILBOX_DELIVER, sender=sender, address=address, subject=subject, tracker=tracker, content=content
    )


def delivery(sender: bytes, address: bytes, subject: bytes, tracker: bytes, content: Sequence[bytes]) -> Message:
    """Return a SERVICE-DELIVER."""
    return Message(
        Command.SERVICE_DELIVER, sender=sender, address=address, subject=subject, tracker=tracker, content=content
    )


def cut(text: str) -> bytes:
    """Return as much of a text as a field has room for, and no half a character."""
    return text.encode(errors="replace")[:TEXT_BYTES_MAX].decode(errors="ignore").encode()
