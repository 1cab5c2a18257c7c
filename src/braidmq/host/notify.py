"""Tells the service manager how a process is: that it is ready, what it does, that it lives (sd_notify(3)).

systemd, and whatever does as it does, names a Unix datagram socket in $NOTIFY_SOCKET. Nothing here ever blocks: what
the socket does not take at once is said the next time.
"""

import os
import socket
from collections.abc import Callable, Mapping
from typing import Final

from braidmq.host.loggers import own_logger

VARIABLES: Final = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
"""The environment variables that are meant for one process, and not for those that it starts."""

BEATS_PER_PERIOD: Final = 4
"""How often a process says that it lives in each period of the watchdog: some of these may be late, or get lost."""

STATUS_S: Final = 5.0
"""How often the status is looked at: it is for people."""

STATUS_CHARS_MAX: Final = 300
"""Characters of a status: a line of a terminal or two."""

_LOG = own_logger("braidmq.notify")


class Notifier:
    """Talks to the service manager, if there is one. All methods belong to one thread.

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
        self.watchdog_s = None if self._address is None else _watchdog_s(variables, pid or os.getpid())
        watch_s = STATUS_S if self.watchdog_s is None else self.watchdog_s / BEATS_PER_PERIOD
        self.beat_s = None if self._address is None else min(STATUS_S, watch_s)
        self._socket: socket.socket | None = None
        self._unsaid: dict[str, str] = {}
        self._shown = ""
        self._serves = False
        self._look_at = float("-inf")
        self._beat_at = float("-inf")

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
            _LOG.warning("the service manager cannot be told how this process is: %s", error.strerror or error)
            self.close()
            return
        self._unsaid.clear()


def _address(path: str) -> str | None:
    """Return the address of a socket: its path, or a name that is in no directory, which is written with an @."""
    if not path:
        return None
    if path[0] not in "/@":
        _LOG.warning("the service manager cannot be told how this process is: $NOTIFY_SOCKET is no Unix socket")
        return None
    return "\0" + path[1:] if path[0] == "@" else path


def _watchdog_s(variables: Mapping[str, str], pid: int) -> float | None:
    period, meant = variables.get("WATCHDOG_USEC", ""), variables.get("WATCHDOG_PID", "")
    if not period.isdecimal() or int(period) == 0 or (meant and meant != str(pid)):
        return None
    return int(period) / 1_000_000
