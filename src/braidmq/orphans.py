"""Orphans: processes that process 1 of a container inherits when their parents end; it must wait for them."""

import asyncio
import os
import signal
from collections.abc import Callable, Collection
from typing import Final

AGAIN_S: Final = 0.1
"""How soon to look again when a child has ended that somebody else waits for, or is about to be known."""


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
