"""How long to wait before a process that has ended by itself is started again."""

from typing import Final

PAUSE_S_MIN: Final = 0.25
"""The first pause: too short for anybody to miss the process, and long enough for a port to become free."""

PAUSE_S_MAX: Final = 15.0
"""The longest one: a process that cannot run costs a start, and a line of the log, four times a minute."""

STEADY_S: Final = 60.0
"""A life of that length was a good one: the next pause is the shortest again."""


class Pauses:
    """The pauses between the lives of one process: each is twice as long as the one before, up to `PAUSE_S_MAX`."""

    __slots__ = ("_next_s",)

    def __init__(self) -> None:
        self._next_s = PAUSE_S_MIN

    def after(self, lived_s: float) -> float:
        """Return how many seconds to wait after a life of `lived_s`."""
        if lived_s >= STEADY_S:
            self._next_s = PAUSE_S_MIN
        pause_s = self._next_s
        self._next_s = min(PAUSE_S_MAX, 2.0 * pause_s)
        return pause_s
