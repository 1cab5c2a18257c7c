"""Looks whether an event loop is on time."""

import asyncio
from collections.abc import Callable
from typing import Final

from braidmq.host.run_delay import run_delay_s

LOOK_S: Final = 0.025
"""How often it looks: a standstill shows up to so much shorter than it was. A look costs some ten microseconds."""


class LoopWatch:
    """Tells how late an event loop is, again and again, as long as there is a reason. Use it in that loop.

    Args:
        tell: is called with the seconds by which a look was late, at least 0.0, and with how many of these this thread
            has waited for a processor.
        wanted: whether it is to look once more.
    """

    def __init__(self, tell: Callable[[float, float], None], wanted: Callable[[], bool]) -> None:
        self._tell = tell
        self._wanted = wanted
        self._loop = asyncio.get_running_loop()
        self._due = 0.0
        self._waited_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._ended = False

    def stir(self) -> None:
        """Look from now on, if it does not look already."""
        if self._timer is None and not self._ended:
            self._waited_s = run_delay_s()
            self._wait()

    def end(self) -> None:
        """Look no more."""
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self) -> None:
        self._due = self._loop.time() + LOOK_S
        self._timer = self._loop.call_at(self._due, self._look)

    def _look(self) -> None:
        late_s = max(0.0, self._loop.time() - self._due)
        before_s, self._waited_s = self._waited_s, run_delay_s()
        self._timer = None
        try:
            self._tell(late_s, min(late_s, max(0.0, self._waited_s - before_s)))
        finally:  # a log that fails is told of by asyncio, and ends no watch
            if self._wanted() and not self._ended:
                self._wait()
