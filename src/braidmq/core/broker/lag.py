"""How late a broker's loop is: a tick comes once all that is before it is done, and a processor is free."""

from collections import deque
from typing import Final

from braidmq.core.histogram import Histogram
from braidmq.wire.control import LagStatus

STALL_S: Final = 0.1
"""A tick that is so late is worth to be told: calls notice it, and with some more other brokers take it for silence."""

RECENT_S: Final = 10.0
"""How long each of these is remembered. There are less than a hundred of them, as each has taken its time."""


class Lag:
    """How late the ticks of one broker come. `note` each of them."""

    __slots__ = ("_late", "_stalls", "_took")

    def __init__(self) -> None:
        self._took = Histogram()
        self._stalls = 0
        self._late: deque[tuple[float, float]] = deque()

    def note(self, late_s: float, now: float) -> None:
        """Note by how much a tick is late that comes now."""
        self._took.add(late_s)
        if late_s > STALL_S:
            self._stalls += 1
            self._late.append((now, late_s))
        self._forget(now)

    def status(self, now: float) -> LagStatus:
        """Return what a report has of it."""
        self._forget(now)
        worst_s = max((late_s for _, late_s in self._late), default=0.0)
        return LagStatus(self._took.encoded(), self._stalls, len(self._late), int(worst_s * 1000))

    def _forget(self, now: float) -> None:
        while self._late and now - self._late[0][0] > RECENT_S:
            self._late.popleft()

    def validate_state(self) -> None:
        """Assert what always holds. For tests and the simulator."""
        assert len(self._late) <= min(self._stalls, RECENT_S / STALL_S + 1)
        assert self._took.count >= self._stalls
