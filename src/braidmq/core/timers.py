"""Many coarse timers without a heap operation for each."""

import heapq
from collections.abc import Hashable, Mapping
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)

GRAIN_S: Final = 0.01
"""Width of a bucket. Timers fire up to this late and never early; network timeouts need no finer."""

EMPTY_MAX: Final = 64
"""Empty buckets that are kept before they are looked for: cancelled timers must not add up."""


class Timers(Generic[K]):
    """Keys that fall due, in buckets of GRAIN_S.

    Adding, cancelling and asking for the next deadline are O(1) amortised. A key is in one bucket at most as
    long as its owner keeps the bucket's number and cancels before adding again. What is added while the keys are looked
    after that `take_due` returned falls due in a later bucket, whatever it asks for: no instant lasts for ever.
    """

    __slots__ = ("_buckets", "_empty", "_order", "_taken")

    def __init__(self) -> None:
        self._buckets: dict[int, dict[K, None]] = {}
        self._order: list[int] = []
        self._empty = 0
        self._taken = 0

    def __len__(self) -> int:
        return sum(map(len, self._buckets.values()))

    def add(self, key: K, due: float) -> int:
        """Let `key` fall due at `due`; return the number of its bucket, for `cancel`."""
        number = self.number(due)
        bucket = self._buckets.get(number)
        if bucket is None:
            bucket = self._buckets[number] = {}
            heapq.heappush(self._order, number)
        elif not bucket:
            self._empty -= 1
        bucket[key] = None
        return number

    def number(self, due: float) -> int:
        """Return the number of the bucket that a key would get now."""
        number = int(due / GRAIN_S) + 1
        return number if number > self._taken else self._taken + 1

    def cancel(self, key: K, number: int) -> None:
        """Take `key` out of bucket `number`, if it is still there."""
        bucket = self._buckets.get(number)
        if bucket and key in bucket:
            del bucket[key]
            if not bucket:
                self._empty += 1
                if self._empty > EMPTY_MAX and self._empty * 2 > len(self._order):
                    self._compact()

    def take_due(self, now: float) -> list[K]:
        """Return the keys that are due at `now`, the earliest bucket first, and forget them."""
        due: list[K] = []
        while self._order and self._order[0] * GRAIN_S <= now:
            self._taken = heapq.heappop(self._order)
            bucket = self._buckets.pop(self._taken)
            self._empty -= not bucket
            due.extend(bucket)
        return due

    def next_deadline(self) -> float | None:
        """Return when the next key falls due, or None."""
        while self._order:
            number = self._order[0]
            if self._buckets[number]:
                return number * GRAIN_S
            del self._buckets[number]
            heapq.heappop(self._order)
            self._empty -= 1
        return None

    def _compact(self) -> None:
        """Forget the empty buckets."""
        self._buckets = {number: bucket for number, bucket in self._buckets.items() if bucket}
        self._order = sorted(self._buckets)
        self._empty = 0

    def validate_state(self, held: Mapping[K, int]) -> None:
        """Assert that exactly the keys of `held` are here, each in the bucket of that number. For tests."""
        assert sorted(self._order) == sorted(self._buckets)
        assert self._empty == sum(not bucket for bucket in self._buckets.values())
        assert len(self) == len(held)
        for key, number in held.items():
            assert key in self._buckets[number]
