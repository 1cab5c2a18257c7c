"""Many coarse timers without a heap operation for each."""

import heapq
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)

GRAIN_S: Final = 0.01
"""Width of a bucket. Timers fire up to this late and never early; network timeouts need no finer."""


class Timers(Generic[K]):
    """Keys that fall due, in buckets of GRAIN_S.

    Adding, cancelling and asking for the next deadline are O(1) amortised. A key is in one bucket at most as
    long as its owner keeps the bucket's number and cancels before adding again.
    """

    __slots__ = ("_buckets", "_order")

    def __init__(self) -> None:
        self._buckets: dict[int, dict[K, None]] = {}
        self._order: list[int] = []

    def __len__(self) -> int:
        return sum(map(len, self._buckets.values()))

    def add(self, key: K, due: float) -> int:
        """Let `key` fall due at `due`; return the number of its bucket, for `cancel`."""
        number = int(due / GRAIN_S) + 1
        bucket = self._buckets.get(number)
        if bucket is None:
            bucket = self._buckets[number] = {}
            heapq.heappush(self._order, number)
        bucket[key] = None
        return number

    def cancel(self, key: K, number: int) -> None:
        """Take `key` out of bucket `number`, if it is still there."""
        bucket = self._buckets.get(number)
        if bucket is not None:
            bucket.pop(key, None)

    def take_due(self, now: float) -> list[K]:
        """Return the keys that are due at `now`, the earliest bucket first, and forget them."""
        due: list[K] = []
        while self._order and self._order[0] * GRAIN_S <= now:
            due.extend(self._buckets.pop(heapq.heappop(self._order)))
        return due

    def next_deadline(self) -> float | None:
        """Return when the next key falls due, or None."""
        while self._order:
            number = self._order[0]
            if self._buckets[number]:
                return number * GRAIN_S
            del self._buckets[number]
            heapq.heappop(self._order)
        return None
