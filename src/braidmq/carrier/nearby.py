"""Where the members of one machine meet that run as the same user: at a Unix socket which each finds by the same rule.

A broker listens there beside its endpoints, and who is about to connect to it looks there first. What stands there is
believed no more than any address: the handshake is the same, with the same keys.
"""

import os
import socket as sockets
import stat
from hashlib import blake2b
from pathlib import Path
from typing import Final, NamedTuple

from braidmq.errors import BraidError
from braidmq.printable import printable
from braidmq.trust.endpoint import IPC_SCHEME, SOCKET_PATH_BYTES_MAX
from braidmq.wire.limits import BROKERS_MAX

COMMON: Final = Path("/tmp")  # noqa: S108 - what is there is used if it is this user's alone
"""Where the directory is that is there for everybody who runs as this user, such as the services of a system."""

DIRECTORY_MODE: Final = 0o700
"""Nobody else may put a socket there, or see which brokers there are."""

ANSWER_S_MAX: Final = 0.5
"""How long the handshake at a broker's own socket may take before its endpoints are tried: hundreds of times as long
as it does, and short enough for a call to wait for."""

DISTRUST_S: Final = 10.0
"""How long a socket is left alone after it did not lead to its broker: it costs no more than ANSWER_S_MAX, and a line
of the log, in this time. A broker that is restarted is back sooner, and is found over TCP for once."""

_DIGEST_BYTES: Final = 12
"""Of what names a broker: enough that no two meet by accident. Who makes them meet is met by the wrong key."""


class NoPlace(BraidError):  # noqa: N818 - named like the other errors of BraidMQ
    """No directory is this user's alone; the message says of each why it is not."""


class Call(NamedTuple):
    """A connection to a broker's socket, and where that is."""

    socket: sockets.socket
    path: str


class Nearby:
    """The sockets of the brokers of one net.

    Args:
        net: the net's name.
        authority_key: what its certificates are signed with; nets may have the same name.
    """

    def __init__(self, net: str, authority_key: bytes) -> None:
        self._net = b"%d:%s%s" % (len(net.encode()), net.encode(), authority_key)
        self._left_until: dict[str, float] = {}

    def place(self, name: str) -> str:
        """Return where the broker `name` listens for others of its machine, in a directory that is made if need be.

        Raises:
            NoPlace: there is no directory for it.
        """
        problems = []
        for directory in directories():
            endpoint = f"{IPC_SCHEME}{directory / self._file(name)}"
            if len(os.fsencode(endpoint)) > len(IPC_SCHEME) + SOCKET_PATH_BYTES_MAX:
                problems.append(f"{_shown(directory)} is too long for the path of a socket")
                continue
            problem = _made(directory) or _problem(directory)
            if not problem:
                return endpoint
            problems.append(problem)
        raise NoPlace("; ".join(problems))

    def call(self, name: str, now: float) -> Call | None:
        """Return a connection to the socket of the broker `name`; None if it has none here, or nobody listens there."""
        until = self._left_until.get(name)
        if until is not None:
            if now < until:
                return None
            del self._left_until[name]
        file = self._file(name)
        for directory in directories():
            path = str(directory / file)
            try:
                if _problem(directory) or not stat.S_ISSOCK(os.lstat(path).st_mode):
                    continue
                socket = sockets.socket(sockets.AF_UNIX)
            except OSError:
                continue
            try:
                socket.setblocking(False)
                socket.connect(path)
            except OSError:  # its broker is dead, or has no place in its queue
                socket.close()
                continue
            return Call(socket, path)
        return None

    def distrust(self, name: str, now: float) -> None:
        """Leave the socket of the broker `name` alone for DISTRUST_S."""
        self._left_until.pop(name, None)
        if len(self._left_until) >= BROKERS_MAX:
            del self._left_until[next(iter(self._left_until))]  # the first that is due
        self._left_until[name] = now + DISTRUST_S

    def _file(self, name: str) -> str:
        digest = blake2b(self._net + name.encode(), digest_size=_DIGEST_BYTES, person=b"braidmq nearby")
        return f"{digest.hexdigest()}.sock"


def directories() -> tuple[Path, ...]:
    """Return where sockets may be, the best first: a broker takes the first that it can, and others look in each."""
    own = COMMON / f"braidmq-{os.geteuid()}"
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    return (Path(runtime, "braidmq"), own) if runtime.startswith("/") else (own,)


def _made(directory: Path) -> str:
    """Make a directory if there is none; return why that cannot be done, or nothing."""
    try:
        directory.mkdir(DIRECTORY_MODE)
    except FileExistsError:
        pass
    except OSError as error:
        return f"{_shown(directory)} cannot be made: {error.strerror}"
    return ""


def _problem(directory: Path) -> str:
    """Return what keeps a directory from being this user's alone; nothing if it is."""
    try:
        found = directory.lstat()
    except OSError as error:
        return f"{_shown(directory)} cannot be looked at: {error.strerror}"
    if not stat.S_ISDIR(found.st_mode):
        return f"{_shown(directory)} is not a directory"
    if found.st_uid != os.geteuid():
        return f"{_shown(directory)} belongs to another user"
    if found.st_mode & 0o777 != DIRECTORY_MODE:
        mode = stat.S_IMODE(found.st_mode)
        return f"{_shown(directory)} has mode {mode:04o}: run `chmod 700 {_shown(directory)}`"
    return ""


def _shown(path: Path) -> str:
    return printable(str(path))
