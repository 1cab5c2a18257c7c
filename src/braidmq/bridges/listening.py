"""Where a bridge listens: sockets for the endpoints of ZeroMQ that it is told, and the connections that come there."""

import asyncio
import errno
import math
import os
import socket
from collections.abc import Callable
from typing import Final

from braidmq.bridges.places import check_endpoint
from braidmq.carrier.socket_file import SocketFile
from braidmq.errors import ConfigError
from braidmq.host.loggers import own_logger
from braidmq.host.room import NoRoom, room
from braidmq.trust.endpoint import IPC_SCHEME

_LOG = own_logger("braidmq.bridge")

ACCEPTED_AT_ONCE: Final = 16
"""Connections that are taken in before anything else has its turn."""

UNACCEPTED_MAX: Final = 1_024
"""Connections that the system holds until they are taken in."""

PAUSE_S: Final = 0.25
"""How long nobody is taken in when the system has no descriptor for it, so that the bridge does not spin."""

WARN_S: Final = 60.0
"""How often the log says so at most."""

_TCP_SCHEME: Final = "tcp://"
_ABSTRACT: Final = "@"
_ANY: Final = "*"


class Place:
    """A socket that listens at an endpoint. Create it inside a running event loop; end it with `close`.

    Attributes:
        endpoint: with the port that the system has chosen, if it was left to it.

    Args:
        make: makes the protocol of each connection.
        endpoint: ``tcp://HOST:PORT`` or ``ipc://PATH``. HOST is an address, a name or ``*``, PORT a number or ``*``.
            A PATH that begins with ``@`` has no file; only Linux has it.

    Raises:
        ConfigError: it cannot be; the text says which one and why.
    """

    def __init__(self, endpoint: str, make: Callable[[], asyncio.BaseProtocol]) -> None:
        self._make = make
        self._loop = asyncio.get_running_loop()
        self._file: SocketFile | None = None
        self._pause: asyncio.TimerHandle | None = None
        self._warned_at = -math.inf
        self._accepted: set[asyncio.Task[object]] = set()
        self.endpoint = endpoint
        try:
            check_endpoint(endpoint, any_port=True)
            self._socket = self._tcp() if endpoint.startswith(_TCP_SCHEME) else self._ipc()
            try:
                self._socket.setblocking(False)
                self._socket.listen(UNACCEPTED_MAX)  # two sockets may be bound to one port, of which one can listen
                self._loop.add_reader(self._socket, self._accept)
            except BaseException:
                self.close()
                raise
        except (ConfigError, OSError, ValueError) as error:
            raise ConfigError(f"cannot listen at {endpoint}: {_why(error)}") from None

    def close(self) -> None:
        """Listen no more; whoever has come stays."""
        if self._file is not None:
            self._file.remove()
        if self._pause is not None:
            self._pause.cancel()
        else:
            self._loop.remove_reader(self._socket)
        self._socket.close()

    def _accept(self) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                with room(f"who connects to {self.endpoint}"):
                    connection, _address = self._socket.accept()
            except BlockingIOError:
                return
            except NoRoom as error:
                self._pause_because(error)
                return
            except OSError:  # it has ended before it was taken in
                continue
            task = self._loop.create_task(self._take_in(connection))
            self._accepted.add(task)
            task.add_done_callback(self._accepted.discard)

    async def _take_in(self, connection: socket.socket) -> None:
        try:
            connection.setblocking(False)
            await self._loop.connect_accepted_socket(self._make, connection)
        except OSError:  # the system cannot watch it
            connection.close()

    def _pause_because(self, error: NoRoom) -> None:
        self._loop.remove_reader(self._socket)
        self._resume_later()
        now = self._loop.time()
        if now - self._warned_at >= WARN_S:
            self._warned_at = now
            _LOG.warning("%s", error)

    def _resume_later(self) -> None:
        self._pause = self._loop.call_later(PAUSE_S, self._resume)

    def _resume(self) -> None:
        try:
            self._loop.add_reader(self._socket, self._accept)
        except OSError:  # the system can watch no more
            self._resume_later()
        else:
            self._pause = None

    def _tcp(self) -> socket.socket:
        host, _, port = self.endpoint.removeprefix(_TCP_SCHEME).rpartition(":")
        number = 0 if port == _ANY else int(port)
        bare = host.removeprefix("[").removesuffix("]")
        family = socket.AF_INET if bare == host else socket.AF_INET6
        found = socket.getaddrinfo(
            None if bare == _ANY else bare, number, family, socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        made = socket.socket(family, socket.SOCK_STREAM)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind(found[0][4])
        except BaseException:
            made.close()
            raise
        name = "0.0.0.0" if bare == _ANY else made.getsockname()[0]  # noqa: S104 - told, not bound
        self.endpoint = f"{_TCP_SCHEME}{name if family == socket.AF_INET else f'[{name}]'}:{made.getsockname()[1]}"
        return made

    def _ipc(self) -> socket.socket:
        path = self.endpoint.removeprefix(IPC_SCHEME)
        if path == _ABSTRACT:
            raise ValueError("it has no name behind the @")
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            if path.startswith(_ABSTRACT):
                made.bind("\0" + path[1:])
            else:
                self._file = SocketFile(made, self.endpoint)
        except BaseException:
            made.close()
            raise
        return made


def _why(error: Exception) -> str:
    if isinstance(error, socket.gaierror):
        return f"its host cannot be looked up: {error.strerror}"
    if not isinstance(error, OSError) or error.errno is None:
        return str(error)
    hint = ": end what listens there, or bind elsewhere" if error.errno == errno.EADDRINUSE else ""
    return os.strerror(error.errno) + hint
