"""A connection: a socket of the system's, the engine that speaks ZMTP over it, and what waits to be sent.

It never blocks. What the system does not take at once waits here, where its bytes are counted: messages as they are, so
that those that never left are known exactly, and the rest of one frame that has begun to leave.
"""

import socket as sockets
import struct
from contextlib import suppress
from enum import Enum
from fcntl import ioctl
from termios import FIONREAD, TIOCOUTQ
from typing import Final

from braidmq.turn.unsent import Unsent
from braidmq.wire.limits import BUNDLE_BYTES
from braidmq.zmtp.engine import HEAD_BYTES, Engine
from braidmq.zmtp.handshake import ClientHandshake, ServerHandshake
from braidmq.zmtp.sodium import Room
from braidmq.zmtp.violation import Refusal, Violation

READ_BYTES: Final = 128 * 1024
"""Bytes read at one go: two bundles. More would keep other connections waiting, less would cost more calls."""

KEPT_BYTES_MAX: Final = BUNDLE_BYTES + 1024
"""Bytes of the beginning of a frame that are kept to be completed. Of a longer one, which holds a single large message,
the rest is read into room of its own."""

ROOM_BYTES_MAX: Final = 1024 * 1024
"""Room for one frame that is kept for the next one. What a larger one needs is given back after it."""

_COUNT: Final = struct.Struct("i")
_NO_SIGNAL: Final = int(getattr(sockets, "MSG_NOSIGNAL", 0))
"""Whoever lets SIGPIPE end the program, as tools in pipelines do, does not mean connections by that."""


class End(Enum):
    """How a connection has ended."""

    CLOSED = "the other side has closed it"
    RESET = "the other side, or something on the way, has reset it"
    LOST = "the network has lost it"


class Rooms:
    """Where a thread opens and seals the frames of all its connections, one after the other."""

    def __init__(self) -> None:
        self.inbox: Final = Room(KEPT_BYTES_MAX + READ_BYTES)
        self.outbox = Room(HEAD_BYTES + BUNDLE_BYTES)

    def outbox_for(self, size: int) -> Room:
        """Return room for a frame of so many bytes."""
        if HEAD_BYTES + size <= self.outbox.size:
            return self.outbox
        if HEAD_BYTES + size > ROOM_BYTES_MAX:
            return Room(HEAD_BYTES + size)
        self.outbox = Room(min(ROOM_BYTES_MAX, 2 * (HEAD_BYTES + size)))
        return self.outbox


def _count(descriptor: int, of_what: int) -> int:
    return int(_COUNT.unpack(ioctl(descriptor, of_what, bytes(_COUNT.size)))[0])


class Stream:
    """One connection.

    Attributes:
        end: how it has ended, or what is wrong with what has come; None while it goes on.
        has_more: whether the last `read` has left bytes that had come.
        came_bytes: how much has come in all.

    Args:
        socket: connected or about to be, and not blocking.
        handshake: makes it the server's or a client's end.
        frame_bytes_max: how long a frame may be that comes.
        rooms: those of its thread.
    """

    __slots__ = (
        "_engine",
        "_kept",
        "_leaving",
        "_left",
        "_left_at",
        "_long",
        "_long_at",
        "_long_bytes",
        "_rooms",
        "_socket",
        "_torn",
        "_unsent",
        "came_bytes",
        "descriptor",
        "end",
        "has_more",
    )  # fmt: skip

    def __init__(
        self,
        socket: sockets.socket,
        handshake: ServerHandshake | ClientHandshake,
        frame_bytes_max: int,
        rooms: Rooms,
    ) -> None:
        self.descriptor = socket.fileno()
        self.end: End | Violation | Refusal | None = None
        self.has_more = False
        self.came_bytes = 0
        self._socket = socket
        self._engine = Engine(handshake, frame_bytes_max)
        self._rooms = rooms
        self._torn: End | None = None
        self._kept = b""
        self._long: Room | None = None
        self._long_at = 0
        self._long_bytes = 0
        self._left = b""
        self._left_at = 0
        self._leaving: list[bytes] = []
        self._unsent: Unsent | None = None

    @property
    def open(self) -> bool:
        """Whether the handshake is complete."""
        return self._engine.open

    @property
    def principal(self) -> str:
        """What the server's Authorise has said of the client."""
        return self._engine.principal

    @property
    def blocked(self) -> bool:
        """Whether something waits that `flush` sends as soon as the system takes more."""
        if self._torn is not None:
            return False
        engine = self._engine
        return bool(self._left or engine.output or (engine.open and self._unsent))

    @property
    def owes(self) -> bool:
        """Whether answers to PING wait, which have a limit only if no more is read meanwhile."""
        return self.owed_bytes > 0

    @property
    def owed_bytes(self) -> int:
        """How many bytes of answers to PING wait."""
        return len(self._engine.output) if self._torn is None else 0

    @property
    def commands(self) -> int:
        """How many commands have come, such as PING, which are no frames and work all the same."""
        return self._engine.commands

    @property
    def waiting_bytes(self) -> int:
        """How many bytes wait."""
        unsent = self._unsent
        return len(self._left) - self._left_at + len(self._engine.output) + (unsent.bytes if unsent is not None else 0)

    def read(self, found: list[bytes], most: int = READ_BYTES) -> None:
        """Read what has come, at most READ_BYTES, and add the frames in it to `found`; see `end` and `has_more`."""
        if self.end is not None:
            return
        if self._long is not None:
            self._read_long(self._long, most, found)
            return
        room = self._rooms.inbox
        kept = len(self._kept)
        if kept:
            room.view[:kept] = self._kept
        count = self._receive(room.view[kept : kept + most])
        if count:
            self._handle(room, kept + count, found)

    def send(self, messages: list[bytes]) -> None:
        """Send messages, as bundles of about BUNDLE_BYTES; what the system does not take now is kept for `flush`."""
        if self._left or self._unsent or self._torn is not None or self._engine.output or not self._engine.open:
            self._keep(messages)
            return
        first, size = 0, 0
        for index, message in enumerate(messages):
            if size and size + len(message) > BUNDLE_BYTES:
                if not self._send(messages[first:index], size):
                    self._keep(messages[index:])
                    return
                first, size = index, 0
            size += len(message)
        if size:
            self._send(messages[first:] if first else messages, size)

    def flush(self) -> None:
        """Send what waits, as far as the system takes it now."""
        if self._torn is not None or not self._write_left():
            return
        unsent = self._unsent
        if unsent is None or not self._engine.open:
            return
        while unsent:
            some = unsent.take_some(BUNDLE_BYTES)
            if not self._send(some, sum(map(len, some))):
                return
        self._unsent = None

    def unread(self) -> int:
        """Return how many bytes have come that were not read yet."""
        try:
            return _count(self.descriptor, FIONREAD)
        except OSError:
            return 0  # it has ended

    def has_arrived(self) -> bool:
        """Whether the other side's system has all that this one was given, as far as this one can tell."""
        try:
            return not _count(self.descriptor, TIOCOUTQ)
        except OSError:
            return False

    def shut(self) -> None:
        """Say nothing more, and let the other side see the end of what was sent."""
        try:
            self._socket.shutdown(sockets.SHUT_WR)
        except OSError:
            self.end = self.end or End.CLOSED

    def close(self) -> list[bytes]:
        """Close it, and return the messages that certainly never left, in order.

        What has begun to leave as part of a frame is among them: nobody can open the beginning of a frame.
        """
        self._socket.close()
        self.end = self.end or End.CLOSED
        unsent = self._leaving + (self._unsent.take() if self._unsent is not None else [])
        self._left, self._leaving, self._unsent, self._long, self._kept = b"", [], None, None, b""
        self._left_at = 0
        self._engine.output.clear()
        return unsent

    def let_go(self) -> None:
        """In a forked child: close this process's copy, which says nothing to the other side."""
        self._socket.close()

    # -- what comes

    def _receive(self, into: memoryview) -> int:
        """Read into a place; return how much, 0 if nothing has come."""
        self.has_more = False
        try:
            count = self._socket.recv_into(into)
        except BlockingIOError:
            return 0
        except ConnectionResetError:
            self.end = End.RESET
            return 0
        except OSError:
            self.end = End.LOST
            return 0
        if not count:
            self.end = self._torn or End.CLOSED
            return 0
        self.has_more = count == len(into)
        self.came_bytes += count
        return count

    def _handle(self, room: Room, end: int, found: list[bytes]) -> None:
        """Handle what lies in a room up to `end`."""
        engine = self._engine
        places: list[int] = []
        try:
            at = engine.receive(room, 0, end, places)
            left = end - at
            needed = engine.needs(room, at, end) if left else 0
        except (Violation, Refusal) as wrong:
            self.end = wrong
            self.has_more = False
            at = left = needed = 0
        view = room.view
        for index in range(0, len(places), 2):
            found.append(bytes(view[places[index] : places[index + 1]]))  # noqa: PERF401 - twice as fast when compiled
        if engine.output or self._unsent:
            self.flush()
        if needed > KEPT_BYTES_MAX and left > KEPT_BYTES_MAX // 2:
            self._long_bytes, self._long_at, self._kept = needed, 0, b""
            self._long = self._widened(view[at:end])
        else:
            self._kept = bytes(view[at:end]) if left else b""

    def _read_long(self, room: Room, most: int, found: list[bytes]) -> None:
        """Read on in a long frame. Its header may be anybody's: there is never more room than twice what has come."""
        self._long_at += self._receive(room.view[self._long_at : self._long_at + most])
        if self._long_at == self._long_bytes:
            self._long = None
            self._handle(room, self._long_bytes, found)
        elif self._long_at == room.size:
            self._long = self._widened(room.view)

    def _widened(self, data: memoryview) -> Room:
        """Return more room for a long frame, with what has come of it."""
        room = Room(min(self._long_bytes, 2 * len(data)))
        self._long_at = len(data)
        room.view[: self._long_at] = data
        return room

    # -- what goes

    def _keep(self, messages: list[bytes]) -> None:
        if self._unsent is None:
            self._unsent = Unsent()
        self._unsent.add(messages)

    def _send(self, messages: list[bytes], size: int) -> bool:
        """Send messages as one frame; return whether the system has taken all of it. If not, the rest is kept."""
        room = self._rooms.outbox_for(size)
        view, at = room.view, HEAD_BYTES
        for message in messages:
            end = at + len(message)
            view[at:end] = message
            at = end
        try:
            begin = self._engine.seal(room, size)
        except Violation as wrong:
            self.end = wrong
            self._keep(messages)
            return False
        left = view[begin:at]
        count = self._write(left)
        if count == len(left):
            return True
        self._left, self._left_at, self._leaving = bytes(left[count:]), 0, messages
        return False

    def _write_left(self) -> bool:
        """Send the rest of a frame, and what the engine has to say; return whether nothing of it is left."""
        while True:
            left = self._left
            if not left:
                output = self._engine.output
                if not output:
                    return True
                left = self._left = bytes(output)
                output.clear()
            self._left_at += self._write(memoryview(left)[self._left_at :])
            if self._left_at < len(left):
                return False
            self._left, self._left_at, self._leaving = b"", 0, []

    def _write(self, data: memoryview) -> int:
        """Let the system take bytes; return how many it has taken.

        When it takes none any more, `read` tells of the end, behind what has come before it.
        """
        try:
            return self._socket.send(data, _NO_SIGNAL)
        except BlockingIOError:
            return 0
        except ConnectionResetError:
            self._torn = End.RESET
        except BrokenPipeError:
            self._torn = End.CLOSED
        except OSError:
            self._torn = End.LOST
            with suppress(OSError):  # it has ended
                self._socket.shutdown(sockets.SHUT_RDWR)  # so that `read` comes to the end, whatever the error was
        return 0
