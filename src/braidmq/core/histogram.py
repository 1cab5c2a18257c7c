"""How long something takes, counted in buckets: of bounded size, and the same everywhere, so that counts can be added.

Up to 15 units a bucket is one unit wide. Above, eight buckets share each doubling, so that a bucket is at most an
eighth as wide as what it counts: log-linear buckets, as in Tene's HdrHistogram. docs/protocol.md has them, too.
"""

from array import array
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

UNITS_PER_S: Final = 125_000
"""A unit is 8 microseconds: what passes a broker within one turn takes about one or two of them."""

BUCKETS: Final = 256
"""They reach up to 2^34 units, 38 hours, which is beyond the longest deadline of a request. What takes longer counts in
the last one."""

COUNT_MAX: Final = 2**53
"""Most that a bucket counts, as much as a number of JSON can tell: centuries of what a broker can do."""

_LINEAR: Final = 16
_STEP_BITS: Final = 3
_ZEROS: Final = bytes(8 * BUCKETS)


class Histogram:
    """Counts of how long something has taken.

    `add` counts, `merge` adds what others have counted, `since` leaves out what was counted before; `quantile` tells
    what it amounts to. `encoded` is how it travels, and `of` reads that.

    Attributes:
        count: how many there are in all.
    """

    __slots__ = ("_counts", "_first", "_last", "count")

    def __init__(self) -> None:
        self.count = 0
        self._counts: array[int] = array("Q", _ZEROS)
        self._first = BUCKETS
        self._last = -1

    @classmethod
    def of(cls, encoded: Sequence[int]) -> "Histogram":
        """Return what a peer has encoded.

        Whatever it says, this is some histogram: a bucket that there is not is the last one, and a number without its
        partner counts for nothing.
        """
        found = cls()
        for at in range(0, len(encoded) - 1, 2):
            found._put(min(max(0, encoded[at]), BUCKETS - 1), min(max(0, encoded[at + 1]), COUNT_MAX))
        return found

    def encoded(self) -> list[int]:
        """Return the buckets that are not empty, each as its number and its count, in order."""
        found: list[int] = []
        counts = self._counts
        for bucket in range(self._first, self._last + 1):
            if counts[bucket]:
                found.append(bucket)
                found.append(counts[bucket])
        return found

    def add(self, seconds: float, times: int = 1) -> None:
        """Count something that has taken so long; `times` times, if it stands for others that were not looked at."""
        self._put(bucket_of(seconds), times)

    def merge(self, others: "Iterable[Histogram]") -> "Histogram":
        """Add the counts of others to this one, and return it."""
        for other in others:
            encoded = other.encoded()
            for at in range(0, len(encoded), 2):
                self._put(encoded[at], encoded[at + 1])
        return self

    def since(self, earlier: "Histogram") -> "Histogram":
        """Return what was counted after an earlier look at the same; all of it, if that is not the same any more."""
        before, found = _pairs(earlier.encoded()), _pairs(self.encoded())
        if any(times > found.get(bucket, 0) for bucket, times in before.items()):
            return Histogram.of(self.encoded())
        grown: list[int] = []
        for bucket, times in found.items():
            grown += (bucket, times - before.get(bucket, 0))
        return Histogram.of(grown)

    def quantile(self, share: float) -> float | None:
        """Return in how many seconds a share of all was done; None if there is nothing.

        It is the middle of its bucket: at most 4 microseconds, or 7 percent, off.
        """
        rank, below = share * self.count, 0
        if not self.count:
            return None
        for bucket in range(self._first, self._last + 1):
            below += self._counts[bucket]
            if below >= rank and below:
                return (lower_s(bucket) + lower_s(bucket + 1)) / 2
        return (lower_s(self._last) + lower_s(self._last + 1)) / 2

    def cumulative(self, bounds_s: Sequence[float]) -> list[int]:
        """Return how many have taken at most so long, for each of the bounds, which ascend.

        A bucket counts where its upper end lies: a bound that is none of a bucket's ends leaves its bucket out.
        """
        assert all(one < other for one, other in pairwise(bounds_s)), "bounds ascend"
        found, below, bucket = [], 0, 0
        for bound_s in bounds_s:
            while bucket < BUCKETS and lower_s(bucket + 1) <= bound_s:
                below += self._counts[bucket]
                bucket += 1
            found.append(below)
        return found

    def _put(self, bucket: int, times: int) -> None:
        if not times:
            return
        before = self._counts[bucket]
        after = min(before + times, COUNT_MAX)
        self._counts[bucket] = after
        self.count += after - before
        if bucket < self._first:
            self._first = bucket
        if bucket > self._last:
            self._last = bucket


def _pairs(encoded: Sequence[int]) -> dict[int, int]:
    return dict(zip(encoded[::2], encoded[1::2], strict=True))


def bucket_of(seconds: float) -> int:
    """Return the number of the bucket that counts something that has taken so long."""
    units = int(seconds * UNITS_PER_S)
    if units < _LINEAR:
        return max(0, units)
    shift = units.bit_length() - 1 - _STEP_BITS
    return min((shift << _STEP_BITS) + (units >> shift), BUCKETS - 1)


def lower_s(bucket: int) -> float:
    """Return the shortest time that a bucket counts, in seconds; that of the next one is where it ends."""
    if bucket < _LINEAR:
        return bucket / UNITS_PER_S
    shift = (bucket >> _STEP_BITS) - 1
    return ((bucket - (shift << _STEP_BITS)) << shift) / UNITS_PER_S
