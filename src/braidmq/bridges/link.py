"""One foreign connection on asyncio: what comes is given to its engine, and what is to go leaves at once or waits."""

import asyncio
import select
import socket
import sys
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol

from braidmq.bridges.limits import ABSENCE_S_MAX, HELD_BACK_BYTES_MAX, PROBE_S, UNREAD_MESSAGES_MAX
from braidmq.bridges.port import Peer
from braidmq.zmtp.clear import ClearEngine

_MAPPED: Final = "::ffff:"
"""How an IPv4 address begins that has come to a socket of IPv6."""

_HANG_UP: Final = getattr(select, "POLLRDHUP", 0)
"""That the other end has closed its direction, on Linux. That both are closed is told by poll itself."""

_PROBES: Final = int(ABSENCE_S_MAX / PROBE_S) - 1


class Owner(Protocol):
    """What has connections.

    Attributes:
        room: where bytes are read into; they are gone when those of another connection come.
    """

    room: memoryview

    def on_made(self, link: "Link") -> None:
        """Note that a connection stands, without a handshake."""

    def on_bytes(self, link: "Link") -> None:
        """Note that its engine has been given something."""

    def on_end(self, link: "Link") -> None:
        """Note that nothing more comes, once or twice. What its engine holds counts."""

    def on_lost(self, link: "Link") -> None:
        """Note that nothing is left of it."""


class Link(asyncio.BufferedProtocol):
    """A connection.

    Attributes:
        engine: makes messages of bytes.
        on_open: says who the peer is once the handshake is complete; None: whoever says something is a peer.
        on_lost: is told that nothing is left of it.
        peer: who speaks; None before the first message.
        ended: nothing more comes, and nothing reaches the peer.
        waits: its owner will read what its engine holds.
        rests: its owner will do so only after a while.
        counted_bytes: as much of what its engine holds as its owner has counted.
        handshake_timer: ends it if its handshake takes too long; None once it is complete.
    """

    def __init__(
        self,
        owner: Owner,
        engine: ClearEngine,
        on_open: Callable[[], Peer] | None = None,
        on_lost: Callable[[], None] | None = None,
    ) -> None:
        self.engine = engine
        self.on_open = on_open
        self.on_lost = on_lost
        self.peer: Peer | None = None
        self.ended = False
        self.waits = False
        self.rests = False
        self.counted_bytes = 0
        self.handshake_timer: asyncio.TimerHandle | None = None
        self._owner = owner
        self._transport: Any = None
        self._reads = True
        self._blocked = False
        self._unread: deque[int] = deque()
        self._unread_bytes = 0
        self._holds_back = False
        self._held_back: list[bytes] = []
        self._held_back_bytes = 0

    # -- asyncio.BufferedProtocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See there."""
        self._transport = transport
        _watch(transport.get_extra_info("socket"))
        self.write_output()
        self._owner.on_made(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        """See there."""
        return self._owner.room

    def buffer_updated(self, nbytes: int) -> None:
        """See there."""
        self.engine.feed(self._owner.room[:nbytes])
        self._owner.on_bytes(self)

    def eof_received(self) -> bool:
        """See there."""
        self._owner.on_end(self)
        self.abort()  # it may have closed one direction only, and read nothing of what waits, for ever
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """See there."""
        self._owner.on_end(self)
        self._owner.on_lost(self)

    def pause_writing(self) -> None:
        """See there."""
        self._blocked = True
        self._unread.clear()
        self._unread_bytes = 0

    def resume_writing(self) -> None:
        """See there."""
        self._blocked = False

    # -- for its owner

    @property
    def host(self) -> str:
        """The address of the other end; empty over a Unix socket."""
        name = self._transport.get_extra_info("peername")
        return str(name[0]).removeprefix(_MAPPED) if isinstance(name, tuple) else ""

    @property
    def unread_bytes(self) -> int:
        """How much waits here for the peer to read, if it is more than a little."""
        return int(self._transport.get_write_buffer_size()) if self._blocked else 0

    @property
    def is_full(self) -> bool:
        """Whether so many messages wait here that there is no room for another one."""
        if not self._blocked or len(self._unread) < UNREAD_MESSAGES_MAX:
            return False
        waits = self.unread_bytes + self._held_back_bytes
        while self._unread and self._unread_bytes - self._unread[0] >= waits:
            self._unread_bytes -= self._unread.popleft()  # nothing of it waits any more
        return len(self._unread) >= UNREAD_MESSAGES_MAX

    @property
    def reachable(self) -> bool:
        """Whether what is sent may come to the peer."""
        return not self.ended and not self._transport.is_closing()

    @property
    def hung_up(self) -> bool:
        """Whether the other end has closed, however much of what it has sent was not read."""
        if self._transport.is_closing():
            return True
        signs = select.poll()
        signs.register(self._transport.get_extra_info("socket").fileno(), _HANG_UP)
        return bool(signs.poll(0))

    @property
    def blocked(self) -> bool:
        """Whether something waits here."""
        return self._blocked

    def write(self, data: bytes) -> bool:
        """Send a message: at once, if it is the first one since `flush`; return whether it was."""
        if self._blocked:
            self._unread.append(len(data))
            self._unread_bytes += len(data)
        if self._holds_back:
            self._held_back.append(data)
            self._held_back_bytes += len(data)
            if self._held_back_bytes >= HELD_BACK_BYTES_MAX:
                self._write_held_back()
            return False
        self._transport.write(data)
        self._holds_back = True
        return True

    def flush(self) -> None:
        """Send the messages since the first one, all together: that takes the system as long as one of them."""
        self._holds_back = False
        if self._held_back:
            self._write_held_back()

    def _write_held_back(self) -> None:
        self._transport.write(b"".join(self._held_back))
        self._held_back.clear()
        self._held_back_bytes = 0

    def write_output(self) -> None:
        """Send what the engine has to say by itself. Who reads nothing gets no answers to its heartbeats."""
        output = self.engine.output
        if output:
            if not self._blocked and self.reachable:
                self._transport.write(bytes(output))
            output.clear()

    def read(self, *, on: bool) -> None:
        """Read on, or leave what comes where TCP holds it back."""
        if on != self._reads and not self._transport.is_closing():
            self._reads = on
            if on:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    def close(self) -> None:
        """End it behind what was sent."""
        self.flush()
        self._transport.close()

    def abort(self) -> None:
        """End it at once."""
        self._transport.abort()


def _watch(connection: Any) -> None:
    """Let the system notice that the other end's machine is gone.

    A PING of ZMTP would see no more, and can end a program of libzmq whose connection breaks while it is busy (libzmq
    issue 4364).
    """
    if connection is None or connection.family not in (socket.AF_INET, socket.AF_INET6):
        return
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if sys.platform == "linux":
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, int(PROBE_S))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, int(PROBE_S))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _PROBES)
