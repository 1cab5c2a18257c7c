"""Virtual time: what happens next, and nothing else. No clock, no thread, and one seed for all chance."""

import heapq
import random
from collections.abc import Callable
from typing import Final

from braidmq.lab.simulation.record import Record
from braidmq.lab.simulation.trace import Trace

EVENTS_MAX: Final = 2_000_000
"""More events than any run has: one that goes round in circles ends here."""

Action = Callable[[], None]


class World:
    """The events of one run, in the order of their times; at one time in the order in which they were made.

    Attributes:
        now: seconds since the beginning.
        seed: every draw of the run comes from it.
        record: what the checkers read.
        trace: what a reader reads.
    """

    def __init__(self, seed: int, *, keep_trace: bool = False) -> None:
        self.now = 0.0
        self.seed = seed
        self.record = Record()
        self.trace = Trace(keep=keep_trace)
        self._heap: list[tuple[float, int, Action]] = []
        self._made = 0

    def at(self, when: float, action: Action) -> None:
        """Let `action` happen at `when`, or now if that has passed."""
        self._made += 1
        assert self._made < EVENTS_MAX, f"{EVENTS_MAX} events"
        heapq.heappush(self._heap, (max(self.now, when), self._made, action))

    def later(self, delay_s: float, action: Action) -> None:
        """Let `action` happen in a while."""
        self.at(self.now + delay_s, action)

    def run(self, until: float, done: Callable[[], bool] | None = None) -> bool:
        """Let time pass until a time, or until something holds; return whether it does."""
        heap = self._heap
        while done is None or not done():
            if not heap or heap[0][0] > until:
                self.now = max(self.now, until)
                return False
            self.now, _, action = heapq.heappop(heap)
            action()
        return True

    def chance(self, of: str) -> random.Random:
        """Return a generator for somebody's draws alone: they depend on the seed and the name, on nobody else's."""
        return random.Random(f"{self.seed} {of}")  # noqa: S311 - a run must be repeatable
