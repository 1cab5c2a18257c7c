"""What becomes of the requests that the workers of one key have of a service, and whether that is out of the ordinary.

It is judged as paths are (path_health.py): by the share of bad outcomes among all, beside what the other keys' workers
do with the same service. What goes wrong everywhere is nobody's fault.

Losses are counted for each caller, and those that have lost most do not count: callers can bring an honest worker to
lose what they ask, if they call it off and ask again.
"""

import math
from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from braidmq.core.broker.transit import Offer

HALVE_S: Final = 60.0
"""How often the counts are halved: also where there is little to do, enough is known."""

WINDOW: Final = 256
"""Outcomes that are counted in full, for each caller; then they are halved: a good past must hide no bad present."""

BAD_MIN: Final = 3
"""Bad outcomes before a worker is judged: fewer are chance."""

BUSY_MIN: Final = 17
"""The same for want of a place: the places of a worker are used by other brokers, too."""

SAMPLES_MIN: Final = 10
"""Outcomes that must be known of another key's workers to compare with them."""

EXCESS_MIN: Final = 0.01
"""By how much a share of bad outcomes must exceed that of the others, beyond what chance explains."""

BUSY_EXCESS_MIN: Final = 0.5
"""The same for want of a place, which costs the caller nothing, as long as others have one."""

DEVIATIONS: Final = 2.5
"""What chance explains, in standard deviations of the difference of two shares."""

ASIDE: Final = 2
"""Callers that do not count, those with the largest share of losses, where at least two others are left; one, where
there are fewer. So no two keys can have a worker judged that is good to others."""

CALLERS_MAX: Final = 32
"""Callers that are told apart for one key's workers: enough to judge by."""

OTHERS_MAX: Final = 16
"""Other keys that one is compared with: enough to compare, and a bounded cost."""

FORGOTTEN: Final = 0.5
"""What is left of so little counts no more."""

RELAXED_S: Final = 30.0
"""After so long without a relapse the next time is half as long."""

LEVEL_MAX: Final = 10
"""How often the time is doubled at most."""


class Kind(IntEnum):
    """Ways in which a worker does not do what it is asked."""

    LOST = 0
    REFUSED = 1
    BUSY = 2


class Tally:
    """What one caller has had: good outcomes and losses."""

    __slots__ = ("bad", "good")

    def __init__(self) -> None:
        self.good = 0.0
        self.bad = 0.0

    @property
    def share(self) -> float:
        """The share of losses."""
        return self.bad / self.count

    @property
    def count(self) -> float:
        """How many outcomes there are."""
        return self.good + self.bad

    def halve(self) -> None:
        """Let what has been count less."""
        self.good /= 2.0
        self.bad /= 2.0


class Conduct:
    """The record of one key's workers of one service.

    Whoever sees an outcome counts it by `praise`, `blame` or `refuse`, and then asks `is_outlier` and, if so, calls
    `bar`; `halve` lets the past count less.

    Attributes:
        name: of the member whose workers these are.
        offers: its workers of the service.
        good: results.
        watched: whether something was lost lately, so that outcomes are counted for each caller, too.
        refused, busy: refusals, those for want of a place apart.
        callers: what each of them has had since then.
        level: how often it was out of the ordinary.
        out_until: until when these workers get nothing.
    """

    __slots__ = ("busy", "callers", "good", "level", "name", "offers", "out_until", "refused", "watched")

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.offers: dict[Offer, None] = {}
        self.good = 0.0
        self.refused = 0.0
        self.busy = 0.0
        self.watched = False
        self.callers: dict[str, Tally] = {}
        self.level = 0
        self.out_until = 0.0

    # -- outcomes

    def praise(self, caller: str) -> None:
        """Count a result for its caller."""
        tally = self._tally(caller)
        if tally is not None:
            tally.good += 1.0

    def blame(self, caller: str) -> None:
        """Count a loss for its caller."""
        self.watched = True
        tally = self._tally(caller)
        if tally is not None:
            tally.bad += 1.0

    def refuse(self, kind: Kind) -> None:
        """Count a refusal."""
        while self.good > WINDOW:
            self.good /= 2.0
            self.refused /= 2.0
            self.busy /= 2.0
        if kind is Kind.BUSY:
            self.busy += 1.0
        else:
            self.refused += 1.0

    def _tally(self, caller: str) -> Tally | None:
        tally = self.callers.get(caller)
        if tally is None:
            if len(self.callers) >= CALLERS_MAX:
                return None
            tally = self.callers[caller] = Tally()
        elif tally.count >= WINDOW:
            tally.halve()
        return tally

    # -- the judgement

    def level_at(self, now: float) -> int:
        """Return how often it was out of the ordinary, as far as that is not forgotten."""
        return max(0, self.level - int(max(0.0, now - self.out_until) / RELAXED_S))

    def counted(self) -> dict[str, float]:
        """Return the callers that count, with how many outcomes are counted for each of them."""
        names = sorted(self.callers, key=lambda name: self.callers[name].share)
        return {name: self.callers[name].count for name in names[: -ASIDE if len(names) >= 2 * ASIDE else -1]}

    def outcomes(self, kind: Kind, mix: Mapping[str, float]) -> tuple[float, float]:
        """Return how many bad ones of a kind there are, and how many good ones.

        Losses are those of the callers in `mix`, as if each had called it as often as is told there: one whose requests
        are lost by all says nothing of the one that has most of them.
        """
        if kind is Kind.BUSY:
            return self.busy, self.good
        if kind is Kind.REFUSED:
            return self.refused, self.good
        if not self.watched:
            return 0.0, self.good
        count = weight = lost = 0.0
        for name, times in mix.items():
            tally = self.callers.get(name)
            if tally is not None:
                count += tally.count
                weight += times
                lost += times * tally.share
        bad = count * lost / weight if weight else 0.0
        return bad, count - bad

    def is_outlier(self, kind: Kind, others: "Iterable[Conduct]", now: float) -> bool:
        """Whether its share of bad outcomes exceeds that of the better half of the others, with the same callers."""
        callers = self.counted()
        bad, good = self.outcomes(kind, callers)
        known = self.level_at(now) > 0
        if bad < (1 if known else BUSY_MIN if kind is Kind.BUSY else BAD_MIN):
            return False
        others_bad, others_good = self._better_half(kind, callers, others, now)
        samples, own = others_bad + others_good, bad + good
        if not samples:
            return False
        mean = (bad + others_bad) / (own + samples)
        chance = DEVIATIONS * math.sqrt(mean * (1.0 - mean) * (1.0 / own + 1.0 / samples))
        excess = BUSY_EXCESS_MIN if kind is Kind.BUSY else EXCESS_MIN
        return bad / own > others_bad / samples + excess + chance

    def _better_half(
        self, kind: Kind, callers: Mapping[str, float], others: "Iterable[Conduct]", now: float
    ) -> tuple[float, float]:
        """Return the outcomes of those whose share of bad ones is at most the median: accomplices are no measure."""
        found: list[tuple[float, float, float]] = []
        for other in others:
            if other is not self and other.offers and other.out_until <= now:
                bad, good = other.outcomes(kind, callers)
                if bad + good >= SAMPLES_MIN:
                    found.append((bad / (bad + good), bad, good))
                    if len(found) == OTHERS_MAX:
                        break
        found.sort()
        half = [each for each in found if each[0] <= found[(len(found) - 1) // 2][0]]
        return sum(each[1] for each in half), sum(each[2] for each in half)

    def bar(self, first_s: float, max_s: float, now: float) -> None:
        """Give these workers nothing for a time, twice as long as the last one. Then what they do is counted anew."""
        level = self.level_at(now)
        self.out_until = now + min(max_s, first_s * 2.0**level)
        self.level = min(LEVEL_MAX, level + 1)
        self.good = self.refused = self.busy = 0.0
        self.watched = False
        self.callers = {}

    # -- time

    def halve(self) -> None:
        """Let what has been count less."""
        self.good /= 2.0
        self.refused /= 2.0
        self.busy /= 2.0
        for tally in self.callers.values():
            tally.halve()
        self.callers = {name: tally for name, tally in self.callers.items() if tally.count >= FORGOTTEN}
        self.watched = any(tally.bad >= FORGOTTEN for tally in self.callers.values())
        if not self.watched:
            self.callers = {}

    def may_go(self, now: float) -> bool:
        """Whether nothing is known of it that matters."""
        return not self.offers and not self.watched and now >= self.out_until and not self.level_at(now)
