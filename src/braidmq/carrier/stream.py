"""A connection: a socket of the system's, the engine that speaks ZMTP over it, and what waits to be sent.

It never blocks. What the system does not take at once waits here, where its bytes are counted: messages as they are, so
that those that never left are known exactly, and the rest of one frame that has begun to leave. Messages longer than a
bundle leave and come in fragments where both sides have said in their handshake that they know of those.
"""

import socket as sockets
import struct
from collections.abc import Sequence
from contextlib import suppress
from enum import Enum
from fcntl import ioctl
from termios import FIONREAD, TIOCOUTQ
from typing import Final

from braidmq.carrier.fragments import ABANDON, LAST, MORE, WHOLE_BYTES_MAX, Joiner, highest_mark
from braidmq.carrier.large_packets import SEGMENT_BYTES, Transit, transit_of
from braidmq.carrier.outbox import Outbox
from braidmq.carrier.rooms import KEPT_BYTES_MAX, READ_BYTES, Rooms
from braidmq.wire.bundle import called_back
from braidmq.wire.limits import BUNDLE_BYTES
from braidmq.zmtp.engine import HEAD_BYTES, Engine
from braidmq.zmtp.handshake import ClientHandshake, ServerHandshake
from braidmq.zmtp.sodium import Room
from braidmq.zmtp.violation import Misdeed, Refusal, Violation

FRAMES_PER_FLUSH: Final = 16
"""Frames sent before others have their turn, a few milliseconds of work even if their messages are tiny: nothing can be
put before the next one while the thread is busy with this one."""

KEEPING_BYTES: Final = 64
"""What a message that waits costs beside its bytes, roughly: tiny ones must not add up."""

_COUNT: Final = struct.Struct("i")
_NONE: Final[tuple[bytes, ...]] = ()
_NO_LINGER: Final = struct.pack("ii", 1, 0)
_NO_SIGNAL: Final = int(getattr(sockets, "MSG_NOSIGNAL", 0))
"""Whoever lets SIGPIPE end the program, as tools in pipelines do, does not mean connections by that."""


class End(Enum):
    """How a connection has ended."""

    CLOSED = "the other side has closed it"
    RESET = "the other side, or something on the way, has reset it"
    LOST = "the network has lost it"
    STALLED = "a message that has begun to come does not go on"


def _count(descriptor: int, of_what: int) -> int:
    return int(_COUNT.unpack(ioctl(descriptor, of_what, bytes(_COUNT.size)))[0])


class Stream:
    """One connection.

    Attributes:
        end: how it has ended, or what is wrong with what has come; None while it goes on.
        has_more: whether the last `read` has left bytes that had come.
        came_bytes: how much has come in all.
        large_bytes: how much of that was of large messages, in fragments or whole. It grows with all that changes
            `joining_bytes`.
        proven: see large_packets.py.

    Args:
        socket: connected or about to be, and not blocking.
        handshake: makes it the server's or a client's end.
        frame_bytes_max: how long a frame may be that comes, and a message in fragments.
        rooms: those of its thread.
        passed_bytes_max: how long such a REQUEST or REPLY may be that is passed over if it is longer; see `Joiner`.
    """

    __slots__ = (
        "_engine",
        "_frame_bytes_max",
        "_highest_mark",
        "_joiner",
        "_kept",
        "_leaving",
        "_left",
        "_left_at",
        "_long",
        "_long_at",
        "_long_bytes",
        "_met",
        "_outbox",
        "_passed_bytes_max",
        "_pieces_came",
        "_rooms",
        "_socket",
        "_torn",
        "came_bytes",
        "descriptor",
        "end",
        "has_more",
        "large_bytes",
        "proven",
    )  # fmt: skip

    def __init__(
        self,
        socket: sockets.socket,
        handshake: ServerHandshake | ClientHandshake,
        frame_bytes_max: int,
        rooms: Rooms,
        passed_bytes_max: int = 0,
    ) -> None:
        self.descriptor = socket.fileno()
        self.end: End | Violation | Refusal | None = None
        self.has_more = False
        self.came_bytes = 0
        self.large_bytes = 0
        self.proven = False
        self._socket = socket
        self._engine = Engine(handshake, frame_bytes_max)
        self._frame_bytes_max = frame_bytes_max
        self._passed_bytes_max = passed_bytes_max
        self._met = False
        self._highest_mark = 0
        self._joiner: Joiner | None = None
        self._pieces_came = 0
        self._rooms = rooms
        self._torn: End | None = None
        self._kept = b""
        self._long: Room | None = None
        self._long_at = 0
        self._long_bytes = 0
        self._left = b""
        self._left_at = 0
        self._leaving: list[bytes] = []
        self._outbox: Outbox | None = None

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
        return bool(self._left or engine.output or (engine.open and self._outbox))

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
        """How many commands and fragments have come, which are not among the frames and work all the same."""
        return self._engine.commands + self._pieces_came

    @property
    def pings(self) -> int:
        """How many commands have come: PING, and PONG that nobody has asked for."""
        return self._engine.commands

    @property
    def joining_bytes(self) -> int:
        """How much has come of a large message that is not complete, in fragments or whole."""
        joiner = self._joiner
        came = joiner.bytes if joiner is not None else 0
        return came if self._long is None else came + self._long_at

    @property
    def waiting_bytes(self) -> int:
        """How many bytes wait, with what it costs to keep them."""
        size = len(self._left) - self._left_at + len(self._engine.output)
        outbox = self._outbox
        return size if outbox is None else size + outbox.bytes + KEEPING_BYTES * len(outbox)

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

    def send(self, messages: list[bytes]) -> Sequence[bytes]:
        """Send messages, as bundles of about BUNDLE_BYTES; what the system does not take now is kept for `flush`.

        Return the large requests that one of them has cancelled before they had left in full; see `Outbox.add`.
        """
        if self._left or self._outbox or self._torn is not None or self._engine.output or not self._engine.open:
            return self._keep(messages)
        first, size = 0, 0
        for index, message in enumerate(messages):
            if size + len(message) > BUNDLE_BYTES:
                if size and not self._send(messages[first:index], size):
                    return self._keep(messages[index:])
                first, size = index, 0
                if self._highest_mark and len(message) > WHOLE_BYTES_MAX:
                    dropped = self._keep(messages[index:])
                    self.flush()
                    return dropped
            size += len(message)
        if size:
            self._send(messages[first:] if first else messages, size)
        return _NONE

    def flush(self) -> None:
        """Send what waits, as far as the system takes it now, but no more than leaves others their turn."""
        if self._torn is not None or not self._write_left():
            return
        outbox = self._outbox
        if outbox is None or not self._engine.open:
            return
        for _ in range(FRAMES_PER_FLUSH):
            if not outbox:
                break
            if outbox.cuts:
                if not self._send_piece(outbox):
                    return
            else:
                some = outbox.take_bundle()
                if not self._send(some, sum(map(len, some))):
                    return
        if not outbox:
            self._outbox = None

    def unread(self) -> int:
        """Return how many bytes have come that were not read yet."""
        try:
            return _count(self.descriptor, FIONREAD)
        except OSError:
            return 0  # it has ended

    def held_bytes(self) -> int:
        """Return how much of what was sent the other side's system has not acknowledged; 1 if this one cannot tell."""
        try:
            return _count(self.descriptor, TIOCOUTQ)
        except OSError:
            return 1

    def has_arrived(self) -> bool:
        """Whether the other side's system has all that this one was given, as far as this one can tell."""
        return not self.held_bytes()

    def transit(self) -> Transit | None:
        """Return what the system tells of its packets."""
        return transit_of(self._socket)

    def break_off_if_stuck(self) -> bool:
        """Return whether its large packets are lost (large_packets.py). Then let `close` end it for both sides at once.

        What the system has of it is not sent any more: the end would be behind that. Where no large frame is under way,
        or such have arrived, the network was cut: what was lost is not sent again at once when it is whole again.
        """
        transit = self.transit() if self in self._rooms.doubts else None
        if transit is None or not transit.is_stuck:
            return False
        self._socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, _NO_LINGER)
        return True

    def shut(self) -> None:
        """Say nothing more, and let the other side see the end of what was sent."""
        try:
            self._socket.shutdown(sockets.SHUT_WR)
        except OSError:
            self.end = self.end or End.CLOSED

    def close(self) -> list[bytes]:
        """Close it, and return the messages that certainly never left, in order.

        What has begun to leave is among them: nobody can open the beginning of a frame, or use that of a message.
        """
        self._rooms.doubts.leave(self)
        self._socket.close()
        self.end = self.end or End.CLOSED
        unsent = self._leaving if self._outbox is None else self._outbox.take(self._leaving)
        self._left, self._leaving, self._outbox, self._long, self._kept = b"", [], None, None, b""
        self._joiner = None
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
        if not self._met and engine.open:
            self._meet()
        view, data, highest = room.view, room.data, self._highest_mark
        for index in range(0, len(places), 2):
            begin, stop = places[index], places[index + 1]
            if highest and begin < stop and MORE <= data[begin] <= highest:
                if not self._join(view[begin:stop], found):
                    at = left = needed = 0
                    break
            else:
                found.append(bytes(view[begin:stop]))
        if self._outbox is not None and self._outbox.has_replies:
            for frame in found:
                for attempt in called_back(frame):
                    self._outbox.call_back(attempt)
        if engine.output or self._outbox:
            self.flush()
        if needed > KEPT_BYTES_MAX and left > KEPT_BYTES_MAX // 2:
            self._long_bytes, self._long_at, self._kept = needed, 0, b""
            self._long = self._widened(view[at:end])
            self.large_bytes += left
        else:
            self._kept = bytes(view[at:end]) if left else b""

    def _meet(self) -> None:
        """The handshake is complete."""
        self._met = True
        self._highest_mark = highest_mark(self._engine.common)
        if self._highest_mark and self._outbox is not None:
            self._outbox.split(abandons=self._highest_mark == ABANDON)

    def _join(self, fragment: memoryview, found: list[bytes]) -> bool:
        """Handle a fragment; return whether it may be what it is."""
        self._pieces_came += 1
        self.large_bytes += max(1, len(fragment) - 1)
        joiner = self._joiner
        if joiner is None:
            joiner = self._joiner = Joiner(self._frame_bytes_max, self._passed_bytes_max)
        try:
            message = joiner.add(fragment)
        except Misdeed as wrong:
            self.end = wrong
            self.has_more = False
            return False
        if message is not None:
            found.append(message)
        if not joiner.bytes:
            self._joiner = None
        return True

    def _read_long(self, room: Room, most: int, found: list[bytes]) -> None:
        """Read on in a long frame. Its header may be anybody's: there is never more room than twice what has come."""
        count = self._receive(room.view[self._long_at : self._long_at + most])
        self._long_at += count
        self.large_bytes += count
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

    def _keep(self, messages: list[bytes]) -> Sequence[bytes]:
        if self._outbox is None:
            self._outbox = Outbox(fragments=self._highest_mark > 0, abandons=self._highest_mark == ABANDON)
        return self._outbox.add(messages)

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
        return self._write_frame(view[begin:at], messages)

    def _send_piece(self, outbox: Outbox) -> bool:
        """Send the next fragment; return whether the system has taken all of it."""
        message, begin, end = outbox.piece()
        is_last = end == len(message)
        size = 1 + end - begin
        room = self._rooms.outbox_for(size)
        room.data[HEAD_BYTES] = ABANDON if not message else LAST if is_last else MORE
        room.view[HEAD_BYTES + 1 : HEAD_BYTES + size] = memoryview(message)[begin:end]
        try:
            at = self._engine.seal(room, size)
        except Violation as wrong:
            self.end = wrong
            return False
        outbox.piece_left()
        return self._write_frame(room.view[at : HEAD_BYTES + size], [message] if is_last and message else [])

    def _write_frame(self, frame: memoryview, messages: list[bytes]) -> bool:
        """Let the system take a frame, with which messages are complete; return whether it has taken all of it."""
        size = len(frame)
        if size > SEGMENT_BYTES and not self.proven:
            self._rooms.doubts.note(self, size)
        count = self._write(frame)
        if count == size:
            return True
        self._left, self._left_at, self._leaving = bytes(frame[count:]), 0, messages
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
