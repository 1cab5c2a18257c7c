"""Latencies in bounded memory, for who measures them himself: buckets whose bounds grow by 2 %, and the exact maximum.

Pure. What brokers measure of all that passes is coarser, costs less and travels in reports: core/histogram.py.
"""

import math
from collections.abc import Iterable
from typing import Final, Self

import msgspec

LOW_MS: Final = 0.01
"""Upper bound of the first bucket."""

GROWTH: Final = 1.02
"""From one bucket's upper bound to the next: a percentile is at most 2 % above the true one."""

BUCKETS_MAX: Final = 900
"""The last bucket ends beyond 500 s; what is longer goes into it, too."""

_LOG_GROWTH: Final = math.log(GROWTH)


class Histogram(msgspec.Struct, omit_defaults=True):
    """Counts per bucket. Histograms of several processes can be added, and an earlier one subtracted.

    Attributes:
        counts: how many latencies each bucket holds; a bucket without any is absent. At most BUCKETS_MAX.
        max_ms: the longest latency, exactly.
    """

    counts: dict[int, int] = {}
    max_ms: float = 0.0

    def add(self, latency_s: float) -> None:
        """Handle one latency."""
        latency_ms = latency_s * 1000.0
        bucket = 0
        if latency_ms > LOW_MS:
            bucket = min(BUCKETS_MAX - 1, math.ceil(math.log(latency_ms / LOW_MS) / _LOG_GROWTH))
        self.counts[bucket] = self.counts.get(bucket, 0) + 1
        self.max_ms = max(self.max_ms, latency_ms)

    @property
    def total(self) -> int:
        """How many latencies it holds."""
        return sum(self.counts.values())

    def percentile_ms(self, percent: float) -> float:
        """Return the latency that `percent` of all do not exceed, by the nearest rank; 0.0 if there is none."""
        rank = math.ceil(self.total * percent / 100.0)
        seen = 0
        for bucket in sorted(self.counts):
            seen += self.counts[bucket]
            if seen >= rank:
                return min(self.max_ms, LOW_MS * GROWTH**bucket)
        return 0.0

    @classmethod
    def merged(cls, parts: Iterable["Histogram"]) -> Self:
        """Return the sum of `parts`."""
        whole = cls()
        for part in parts:
            for bucket, count in part.counts.items():
                whole.counts[bucket] = whole.counts.get(bucket, 0) + count
            whole.max_ms = max(whole.max_ms, part.max_ms)
        return whole

    def since(self, earlier: "Histogram") -> "Histogram":
        """Return what was added after `earlier`. Its max_ms is that of the whole: a bound, not the exact value."""
        counts = {
            bucket: more for bucket, count in self.counts.items() if (more := count - earlier.counts.get(bucket, 0))
        }
        return Histogram(counts, self.max_ms)
