"""Connections that have to do something within a time, the same for each."""

import math


class Deadlines:
    """Who is waited for. `begin`, then `leave` when it has done what it has to, or has ended.

    Args:
        span_s: how long each has.
    """

    def __init__(self, span_s: float) -> None:
        self._span_s = span_s
        self._due: dict[int, float] = {}  # in the order of their time

    def __len__(self) -> int:
        return len(self._due)

    def begin(self, key: int, now: float) -> None:
        """Wait for a connection from now on, or anew."""
        self._due.pop(key, None)
        self._due[key] = now + self._span_s

    def leave(self, key: int) -> None:
        """Wait no more for a connection, if it is waited for."""
        self._due.pop(key, None)

    def overdue(self, now: float) -> list[int]:
        """Return the connections that were waited for too long; they are to be ended."""
        found: list[int] = []
        for key, due in self._due.items():
            if now < due:
                break
            found.append(key)
        return found

    def next_deadline(self) -> float:
        """Return when there will be one in `overdue`, if nothing happens; infinity if nobody is waited for."""
        for due in self._due.values():
            return due
        return math.inf
