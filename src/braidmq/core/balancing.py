"""Who gets the next request: a broker's choice among workers, and a client's choice among brokers."""

import math
import random
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from typing import Final, Generic, Protocol, TypeVar, cast

WORK_WEIGHT: Final = 1 / 16
"""What one more request counts in the mean time that a worker takes."""

WORK_WEIGHT_FASTER: Final = 1 / 4
"""The same for a request that went faster at a worker that counts as slow: it has few chances to show otherwise."""

WORK_SAMPLES_MIN: Final = 3
"""Requests after which a worker is judged, the fastest of these first: the very first one of a process is slow."""

WORK_SLACK_S: Final = 0.002
"""Difference between two workers that counts for nothing: it is the machine's, not theirs."""

SLOWER_FACTOR: Final = 2.5
"""How much more time than the fastest one a worker must take to count as slower; less is chance."""

WEIGHT_MAX: Final = 16
"""A request at a slower worker counts as much as so many at the fastest one, at most."""

PROBE_EVERY: Final = 128
"""One request in so many goes to a worker that is slower than others although these are idle: it may be faster now. It
is below one in a hundred, so that even the slowest hundredth of the calls does not feel it."""

LEVELS_MAX: Final = 1_024
"""Levels of load that are told apart; what is beyond the last one is the same."""

EWMA_DECAY_S: Final = 5.0
"""After this time without a slow answer, a broker's past counts for 1/e. Shorter forgives a slow broker sooner."""


class Candidate:
    """A worker of one service, to a balancer.

    Attributes:
        credit: how many requests it accepts at once.
        outstanding: how many it has.
        work_s: how long it takes for a request, on average over the last ones.
        samples: how many requests that is known of, up to WORK_SAMPLES_MIN.
        weight: how many requests at the fastest worker one at this one stands for.
        failing: whether its last answer was a failure.
        apart: whether it stands among those of which that is known.
        owner: whose it is: all that fail of one owner have one turn.
        before: the one before it in the ring that it stands in; None if it is not offered. `after` likewise.
    """

    __slots__ = ("after", "apart", "before", "credit", "failing", "outstanding", "owner", "samples", "weight", "work_s")

    def __init__(self, owner: str = "") -> None:
        self.owner = owner
        self.credit = 0
        self.outstanding = 0
        self.work_s = 0.0
        self.samples = 0
        self.weight = 1
        self.failing = False
        self.apart = False
        self.before: Candidate | None = None
        self.after: Candidate | None = None


class _Ring:
    """Candidates in a circle behind `head`, the first of which is next. Each stands in one ring at most. O(1)."""

    __slots__ = ("head",)

    def __init__(self) -> None:
        self.head = Candidate()
        self.head.before = self.head.after = self.head

    @property
    def first(self) -> Candidate | None:
        """The candidate that is next, if there is any."""
        first = self.head.after
        return None if first is self.head else first

    def append(self, candidate: Candidate) -> None:
        """Let a candidate that stands in no ring be the last one."""
        head = self.head
        last = head.before
        assert last is not None
        candidate.before, candidate.after = last, head
        last.after = head.before = candidate

    def __iter__(self) -> Iterator[Candidate]:
        each = self.head.after
        while each is not None and each is not self.head:
            yield each
            each = each.after


def _leave(candidate: Candidate) -> bool:
    """Take a candidate out of its ring; return whether it stood in one."""
    before, after = candidate.before, candidate.after
    if before is None or after is None:
        return False
    before.after, after.before = after, before
    candidate.before = candidate.after = None
    return True


C = TypeVar("C", bound=Candidate)


class Balancer(ABC, Generic[C]):
    """Chooses among the candidates that have credit. Whoever changes a candidate's numbers or state tells it. O(1).

    Attributes:
        slow: those that are seldom picked, because they were slower.
    """

    __slots__ = ("slow",)

    def __init__(self) -> None:
        self.slow: dict[C, None] = {}

    @abstractmethod
    def put(self, candidate: C) -> None:
        """Offer `candidate` (again), with its current numbers, if it has credit."""

    @abstractmethod
    def remove(self, candidate: C) -> None:
        """Offer `candidate` no more, for now."""

    def forget(self, candidate: C) -> None:
        """Offer `candidate` no more: it is gone."""
        self.remove(candidate)

    @abstractmethod
    def pick(self, *, careful: bool = False) -> C | None:
        """Return the candidate that the next request goes to, or None if none has credit.

        Args:
            careful: the request may have failed before: none whose last answer was a failure, if there is another one.
        """

    def pick_slow(self) -> C | None:
        """Return one of the `slow` ones, once in a while, to see whether it still is; else None."""
        return None

    def remembered(self) -> list[C]:
        """Return the candidates of which something is known; those that are gone are forgotten. For tests."""
        return []

    def observe(self, candidate: C, work_s: float) -> None:
        """Handle how long a candidate took for a result; call it before `put`, and not for one that is gone."""

    def observe_unfinished(self, candidate: C, work_s: float) -> None:
        """Handle for how long a candidate had a request that its client has given up; call it before `put`."""

    def observe_outcome(self, candidate: C, *, failed: bool) -> None:
        """Handle whether a candidate has answered with a failure; call it before `put`."""

    @abstractmethod
    def validate_state(self, offered: Collection[C]) -> None:
        """Assert that exactly the candidates of `offered` can be picked. For tests."""


class LeastOutstanding(Balancer[C]):
    """The candidate with the least to do, round-robin among equals.

    What counts is the number of outstanding requests, times the candidate's weight: an idle worker that takes ten times
    as long as the fastest one gets nothing while that one has less than ten.

    Those whose last answer was a failure, and that are not slower than others, have their turns among all and no more:
    a failure is quick, so that they would have the least to do always, and get the most. All that fail of one owner
    have one turn together, however many they are.
    """

    __slots__ = (
        "_count",
        "_failing",
        "_failing_count",
        "_failing_of",
        "_fastest",
        "_fastest_s",
        "_levels",
        "_lowest",
        "_owed",
        "_picks",
    )

    def __init__(self) -> None:
        super().__init__()
        self._levels = [_Ring()]
        self._lowest = 0
        self._count = 0
        self._failing = _Ring()
        self._failing_count = 0
        self._failing_of: dict[str, int] = {}
        self._owed = 0
        self._picks = 0
        self._fastest: C | None = None
        self._fastest_s = 0.0

    def put(self, candidate: C) -> None:
        """See Balancer."""
        if candidate.failing:
            self.remove(candidate)
            if candidate.weight == 1 and candidate.outstanding < candidate.credit:
                candidate.apart = True
                self._failing.append(candidate)
                self._failing_count += 1
                self._failing_of[candidate.owner] = self._failing_of.get(candidate.owner, 0) + 1
                return
        before, after = candidate.before, candidate.after  # two calls for each request: `_leave` and `append`, inline
        if before is not None and after is not None:
            before.after, after.before = after, before
            self._count -= 1
        level = candidate.outstanding
        if level >= candidate.credit:
            candidate.before = candidate.after = None
            return
        if candidate.weight != 1:
            level = (level + 1) * candidate.weight - 1
        if level >= LEVELS_MAX:
            level = LEVELS_MAX - 1
        levels = self._levels
        while len(levels) <= level:
            levels.append(_Ring())
        head = levels[level].head
        last = head.before
        assert last is not None
        candidate.before, candidate.after = last, head
        last.after = head.before = candidate
        self._count += 1
        if level < self._lowest:
            self._lowest = level

    def remove(self, candidate: C) -> None:
        """See Balancer."""
        if candidate.apart:
            candidate.apart = False
            self._failing_count -= _leave(candidate)
            left = self._failing_of[candidate.owner] - 1
            if left:
                self._failing_of[candidate.owner] = left
            else:
                del self._failing_of[candidate.owner]
        else:
            self._count -= _leave(candidate)

    def pick(self, *, careful: bool = False) -> C | None:
        """See Balancer."""
        if self._failing_count and not (careful and self._count):
            turns = len(self._failing_of)
            everyone = turns + self._count
            self._owed += turns
            if self._owed >= everyone:
                self._owed %= everyone
                return cast("C | None", self._failing.first)
        if not self._count:
            return None
        head = self._levels[self._lowest].head
        while (first := head.after) is head:
            self._lowest += 1
            head = self._levels[self._lowest].head
        return cast("C", first)

    def pick_slow(self) -> C | None:
        """See Balancer."""
        self._picks += 1
        if self._picks % PROBE_EVERY == 0:
            for candidate in self.slow:
                if candidate.before is not None:
                    del self.slow[candidate]
                    self.slow[candidate] = None
                    return candidate
        return None

    def forget(self, candidate: C) -> None:
        """See Balancer."""
        self.remove(candidate)
        self.slow.pop(candidate, None)
        if candidate is self._fastest:
            self._fastest = None

    def remembered(self) -> list[C]:
        """See Balancer."""
        return [*self.slow] if self._fastest is None else [*self.slow, self._fastest]

    def observe(self, candidate: C, work_s: float) -> None:
        """See Balancer."""
        if candidate.samples < WORK_SAMPLES_MIN:
            candidate.work_s = min(work_s, candidate.work_s) if candidate.samples else work_s
            candidate.samples += 1
            if candidate.samples < WORK_SAMPLES_MIN:
                return
        else:
            faster = candidate.weight != 1 and work_s < candidate.work_s
            candidate.work_s += (work_s - candidate.work_s) * (WORK_WEIGHT_FASTER if faster else WORK_WEIGHT)
        if self._fastest is None or candidate is self._fastest or candidate.work_s < self._fastest_s:
            self._fastest = candidate
            self._fastest_s = candidate.work_s
        ratio = (candidate.work_s + WORK_SLACK_S) / (self._fastest_s + WORK_SLACK_S)
        if ratio < SLOWER_FACTOR:
            if candidate.weight != 1:
                candidate.weight = 1
                self.slow.pop(candidate, None)
        else:
            candidate.weight = min(WEIGHT_MAX, int(ratio))
            self.slow[candidate] = None

    def observe_unfinished(self, candidate: C, work_s: float) -> None:
        """See Balancer."""
        known = candidate.samples >= WORK_SAMPLES_MIN
        if not known or work_s > candidate.work_s:  # less says nothing: who gave up may have been in a hurry
            self.observe(candidate, work_s)

    def observe_outcome(self, candidate: C, *, failed: bool) -> None:
        """See Balancer."""
        if candidate.failing is not failed:
            self.remove(candidate)
            candidate.failing = failed

    def validate_state(self, offered: Collection[C]) -> None:
        """See Balancer."""
        failing = list(self._failing)
        assert len(failing) == self._failing_count == sum(self._failing_of.values())
        assert {candidate.owner for candidate in failing} == self._failing_of.keys()
        held = {candidate: level for level, ring in enumerate(self._levels) for candidate in ring}
        assert self._count == len(held)
        assert not any(candidate.apart for candidate in held)
        assert all(candidate.apart and candidate.failing for candidate in failing)
        assert held.keys() | set(failing) == set(offered)
        assert len(self._levels) <= LEVELS_MAX
        assert all(1 < candidate.weight <= WEIGHT_MAX for candidate in self.slow)
        for candidate, level in held.items():
            assert candidate.outstanding < candidate.credit
            assert level <= (candidate.outstanding + 1) * candidate.weight - 1
            assert self._lowest <= level


class RoundRobin(Balancer[C]):
    """One candidate after the other, whatever they have outstanding, as long as they have credit."""

    __slots__ = ("_ring",)

    def __init__(self) -> None:
        super().__init__()
        self._ring = _Ring()

    def put(self, candidate: C) -> None:
        """See Balancer."""
        if candidate.outstanding >= candidate.credit:
            _leave(candidate)
        elif candidate.before is None:
            self._ring.append(candidate)

    def remove(self, candidate: C) -> None:
        """See Balancer."""
        _leave(candidate)

    def pick(self, *, careful: bool = False) -> C | None:
        """See Balancer. The candidate goes to the end of the ring."""
        first = self._ring.first
        if first is not None:
            _leave(first)
            self._ring.append(first)
        return cast("C | None", first)

    def validate_state(self, offered: Collection[C]) -> None:
        """See Balancer."""
        held = list(self._ring)
        assert len(set(held)) == len(held)
        assert set(held) == set(offered)
        assert all(candidate.outstanding < candidate.credit for candidate in held)


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
        """Handle the latency of one answer."""
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
    price: float


P = TypeVar("P", bound=Costly)


def cheaper_of_two(paths: list[P], rng: random.Random, now: float) -> P:
    """Return the cheaper of two random `paths` (at least one): power of two choices on latency x in flight x price."""
    count = len(paths)
    if count == 1:
        return paths[0]
    first = int(rng.random() * count)
    second = int(rng.random() * (count - 1))
    if second >= first:
        second += 1
    a, b = paths[first], paths[second]
    if a.ewma.estimate(now) * (a.in_flight + 1) * a.price <= b.ewma.estimate(now) * (b.in_flight + 1) * b.price:
        return a
    return b
