"""When the calls of an open load are due: so many a second, whatever has become of those before. Pure.

A load that waits for answers asks less of a system the slower it is, and does not see what it does to others. One at a
fixed rate counts latencies from when a call was due, so that a call which began late shows how late it was.
"""

from typing import Final

BURST_MAX: Final = 32
"""Calls begun in a row, after a delay, before answers have their turn."""


class Pace:
    """Tells how many calls to begin, and when the next one is due.

    Args:
        start: when the first one is due.
        rate: calls per second, above 0.
        count: how many there are; None for no end.

    Attributes:
        begun: how many calls were taken so far.
    """

    def __init__(self, start: float, rate: float, count: int | None = None) -> None:
        self._start = start
        self._rate = rate
        self._count = count
        self.begun = 0

    @property
    def done(self) -> bool:
        """Whether no further call is ever due."""
        return self.begun == self._count

    def take(self, now: float) -> list[float]:
        """Return when each call was due that is to begin now: at most BURST_MAX, each of them once."""
        due = min(int((now - self._start) * self._rate) + 1, self.begun + BURST_MAX)
        if self._count is not None:
            due = min(due, self._count)
        taken = [self._start + number / self._rate for number in range(self.begun, due)]
        self.begun = max(self.begun, due)
        return taken

    def wait_s(self, now: float) -> float:
        """Return in how many seconds the next call is due; 0 if one is due already."""
        return max(0.0, self._start + self.begun / self._rate - now)
