"""Where a broker listens: its addresses, and the connections that come there."""

import errno
import math
import socket as sockets
from typing import Final

from braidmq.carrier.large_packets import shrink
from braidmq.carrier.options import address_of
from braidmq.carrier.poller import Poller
from braidmq.carrier.socket_file import SocketFile, caller_of
from braidmq.trust.endpoint import IPC_SCHEME

BACKLOG: Final = 1_024
"""Connections that the kernel keeps until they are accepted: nodes that come back all at once."""

PAUSE_S: Final = 0.25
"""How long nothing is accepted when the system has no descriptor for it, so that the broker does not spin."""

_UNIX: Final = sockets.AF_UNIX
_FULL: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Entrance:
    """The sockets that listen.

    Attributes:
        resume_at: when connections are accepted again; infinity while they are.

    Args:
        poller: that of the broker's thread.
    """

    def __init__(self, poller: Poller) -> None:
        self.resume_at = math.inf
        self._poller = poller
        self._sockets: dict[int, sockets.socket] = {}
        self._files: list[SocketFile] = []
        self._acceptable: dict[int, None] = {}

    def bind(self, endpoint: str) -> str:
        """Listen at ``tcp://ADDRESS:PORT`` or ``ipc://PATH``, and return that with its real port. Raises OSError."""
        if endpoint.startswith(IPC_SCHEME):
            self._bind_file(endpoint)
            return endpoint
        host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
        where: tuple[str | int, ...]
        if host == "*":
            family, where = sockets.AF_INET, ("0.0.0.0", int(port))  # noqa: S104 - that is what it asks for
        else:
            found, where = address_of(endpoint)
            family = sockets.AddressFamily(found)
        socket = sockets.socket(family, sockets.SOCK_STREAM)
        try:
            socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_REUSEADDR, 1)
            if family == sockets.AF_INET6:
                socket.setsockopt(sockets.IPPROTO_IPV6, sockets.IPV6_V6ONLY, 0)
            socket.bind(where)
            self._listen(socket)
        except OSError:
            socket.close()
            raise
        bound = socket.getsockname()
        shown = f"[{bound[0]}]" if family == sockets.AF_INET6 else bound[0]
        return f"tcp://{shown}:{bound[1]}"

    def mark(self, descriptor: int) -> bool:
        """Note that somebody has come; return whether the descriptor is one of these sockets."""
        if descriptor not in self._sockets:
            return False
        self._acceptable[descriptor] = None
        return True

    @property
    def is_called(self) -> bool:
        """Whether somebody has come who was not accepted yet."""
        return bool(self._acceptable)

    def accept(self, most: int, now: float) -> list[tuple[sockets.socket, str]]:
        """Return at most so many new connections of each socket, with the addresses that they come from.

        When the system has no descriptor for another one, there is a pause: see `resume_at`.
        """
        found: list[tuple[sockets.socket, str]] = []
        if not self._acceptable:
            return found
        acceptable, self._acceptable = self._acceptable, {}
        for descriptor in acceptable:
            listening = self._sockets[descriptor]
            for _ in range(most):
                try:
                    socket, address = listening.accept()
                except BlockingIOError:
                    break
                except OSError as error:
                    if error.errno in _FULL:
                        self._pause(now)
                        return found
                    continue  # it has ended before it was accepted
                found.append((socket, caller_of(socket) if socket.family == _UNIX else str(address[0])))
        return found

    def resume(self, now: float) -> None:
        """End the pause, if it is time."""
        if now >= self.resume_at:
            try:
                for descriptor in self._sockets:
                    self._poller.register(descriptor)
            except OSError:  # the system can watch no more of them
                for descriptor in self._sockets:
                    self._poller.unregister(descriptor)
                self.resume_at = now + PAUSE_S
            else:
                self.resume_at = math.inf

    def shrink(self) -> None:
        """Let all who come from now on have small packets, in both directions (large_packets.py)."""
        for socket in self._sockets.values():
            shrink(socket)

    def close(self) -> None:
        """Stop to listen."""
        for file in self._files:
            file.remove()  # while it is heard, nobody else takes its place
        self._files.clear()
        for socket in self._sockets.values():
            if self.resume_at == math.inf:
                self._poller.unregister(socket.fileno())
            socket.close()
        self._sockets.clear()
        self._acceptable.clear()
        self.resume_at = math.inf

    def _bind_file(self, endpoint: str) -> None:
        socket = sockets.socket(_UNIX, sockets.SOCK_STREAM)
        try:
            file = SocketFile(socket, endpoint)
            try:
                self._listen(socket)
            except OSError:
                file.remove()
                raise
        except OSError:
            socket.close()
            raise
        self._files.append(file)

    def _listen(self, socket: sockets.socket) -> None:
        """Listen at a socket that is bound."""
        socket.setblocking(False)
        socket.listen(BACKLOG)
        self._poller.register(socket.fileno())
        self._sockets[socket.fileno()] = socket

    def _pause(self, now: float) -> None:
        self.resume_at = now + PAUSE_S
        for descriptor in self._sockets:
            self._poller.unregister(descriptor)
