"""Handing out the registry to those who ask, no faster than a broker can beside its work."""

import math
from typing import Final

from braidmq.core.registry.ledger import Edition
from braidmq.core.registry.source import Key
from braidmq.core.registry.transfer import Shelf
from braidmq.wire.registry import RegistryPart, RegistryWanted

HANDED_BYTES_PER_S: Final = 16 * 1024 * 1024
"""How fast parts are handed out, to all who ask together: a question of 30 bytes is answered by half a MiB, so whoever
asks without end must find an end here. 10,000 members are some 2 MiB."""

HANDED_BYTES_MAX: Final = 1024 * 1024
"""What may be handed out at once: two answers."""

DIFFERENCE_BYTES: Final = 256 * 1024
"""What it counts for to make a difference that nobody has asked for before, in a millisecond or some."""


class Handing:
    """Who asks for parts of the newest registry, and is answered in turn.

    Of each the last question counts: who waits for an answer asks nothing else. `take` is due at `due_at`.

    Attributes:
        due_at: when somebody can be answered.

    Args:
        newest: what is the newest registry at any time.
        now: the time.
    """

    __slots__ = ("_left", "_left_at", "_shelf", "_wanted", "due_at")

    def __init__(self, newest: Edition, now: float) -> None:
        self._shelf = Shelf(newest)
        self._wanted: dict[Key, RegistryWanted] = {}
        self._left = float(HANDED_BYTES_MAX)
        self._left_at = now
        self.due_at = math.inf

    def ask(self, key: Key, wanted: RegistryWanted, now: float) -> None:
        """Handle that somebody asks."""
        self._wanted[key] = wanted
        self._set_due(now)

    def forget(self, key: Key, now: float) -> None:
        """Note that somebody is gone."""
        self._wanted.pop(key, None)
        self._set_due(now)

    def take(self, now: float) -> list[tuple[Key, RegistryPart]]:
        """Return what is handed out now."""
        found: list[tuple[Key, RegistryPart]] = []
        self._left = min(float(HANDED_BYTES_MAX), self._left + HANDED_BYTES_PER_S * (now - self._left_at))
        self._left_at = now
        while self._wanted and self._left > 0.0:
            key = next(iter(self._wanted))
            made = self._shelf.made
            parts = self._shelf.parts(self._wanted.pop(key))
            self._left -= sum(len(part.data) for part in parts) + DIFFERENCE_BYTES * (self._shelf.made - made)
            found += [(key, part) for part in parts]
        self._set_due(now)
        return found

    def _set_due(self, now: float) -> None:
        if not self._wanted:
            self.due_at = math.inf
        else:
            self.due_at = now if self._left > 0.0 else self._left_at + (1.0 - self._left) / HANDED_BYTES_PER_S
