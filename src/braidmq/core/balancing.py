"""Who gets the next request: a broker's choice among workers, and a client's choice among brokers."""

import math
import random
from collections import OrderedDict
from collections.abc import Collection
from typing import Final, Generic, Protocol, TypeVar

EWMA_DECAY_S: Final = 5.0
"""After this time without a slow answer, a broker's past counts for 1/e. Shorter forgives a slow broker sooner."""


class Slot(Protocol):
    """A worker of one service, to a balancer."""

    outstanding: int
    credit: int


S = TypeVar("S", bound=Slot)


class Balancer(Protocol[S]):
    """Chooses among the slots that have credit. Whoever changes a slot's numbers or state tells it."""

    def put(self, slot: S) -> None:
        """Offer `slot` (again), with its current numbers, if it has credit."""

    def remove(self, slot: S) -> None:
        """Offer `slot` no more."""

    def pick(self) -> S | None:
        """Return the slot that the next request goes to, or None if none has credit."""

    def validate_state(self, offered: Collection[S]) -> None:
        """Assert that exactly the slots of `offered` can be picked. For tests."""


class LeastOutstanding(Generic[S]):
    """The slot with the fewest outstanding requests, round-robin among equals. O(1)."""

    __slots__ = ("_level", "_levels", "_lowest")

    def __init__(self) -> None:
        self._levels: list[OrderedDict[S, None]] = [OrderedDict()]
        self._level: dict[S, int] = {}
        self._lowest = 0

    def put(self, slot: S) -> None:
        """See Balancer."""
        self.remove(slot)
        outstanding = slot.outstanding
        if outstanding >= slot.credit:
            return
        levels = self._levels
        while len(levels) <= outstanding:
            levels.append(OrderedDict())
        levels[outstanding][slot] = None
        self._level[slot] = outstanding
        self._lowest = min(self._lowest, outstanding)

    def remove(self, slot: S) -> None:
        """See Balancer."""
        level = self._level.pop(slot, None)
        if level is not None:
            del self._levels[level][slot]

    def pick(self) -> S | None:
        """See Balancer."""
        if not self._level:
            return None
        levels = self._levels
        while not levels[self._lowest]:
            self._lowest += 1
        return next(iter(levels[self._lowest]))

    def validate_state(self, offered: Collection[S]) -> None:
        """See Balancer."""
        assert self._level.keys() == set(offered)
        assert sum(map(len, self._levels)) == len(self._level)
        for slot, level in self._level.items():
            assert slot in self._levels[level]
            assert level == slot.outstanding < slot.credit
            assert self._lowest <= level


class RoundRobin(Generic[S]):
    """One slot after the other, whatever they have outstanding, as long as they have credit. O(1)."""

    __slots__ = ("_ring",)

    def __init__(self) -> None:
        self._ring: OrderedDict[S, None] = OrderedDict()

    def put(self, slot: S) -> None:
        """See Balancer."""
        if slot.outstanding >= slot.credit:
            self._ring.pop(slot, None)
        else:
            self._ring.setdefault(slot)

    def remove(self, slot: S) -> None:
        """See Balancer."""
        self._ring.pop(slot, None)

    def pick(self) -> S | None:
        """See Balancer. The slot goes to the end of the ring."""
        slot = next(iter(self._ring), None)
        if slot is not None:
            self._ring.move_to_end(slot)
        return slot

    def validate_state(self, offered: Collection[S]) -> None:
        """See Balancer."""
        assert self._ring.keys() == set(offered)
        assert all(slot.outstanding < slot.credit for slot in self._ring)


class PeakEwma:
    """A broker's latency: one above the estimate replaces it at once, one below it decays into it.

    The estimate decays also while nothing is heard, so that a broker that was slow once is tried again.
    Source: Finagle and tower, "Peak EWMA".
    """

    __slots__ = ("_at", "latency_s")

    def __init__(self, now: float) -> None:
        self.latency_s = 0.001
        self._at = now

    def observe(self, latency_s: float, now: float) -> None:
        """Take in the latency of one answer."""
        keep = math.exp((self._at - now) / EWMA_DECAY_S)
        decayed = self.latency_s * keep
        self.latency_s = latency_s if latency_s >= decayed else decayed + latency_s * (1.0 - keep)
        self._at = now

    def estimate(self, now: float) -> float:
        """Return the estimate in seconds."""
        return self.latency_s * math.exp((self._at - now) / EWMA_DECAY_S)


class Costly(Protocol):
    """A path to a broker, to a client's choice."""

    in_flight: int
    ewma: PeakEwma


P = TypeVar("P", bound=Costly)


def cheaper_of_two(paths: list[P], rng: random.Random, now: float) -> P:
    """Return the cheaper of two random `paths` (at least one): power of two choices on latency x in flight."""
    count = len(paths)
    if count == 1:
        return paths[0]
    first = int(rng.random() * count)
    second = int(rng.random() * (count - 1))
    if second >= first:
        second += 1
    a, b = paths[first], paths[second]
    if a.ewma.estimate(now) * (a.in_flight + 1) <= b.ewma.estimate(now) * (b.in_flight + 1):
        return a
    return b
