"""Whether the machine itself stands still: then nothing is known of a net that is said to be slow."""

from time import monotonic
from typing import Final

from braidmq.core.broker.broker import TICK_S
from braidmq.core.broker.lag import RECENT_S
from braidmq.monitor.about_brokers import SLOW_MS, STALLS_MIN
from faults.repeated import Repeated

LATE_S: Final = SLOW_MS / 1000 / 3
"""By how much a thread that only sleeps may be late until the machine counts as one that stands still. A probe of a
broker passes through two brokers and the wire: it is slow where each of these is as late."""


class Metronome(Repeated):
    """Notes when a thread that sleeps, and does nothing else, is late. Use it as a context manager."""

    def __init__(self) -> None:
        super().__init__(self._tick, TICK_S)
        self._missed: list[float] = []
        self._due = float("inf")

    def missed(self, since: float, until: float) -> int:
        """Return how often it was late within a time."""
        return sum(since <= at < until for at in list(self._missed))

    def is_out_of_time(self, at: float) -> bool:
        """Whether it was late again and again shortly before a time."""
        return self.missed(at - RECENT_S, at) >= STALLS_MIN

    def _tick(self) -> None:
        now = monotonic()
        if now - self._due > LATE_S:
            self._missed.append(now)
        self._due = now + TICK_S
