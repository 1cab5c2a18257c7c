"""The end of a lifeline that a supervised process holds: a socket to its supervisor, in the place of its stdin.

The supervisor shuts it down to tell the process to drain, and the system does when the supervisor has ended, however
that happens: nothing needs to be noticed, and no signal can be taken for a second one. What the process says by it is
that it is ready, and then that it lives.
"""

import os
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from braidmq import stderr
from braidmq.host.loggers import own_logger
from braidmq.host.room import room, start

ENDING_S_MAX: Final = 5.0
"""How much longer than it drains a process may take to end: its last answers have to leave."""

READY: Final = struct.Struct(">d")
"""What a process says by it when it is ready: how long it may drain."""

LIFE_S: Final = 1.0
"""How often a process says that it lives."""

_LOG = own_logger("braidmq.processes")

_STDIN: Final = 0


class Lifeline:
    """Waits for the end of the lifeline in a thread of its own; until `hold`, the process ends with it at once.

    A process that is ready for its work calls `ready`, after `hold`.

    Raises:
        NoRoom: this process may have no further thread or descriptor.
    """

    def __init__(self) -> None:
        with room("a supervised process"):
            self._socket = socket.socket(fileno=os.dup(_STDIN))  # not to be inherited, as stdin is
            nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, _STDIN)
        os.close(nothing)
        self._socket.setblocking(True)
        self._drain: Callable[[], object] = _end_at_once
        self._drain_s = 0.0
        self._beat_at = float("-inf")
        start(threading.Thread(target=self._run, name="braidmq-lifeline", daemon=True), "a supervised process")

    def hold(self, drain: Callable[[], object], drain_s: float) -> None:
        """Say what is to happen at the end of the lifeline.

        Args:
            drain: begins to end the process, and returns at once; it is called in a thread.
            drain_s: how long that may take. `ENDING_S_MAX` later the process is ended.
        """
        self._drain_s = drain_s
        self._drain = drain

    def ready(self) -> None:
        """Say that the process is ready."""
        self._say(READY.pack(self._drain_s))

    def beat(self, now: float) -> None:
        """Say that the process lives, every LIFE_S at most. Call it from the loop that does the work."""
        if now >= self._beat_at:
            self._beat_at = now + LIFE_S
            self._say(b"\0")

    def _say(self, word: bytes) -> None:
        with suppress(OSError):  # the supervisor has ended, which the thread finds out; or it has not read for long
            self._socket.send(word, socket.MSG_DONTWAIT)

    def _run(self) -> None:
        with self._socket, suppress(OSError):
            while self._socket.recv(1):
                pass
        self._drain()
        patience_s = self._drain_s + ENDING_S_MAX
        threading.Event().wait(patience_s)
        _LOG.error("not ended %g s after it was told to: it is given up", patience_s)
        stderr.flush()
        os._exit(1)


def _end_at_once() -> None:
    os._exit(0)
