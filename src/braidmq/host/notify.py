"""Tells whatever looks after a process how it is: that it is ready, what it does, that it lives.

systemd, and whatever does as it does, names a Unix datagram socket in $NOTIFY_SOCKET (sd_notify(3)). Where there is
none, as in a container, a file is changed as long as the process lives: $BRAIDMQ_ALIVE names it, and a probe looks how
old it is. Nothing here ever blocks: what the socket does not take is said the next time, for a process that is not
heard is ended.
"""

import os
import socket
from collections.abc import Callable, Mapping
from typing import Final

from braidmq.host.loggers import own_logger

ALIVE: Final = "BRAIDMQ_ALIVE"
"""The environment variable that names the file."""

ALIVE_S: Final = 1.0
"""How often the file is changed: probes come every few seconds."""

VARIABLES: Final = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", ALIVE)
"""The environment variables that are meant for one process, and not for those that it starts."""

BEATS_PER_PERIOD: Final = 4
"""How often a process says that it lives in each period of the watchdog: some of these may be late, or get lost."""

STATUS_S: Final = 5.0
"""How often the status is looked at: it is for people."""

STATUS_CHARS_MAX: Final = 300
"""Characters of a status: a line of a terminal or two."""

_LOG = own_logger("braidmq.notify")


class Notifier:
    """Talks to the service manager, and changes the file, if there are any. All methods belong to one thread.

    Args:
        status: returns in a few words how this process stands. It is called while the process is ready.
        environment: where the variables are, if not in that of this process. They stay there.
        pid: of this process, if not its own: a watchdog may be meant for another one.

    Attributes:
        watchdog_s: how long this process may be silent before it is ended; None: without end.
        beat_s: how often `on_time` is to be called at least; None: nobody is to be told anything.
    """

    def __init__(
        self, status: Callable[[], str], environment: Mapping[str, str] | None = None, pid: int | None = None
    ) -> None:
        variables = os.environ if environment is None else environment
        self._status = status
        self._address = _address(variables.get("NOTIFY_SOCKET", ""))
        self._file = _AliveFile(variables[ALIVE]) if variables.get(ALIVE) else None
        self.watchdog_s = watchdog_s(variables, pid)
        self.beat_s = self._beat_s()
        self._socket: socket.socket | None = None
        self._unsaid: dict[str, str] = {}
        self._failed = False
        self._shown = ""
        self._serves = False
        self._look_at = float("-inf")
        self._beat_at = float("-inf")

    def _beat_s(self) -> float | None:
        spans = [] if self._address is None else [STATUS_S]
        spans += [] if self.watchdog_s is None else [self.watchdog_s / BEATS_PER_PERIOD]
        spans += [] if self._file is None else [ALIVE_S]
        return min(spans, default=None)

    def ready(self, now: float) -> None:
        """Say that this process does its work from now on."""
        self._serves = True
        self._unsaid["READY"] = "1"
        self.on_time(now)

    def stopping(self, now: float) -> None:
        """Say that this process has begun to end."""
        self._serves = False
        self._unsaid |= {"STOPPING": "1", "STATUS": "draining"}
        self.on_time(now)

    def on_time(self, now: float) -> None:
        """Say that this process lives, and what else is due. Call it from the loop that does the work."""
        if self._file is not None and (self._serves or self._file.exists):
            self._file.change(now)
        if self._address is None:
            return
        if self._serves and now >= self._look_at:
            self._look_at = now + STATUS_S
            status = " ".join(self._status().split())[:STATUS_CHARS_MAX]
            if status != self._shown:
                self._shown = self._unsaid["STATUS"] = status
        if self.watchdog_s is not None and now >= self._beat_at:
            self._beat_at = now + self.watchdog_s / BEATS_PER_PERIOD
            self._unsaid["WATCHDOG"] = "1"
        if self._unsaid:
            self._say(self._address)

    def close(self) -> None:
        """Say nothing more."""
        self._address = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._file is not None:
            self._file.close()
            self._file = None

    def _say(self, address: str) -> None:
        said = "".join(f"{name}={value}\n" for name, value in self._unsaid.items())
        try:
            if self._socket is None:
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                self._socket.setblocking(False)
            self._socket.sendto(said.encode(), address)
        except BlockingIOError:
            return
        except OSError as error:
            if not self._failed:
                self._failed = True
                _LOG.warning("the service manager cannot be told how this process is: %s", error.strerror or error)
            return
        self._unsaid.clear()


class _AliveFile:
    """The file that says that a process lives, by the time of its last change."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor: int | None = None
        self._failed = False
        self._due = float("-inf")

    @property
    def exists(self) -> bool:
        """Whether it is there, made by this process."""
        return self._descriptor is not None

    def change(self, now: float) -> None:
        """Change it, if that is due."""
        if self._failed or now < self._due:
            return
        self._due = now + ALIVE_S
        try:
            if self._descriptor is None:
                self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
            os.utime(self._descriptor)
        except OSError as error:
            _LOG.warning("%s, which says that this process lives, cannot be changed: %s", self._path, error.strerror)
            self._failed = True

    def close(self) -> None:
        """Change it no more."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _address(path: str) -> str | None:
    """Return the address of a socket: its path, or a name that is in no directory, which is written with an @."""
    if not path:
        return None
    if path[0] not in "/@":
        _LOG.warning("the service manager cannot be told how this process is: $NOTIFY_SOCKET is no Unix socket")
        return None
    return "\0" + path[1:] if path[0] == "@" else path


def watchdog_s(environment: Mapping[str, str] | None = None, pid: int | None = None) -> float | None:
    """Return how long this process may be silent before the service manager ends it; None: without end.

    Args:
        environment: see Notifier.
        pid: see Notifier.
    """
    variables = os.environ if environment is None else environment
    period, meant = variables.get("WATCHDOG_USEC", ""), variables.get("WATCHDOG_PID", "")
    if not variables.get("NOTIFY_SOCKET", "").startswith(("/", "@")) or not period.isdecimal() or int(period) == 0:
        return None
    return None if meant and meant != str(pid or os.getpid()) else int(period) / 1_000_000
