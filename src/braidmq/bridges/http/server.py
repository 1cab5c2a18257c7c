"""The gateway as a server: listens, serves connections, makes calls, drains."""

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import Sequence
from email.utils import formatdate
from ipaddress import ip_address
from typing import Final

from braidmq.bridges.http.complaints import Complaints
from braidmq.bridges.http.connection import Connection
from braidmq.bridges.http.core import problems
from braidmq.bridges.http.core.gateway import Call, Exchange, Gateway
from braidmq.bridges.http.core.limits import CONNECTIONS_MAX, REQUEST_S_MAX, UNREAD_BYTES_MAX
from braidmq.bridges.http.core.problems import Refused
from braidmq.bridges.http.handshake import Handshake
from braidmq.bridges.http.members import Members
from braidmq.bridges.waiting_room import WaitingRoom
from braidmq.checks import host_and_port
from braidmq.errors import BraidError, ConfigError, NotRegistered, Overloaded
from braidmq.host.loggers import own_logger
from braidmq.messages import Reply

BACKLOG: Final = 1_024
"""Connections that the system holds until they are taken in."""

_LOG = own_logger("braidmq.bridge")


class Server:
    """Serves one gateway. All methods belong to the event loop in which it was made.

    Args:
        gateway: says what becomes of requests.
        members: make its calls.
        room: where calls wait for their turn.
        connections_max: most connections at once, those in their handshakes among them.
        request_s_max: time for head and body of a request together.
    """

    def __init__(
        self,
        gateway: Gateway,
        members: Members,
        room: WaitingRoom,
        *,
        connections_max: int = CONNECTIONS_MAX,
        request_s_max: float = REQUEST_S_MAX,
    ) -> None:
        self.gateway = gateway
        self.request_s_max = request_s_max
        self._members = members
        self._room = room
        self._connections_max = connections_max
        self._loop = asyncio.get_running_loop()
        self._listeners: list[asyncio.Server] = []
        self._free: dict[Connection | Handshake, None] = {}
        self._busy: set[Connection] = set()
        self._unread: dict[Connection, int] = {}
        self._complaints = Complaints(_LOG, self._loop.time)
        self._second = 0
        self._date = b""
        self._changed = asyncio.Event()

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Where it listens."""
        names = [each.getsockname() for listener in self._listeners for each in listener.sockets]
        return [(name[0], name[1]) for name in names]

    @property
    def connections(self) -> int:
        """How many connections there are, those in their handshakes among them."""
        return len(self._free) + len(self._busy)

    async def listen(self, host: str, port: int, tls: ssl.SSLContext | None, *, elsewhere: str = "") -> None:
        """Take hold of an address; connections are taken in from `serve` on.

        Args:
            host: a name or an address; empty for all of this machine.
            port: 0 for any.
            tls: what proves who it is.
            elsewhere: why it must not be reached from other machines; nothing if it may be.

        Raises:
            ConfigError: it cannot be had, or other machines could reach it and must not.
        """
        try:
            listener = await self._loop.create_server(
                lambda: self._receive(tls),
                host or None,
                port,
                backlog=BACKLOG,
                start_serving=False,
            )
        except (OSError, UnicodeError) as error:  # UnicodeError: a label of the name is empty or too long
            where, why = f"{host or '*'}:{port}", error.strerror if isinstance(error, OSError) else None
            raise ConfigError(f"the gateway cannot listen at {where}: {why or error}") from None
        far = [each for each in listener.sockets if not ip_address(_plain(each)).is_loopback]
        if elsewhere and far:
            listener.close()
            raise ConfigError(f"{host or '*'}:{port} can be reached from other machines, and {elsewhere}")
        self._listeners.append(listener)

    def _receive(self, tls: ssl.SSLContext | None) -> Connection | Handshake:
        connection = Connection(self, self._loop)
        return connection if tls is None else Handshake(self, connection, tls, self._loop)

    async def serve(self) -> None:
        """Take in connections at all addresses."""
        for listener in self._listeners:
            await listener.start_serving()

    async def drain(self, timeout_s: float) -> None:
        """Take nothing new, and wait until what is under way has been answered, at most `timeout_s`."""
        self.gateway.draining = True
        for listener in self._listeners:
            listener.close()
        for connection in [*self._free, *self._busy]:
            connection.shut()
        try:
            async with asyncio.timeout(timeout_s):
                while self._busy or self.gateway.under_way:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            _LOG.warning("the gateway's drain timed out after %g s; unfinished calls are cancelled", timeout_s)

    def end(self) -> None:
        """Close all connections; their calls are cancelled."""
        for listener in self._listeners:
            listener.close()
        for connection in [*self._free, *self._busy]:
            connection.cut()

    # -- for its connections

    def date(self) -> bytes:
        """See connection.Serving."""
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._date = b"date: %b\r\n" % formatdate(second, usegmt=True).encode()
        return self._date

    async def make(self, call: Call) -> Reply:
        """See connection.Serving. The callers take turns."""
        caller, left_s = call.caller, call.timeout_s
        line = caller.join, call.service
        try:
            number, place = self._room.enter(caller.name, line, len(call.payload), left_s)
            try:
                if place is not None:
                    left_s = await place
                return await self._members.node(caller.join).request(
                    call.service,
                    call.payload,
                    timeout=left_s,
                    attempts=call.attempts,
                    headers=call.headers or None,
                    possible_duplicate=call.possible_duplicate,
                )
            finally:
                self._room.leave(number)
        except Overloaded as error:
            error.service = call.service
            error.maybe_executed = error.maybe_executed or call.possible_duplicate
            raise

    def on_connected(self, connection: Connection) -> bool:
        """See connection.Serving."""
        return self._take_in(connection)

    def on_handshake(self, handshake: Handshake) -> None:
        """See handshake.Receiving. Where there is no place for it, it is told so once it can be told anything."""
        self._take_in(handshake)

    def on_handshake_end(self, handshake: Handshake) -> None:
        """See handshake.Receiving."""
        self._free.pop(handshake, None)

    def _take_in(self, new: Connection | Handshake) -> bool:
        """Return whether there is a place. Of those without a call, the one that has waited longest makes room."""
        full = self.connections >= self._connections_max
        if full and self._free:
            longest = next(iter(self._free))
            del self._free[longest]
            longest.cut()
            full = False
        self._free[new] = None
        return not full

    def on_busy(self, connection: Connection, *, busy: bool) -> None:
        """See connection.Serving."""
        if busy:
            self._free.pop(connection, None)
            self._busy.add(connection)
        else:
            self._busy.discard(connection)
            self._free[connection] = None
            self._changed.set()

    def on_blocked(self, connection: Connection, unread_bytes: int) -> None:
        """See connection.Serving. If callers do not take too much in all, the one with the most is cut."""
        if not unread_bytes:
            self._unread.pop(connection, None)
            self._changed.set()
            return
        self._unread[connection] = unread_bytes
        if sum(self._unread.values()) > UNREAD_BYTES_MAX:
            slowest = max(self._unread, key=self._unread.__getitem__)
            del self._unread[slowest]
            self._complaints.add(logging.WARNING, "%s does not read its answers, and was cut", slowest.address)
            slowest.cut()

    def on_gone(self, connection: Connection) -> None:
        """See connection.Serving."""
        self._free.pop(connection, None)
        self._busy.discard(connection)
        self._unread.pop(connection, None)
        self._loop.call_soon(self._changed.set)  # it lets go of its requests after this

    def on_hang_up(self, exchange: Exchange) -> None:
        """See connection.Serving."""
        self._complaints.add(
            logging.INFO, "499 %s hung up on a call of %s", exchange.head.address, exchange.route.service
        )

    def on_refused(self, refused: Refused, address: str) -> None:
        """See connection.Serving."""
        if refused.problem is problems.UNAUTHENTICATED:
            self._complaints.add(logging.WARNING, "%s has no valid token", address)

    def on_failed(self, error: BaseException, service: str) -> None:
        """See connection.Serving."""
        if isinstance(error, NotRegistered):
            self._complaints.add(logging.ERROR, "a call of %s cannot be made: %s", service, error)
        elif not isinstance(error, BraidError):
            _LOG.error("the gateway met an error of its own at a call of %s", service, exc_info=error)


def _plain(listening: socket.socket) -> str:
    """Return the address of a socket, without the name of a device."""
    return str(listening.getsockname()[0]).partition("%")[0]


def addresses(binds: Sequence[str]) -> list[tuple[str, int]]:
    """Return hosts and ports of addresses such as ``127.0.0.1:8080``, ``[::1]:8080`` or ``*:8080``.

    Raises:
        ConfigError: one of them is none.
    """
    found = []
    for bind in binds:
        address = host_and_port(bind)
        if address is None:
            raise ConfigError(f"{bind!r} is no address to listen at: write HOST:PORT, as in 127.0.0.1:8080")
        host, port = address
        found.append(("" if host == "*" else host, port))
    return found
