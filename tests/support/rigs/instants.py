"""Virtual time that has to go on."""

from typing import Final

FIRINGS_MAX: Final = 1_000
"""How often timers may fire at one instant: what they set off may be due at once, but not for ever."""


class Instants:
    """Counts how often timers fire at one instant."""

    def __init__(self) -> None:
        self._now = 0.0
        self._firings = 0

    def fire(self, now: float) -> None:
        """Note that timers fire."""
        self._firings = self._firings + 1 if now == self._now else 0
        self._now = now
        assert self._firings < FIRINGS_MAX, "a timer that is always due"
