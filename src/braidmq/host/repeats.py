"""Lines of the log that others can cause as often as they like: some are written, the rest is counted."""

import threading
from collections.abc import Hashable
from typing import Final

from braidmq.host.clock import monotonic

LINES_MAX: Final = 10
"""Lines of one kind in a period: enough to see what goes on."""

PERIOD_S: Final = 60.0
"""After a period, the next line says how many were only counted."""

KINDS_MAX: Final = 1_000
"""Kinds that are told apart in a period; all others are of one kind."""


class _Kind:
    __slots__ = ("ends_at", "left_out", "lines")

    def __init__(self, ends_at: float) -> None:
        self.ends_at = ends_at
        self.lines = 0
        self.left_out = 0


class Repeats:
    """Counts lines by their kind. `admit` may be called from any thread.

    Args:
        period_s: how long a period lasts.
    """

    def __init__(self, period_s: float = PERIOD_S) -> None:
        self._period_s = period_s
        self._lock = threading.Lock()
        self._kinds: dict[Hashable, _Kind] = {}

    def admit(self, kind: Hashable, now: float | None = None) -> int | None:
        """Return how many lines of this kind were only counted before this one; None if it is only counted, too."""
        with self._lock:
            now = monotonic() if now is None else now
            found = self._kinds.get(kind) or self._begin(kind, now)
            if now >= found.ends_at:
                found.ends_at, found.lines = now + self._period_s, 0
            if found.lines >= LINES_MAX:
                found.left_out += 1
                return None
            found.lines += 1
            left_out, found.left_out = found.left_out, 0
            return left_out

    def _begin(self, kind: Hashable, now: float) -> _Kind:
        if len(self._kinds) >= KINDS_MAX:
            self._kinds = {each: found for each, found in self._kinds.items() if now < found.ends_at}
        if len(self._kinds) >= KINDS_MAX:
            kind = None
        return self._kinds.setdefault(kind, _Kind(now + self._period_s))


def more_of(count: int) -> str:
    """Return what a line says of those that were only counted before it."""
    return f"; {count:,} more like this since this was told last" if count else ""
