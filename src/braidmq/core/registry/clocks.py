"""What time it is for a net whose machines do not agree: by that, certificates end."""

from collections.abc import Iterable
from typing import Final

OFF_S_MAX: Final = 60.0
"""How far a clock may be from those of others before that is told: far more than time takes to travel."""


def middle(times_s: Iterable[float]) -> float:
    """Return the median of times, of which there is one at least; of an even number, the earlier one in the middle."""
    ordered = sorted(times_s)
    return ordered[(len(ordered) - 1) // 2]


class Clocks:
    """The wall clocks of this broker and of the others, as they were told last.

    The time of the net is the median of all; of an even number, the earlier one of the two in the middle. So one clock
    that is wrong ends no certificate, and two that disagree end none too early.
    """

    __slots__ = ("_others", "_own")

    def __init__(self, unix_s: float, now: float) -> None:
        self._own = unix_s - now
        self._others: dict[str, float] = {}

    def set(self, unix_s: float, now: float) -> None:
        """Note what time it is on this machine."""
        self._own = unix_s - now

    def own_s(self, now: float) -> float:
        """Return what time it is on this machine, in Unix seconds."""
        return self._own + now

    def hear(self, name: str, unix_s: float, now: float) -> None:
        """Note what time it is for another broker."""
        self._others[name] = unix_s - now

    def forget(self, name: str) -> None:
        """Note that another broker is not heard any more."""
        self._others.pop(name, None)

    @property
    def off_s(self) -> float:
        """By how much this machine's clock is ahead of that of the net."""
        return self._own - self._median

    def net_s(self, now: float) -> float:
        """Return what time it is for the net, in Unix seconds."""
        return self._median + now

    @property
    def _median(self) -> float:
        return middle((self._own, *self._others.values()))
