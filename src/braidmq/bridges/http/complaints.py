"""Lines in the log about what strangers do wrong: few enough that nobody can fill a disk with them."""

import logging
from collections.abc import Callable

from braidmq.bridges.http.core.limits import COMPLAINTS_PER_S


class Complaints:
    """Writes at most COMPLAINTS_PER_S lines a second, and how many it has left out.

    Args:
        log: where to.
        clock: returns the time in seconds.
    """

    def __init__(self, log: logging.Logger, clock: Callable[[], float]) -> None:
        self._log = log
        self._clock = clock
        self._second = 0.0
        self._written = 0
        self._left_out = 0

    def add(self, level: int, text: str, *values: object) -> None:
        """Write a line, if there is room for it."""
        now = self._clock()
        if now - self._second >= 1.0:
            if self._left_out:
                self._log.log(logging.INFO, "%d lines like these were left out", self._left_out)
            self._second, self._written, self._left_out = now, 0, 0
        if self._written < COMPLAINTS_PER_S:
            self._written += 1
            self._log.log(level, text, *values)
        else:
            self._left_out += 1
