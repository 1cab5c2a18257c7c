"""Looks whether an event loop is on time."""

import asyncio
from collections.abc import Callable
from typing import Final

LOOK_S: Final = 0.05
"""How often it looks: twice in the time for which a handler may have the loop. A look costs some microseconds."""


class LoopWatch:
    """Tells how late an event loop is, again and again. Make it, and use it, in that loop.

    Args:
        tell: is called with the seconds by which a look was late, at least 0.0.
    """

    def __init__(self, tell: Callable[[float], None]) -> None:
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Look from now on."""
        self._due = self._loop.time() + LOOK_S
        self._timer = self._loop.call_at(self._due, self._look)

    def end(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        late_s = max(0.0, self._loop.time() - self._due)
        self.begin()
        self._tell(late_s)
