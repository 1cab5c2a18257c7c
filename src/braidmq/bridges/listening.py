"""Where a bridge listens: sockets for the endpoints of ZeroMQ that it is told."""

import errno
import os
import socket
from typing import Final

from braidmq.carrier.socket_file import SocketFile
from braidmq.checks import port_of
from braidmq.errors import ConfigError
from braidmq.trust.endpoint import IPC_SCHEME

_TCP_SCHEME: Final = "tcp://"
_ABSTRACT: Final = "@"
_ANY: Final = "*"


class Place:
    """A socket that is bound to an endpoint, and does not listen yet.

    Attributes:
        socket: it.
        endpoint: with the port that the system has chosen, if it was left to it.

    Args:
        endpoint: ``tcp://HOST:PORT`` or ``ipc://PATH``. HOST is an address, a name or ``*``, PORT a number or ``*``.
            A PATH that begins with ``@`` has no file; only Linux has it.

    Raises:
        ConfigError: it cannot be; the text says which one and why.
    """

    def __init__(self, endpoint: str) -> None:
        self._file: SocketFile | None = None
        self.endpoint = endpoint
        try:
            self.socket = self._tcp() if endpoint.startswith(_TCP_SCHEME) else self._ipc()
        except (OSError, ValueError) as error:
            raise ConfigError(f"cannot listen at {endpoint}: {_why(error)}") from None

    def leave(self) -> None:
        """Remove its file, if it has one. The socket is closed by whoever listens."""
        if self._file is not None:
            self._file.remove()

    def _tcp(self) -> socket.socket:
        host, _, port = self.endpoint.removeprefix(_TCP_SCHEME).rpartition(":")
        number = 0 if port == _ANY else port_of(port)
        if not host or number is None:
            raise ValueError("write tcp://HOST:PORT, as in tcp://127.0.0.1:5555")
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
        if path == self.endpoint or not path.strip(_ABSTRACT):
            raise ValueError("write tcp://HOST:PORT or ipc://PATH")
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
