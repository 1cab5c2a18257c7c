"""The file of a Unix socket that a broker listens at: who may connect to it, whose it is, and when it goes."""

import errno
import os
import socket as sockets
import stat
import struct
from contextlib import suppress
from pathlib import Path
from typing import Final

from braidmq.trust.endpoint import IPC_SCHEME

MODE: Final = 0o600
"""Who may write the file of a socket may connect to it: its owner, and root."""

_PEER: Final = getattr(sockets, "SO_PEERCRED", None)
_CREDENTIALS: Final = struct.Struct("3i")


class SocketFile:
    """A file that a socket is bound to, which is removed at its end.

    Args:
        socket: it does not listen yet, so that nobody connects before the file has its mode.
        endpoint: ``ipc://PATH``.

    Raises:
        OSError: it cannot be made. EADDRINUSE: a living process listens there, or what is there is no socket. What a
            dead process has left behind is replaced.
    """

    def __init__(self, socket: sockets.socket, endpoint: str) -> None:
        self._path = Path(endpoint.removeprefix(IPC_SCHEME))
        _make_way(self._path)
        with suppress(OSError):  # where the file has the mode of its socket, it is private from the beginning
            os.fchmod(socket.fileno(), MODE)
        socket.bind(str(self._path))
        found = self._path.lstat()
        self._identity = found.st_dev, found.st_ino
        if stat.S_IMODE(found.st_mode) != MODE:
            self._path.chmod(MODE)

    def remove(self) -> None:
        """Remove it, unless another one has taken its place. The socket is to be closed after that."""
        with suppress(OSError):
            found = self._path.lstat()
            if (found.st_dev, found.st_ino) == self._identity:
                self._path.unlink()


def caller_of(socket: sockets.socket) -> str:
    """Return who has connected to a Unix socket, as the log is to call it and limits are to count it."""
    if _PEER is None:
        return "this machine"
    _pid, user, _group = _CREDENTIALS.unpack(socket.getsockopt(sockets.SOL_SOCKET, _PEER, _CREDENTIALS.size))
    return f"user {user} of this machine"


def _make_way(path: Path) -> None:
    """Remove the socket that a dead process has left behind, if there is one."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode) or _is_heard(path):
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
    path.unlink(missing_ok=True)


def _is_heard(path: Path) -> bool:
    """Whether somebody listens at a socket, as far as can be told."""
    with sockets.socket(sockets.AF_UNIX) as caller:
        caller.setblocking(False)
        try:
            caller.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            return True  # its queue is full, or it is not for this process to call
    return True
