"""Orphans: processes that another one inherits when their parents end, as process 1 does; it must wait for them."""

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Collection
from typing import Final

AGAIN_S: Final = 0.1
"""How soon to look again when a child has ended that somebody else waits for, or is about to be known."""

_PR_SET_CHILD_SUBREAPER: Final = 36
_PR_GET_CHILD_SUBREAPER: Final = 37
"""prctl(2), Linux."""


def inherit_orphans() -> bool:
    """Let this process inherit those that its descendants leave behind; return whether it does."""
    return sys.platform == "linux" and not _prctl(_PR_SET_CHILD_SUBREAPER, ctypes.c_ulong(1))


def inherits_orphans() -> bool:
    """Whether this process inherits those that its descendants leave behind."""
    if os.getpid() == 1:
        return True
    answer = ctypes.c_int(0)
    return sys.platform == "linux" and not _prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(answer)) and bool(answer.value)


def _prctl(option: int, argument: object) -> int:
    zero = ctypes.c_ulong(0)
    return int(ctypes.CDLL(None).prctl(option, argument, zero, zero, zero))


class Orphans:
    """Waits for orphans while `asyncio` waits for the children that it has started.

    Args:
        own: returns the process ids that somebody else waits for; None while a process is being started.
    """

    def __init__(self, own: Callable[[], Collection[int] | None]) -> None:
        self._own = own
        self._loop = asyncio.get_running_loop()
        self._loop.add_signal_handler(signal.SIGCHLD, self._reap)

    def _reap(self) -> None:
        own = self._own()
        while (ended := _ended_child()) is not None:
            if own is None or ended in own:  # the system names this one first until it is waited for
                self._loop.call_later(AGAIN_S, self._reap)
                return
            os.waitpid(ended, os.WNOHANG)


def _ended_child() -> int | None:
    """Return a child that has ended and that nobody has waited for, or None."""
    try:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return None if found is None else found.si_pid
