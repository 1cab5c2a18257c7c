"""Majordomo's messages as frames. There are several dialects, and a peer is answered in the one that it speaks.

- 0.1: RFC 7 (https://rfc.zeromq.org/spec/7/).
- RFC 18 (https://rfc.zeromq.org/spec/18/), 0.2 as it is written: no empty frame in front.
- majortomo's 0.2: an empty frame in front; clients number their commands from 2, and replies name no service.
- libmdp's 0.2, of 2013: clients have no command frame. Its workers look like majortomo's until their
  first HEARTBEAT, which would be a FINAL without frames there, and are not served.
"""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Final

import msgspec

EMPTY: Final = b""
CLIENT_01: Final = b"MDPC01"
CLIENT_02: Final = b"MDPC02"
WORKER_01: Final = b"MDPW01"
WORKER_02: Final = b"MDPW02"


class Command(Enum):
    """What a worker says, or is told."""

    READY = "READY"
    REQUEST = "REQUEST"
    PARTIAL = "PARTIAL"
    FINAL = "FINAL"
    HEARTBEAT = "HEARTBEAT"
    DISCONNECT = "DISCONNECT"


class ClientDialect(msgspec.Struct, frozen=True):
    """How a client is answered.

    Attributes:
        front: the frames before all else; the command of a final reply is their last one, if there is one.
        names_service: whether the service's name is behind them.
    """

    front: tuple[bytes, ...]
    names_service: bool = True


class WorkerDialect(msgspec.Struct, frozen=True):
    """How a worker speaks.

    Attributes:
        front: the frames before a command.
        numbers: the command by its frame.
        frames: the frame by its command.
    """

    front: tuple[bytes, ...]
    numbers: Mapping[bytes, Command]
    frames: Mapping[Command, bytes]


class Request(msgspec.Struct, gc=False):
    """What a client asks for.

    Attributes:
        dialect: how to answer.
        service: whom it calls: any bytes.
        body: the frames of its content; perhaps none.
    """

    dialect: ClientDialect
    service: bytes
    body: list[bytes]


class FromWorker(msgspec.Struct, gc=False):
    """What a worker says.

    Attributes:
        dialect: how it speaks.
        command: what it says; REQUEST is none of its.
        rest: the frames behind the command; perhaps too few.
    """

    dialect: WorkerDialect
    command: Command
    rest: list[bytes]


def _worker(front: tuple[bytes, ...], *commands: Command) -> WorkerDialect:
    frames = {command: bytes((number,)) for number, command in enumerate(commands, 1)}
    numbers = {frame: command for command, frame in frames.items() if command is not Command.REQUEST}
    return WorkerDialect(front, numbers, frames)


_C = Command
_OLD: Final = (_C.READY, _C.REQUEST, _C.FINAL, _C.HEARTBEAT, _C.DISCONNECT)
_NEW: Final = (_C.READY, _C.REQUEST, _C.PARTIAL, _C.FINAL, _C.HEARTBEAT, _C.DISCONNECT)

_WORKERS: Final = {
    (True, WORKER_01): _worker((EMPTY, WORKER_01), *_OLD),
    (True, WORKER_02): _worker((EMPTY, WORKER_02), *_NEW),
    (False, WORKER_02): _worker((WORKER_02,), *_NEW),
}
"""By whether there is an empty frame in front, and by the header."""

_MAJORTOMO: Final = _WORKERS[True, WORKER_02]

_CLIENT_01: Final = ClientDialect((EMPTY, CLIENT_01))
_LIBMDP: Final = ClientDialect((EMPTY, CLIENT_02))

_CLIENTS: Final = {
    (False, b"\x01"): ClientDialect((CLIENT_02, b"\x03")),
    (True, b"\x01"): ClientDialect((EMPTY, CLIENT_02, b"\x03")),
    (True, b"\x02"): ClientDialect((EMPTY, CLIENT_02, b"\x04"), names_service=False),
}
"""Those of 0.2 with a command, by whether there is an empty frame in front, and by the command."""


def read(frames: Sequence[bytes]) -> Request | FromWorker | None:
    """Return what a message says; None if it is of no dialect that is spoken here."""
    at = 1 if frames[0] == EMPTY else 0
    header = frames[at] if len(frames) > at else EMPTY
    rest = list(frames[at + 1 :])
    if not rest:
        return None
    if header == CLIENT_01 and at:
        return Request(_CLIENT_01, rest[0], rest[1:])
    if header == CLIENT_02:
        dialect = _CLIENTS.get((at == 1, rest[0]))
        if dialect is not None:
            return Request(dialect, rest[1], rest[2:]) if len(rest) > 1 else None
        return Request(_LIBMDP, rest[0], rest[1:]) if at else None
    spoken = _WORKERS.get((at == 1, header))
    if spoken is None:
        return None
    command = spoken.numbers.get(rest[0])
    return None if command is None else FromWorker(spoken, command, rest[1:])


def is_libmdp(said: FromWorker) -> bool:
    """Whether a worker shows that it speaks libmdp's dialect, which is not spoken here: majortomo's has its header."""
    return said.dialect is _MAJORTOMO and said.command is Command.FINAL and not said.rest


def reply(dialect: ClientDialect, service: bytes, body: Sequence[bytes]) -> list[bytes]:
    """Return the one and final reply to a client. It has a body: clients of 0.1 abort where there is none."""
    named = (service,) if dialect.names_service else ()
    return [*dialect.front, *named, *(body or (EMPTY,))]


def request(dialect: WorkerDialect, token: bytes, body: Sequence[bytes]) -> list[bytes]:
    """Return a request to a worker, which gives `token` back with its reply."""
    return [*dialect.front, dialect.frames[Command.REQUEST], token, EMPTY, *(body or (EMPTY,))]


def told(dialect: WorkerDialect, command: Command) -> list[bytes]:
    """Return a HEARTBEAT or DISCONNECT to a worker."""
    return [*dialect.front, dialect.frames[command]]
