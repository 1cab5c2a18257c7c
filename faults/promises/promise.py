"""A promise as data: what is said, how it is tried, and which figures decide. Pure, but for `run`."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from faults.figures import percentile

NOTES_MAX: Final = 20
"""Notes that are kept of one promise: enough to see what happened."""


class Evidence:
    """What the runs of a promise have shown.

    Attributes:
        counts: how often something was seen.
        samples: what was measured.
        notes: what a reader may want to know, a line each.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.samples: dict[str, list[float]] = defaultdict(list)
        self.notes: list[str] = []

    def count(self, counts: Mapping[str, int]) -> None:
        """Add what was counted."""
        self.counts.update(counts)

    def sample(self, name: str, *values: float) -> None:
        """Add what was measured."""
        self.samples[name] += values

    def note(self, text: str) -> None:
        """Add a note."""
        if len(self.notes) < NOTES_MAX:
            self.notes.append(text)


@dataclass(frozen=True)
class Bound:
    """A figure, and how far it may go. Without `most` and `least` it is only told.

    Attributes:
        figure: the name of a count, or of samples.
        most: the most that it may be.
        least: the least that it must be.
        of: the count that it is a share of; empty for a number.
        at: which percentile of the samples, from 0 to 1; None for a count.
        unit: of the samples.
    """

    figure: str
    most: float = float("inf")
    least: float = float("-inf")
    of: str = ""
    at: float | None = None
    unit: str = "s"

    def value(self, evidence: Evidence) -> float:
        """Return the figure; not a number, if nothing was seen that it could tell of."""
        if self.at is not None:
            values = evidence.samples.get(self.figure, [])
            return percentile(values, self.at) if values else float("nan")
        count = evidence.counts[self.figure]
        if not self.of:
            return float(count)
        total = evidence.counts[self.of]
        return count / total if total else float("nan")

    def kept(self, evidence: Evidence) -> bool:
        """Whether the figure is within its bounds; never, if there is none."""
        if not self.decides:
            return True
        return self.least <= self.value(evidence) <= self.most

    @property
    def decides(self) -> bool:
        """Whether a promise hangs on it."""
        return self.most < float("inf") or self.least > float("-inf")

    def shown(self, evidence: Evidence) -> str:
        """Return the figure in words."""
        value = self.value(evidence)
        if self.at is not None:
            which = {0.0: "least ", 0.5: "p50 ", 1.0: "worst "}.get(self.at, f"p{100 * self.at:g} ")
            return f"{self.figure}: {which}{_number(value)} {self.unit}".rstrip()
        if not self.of:
            return f"{self.figure}: {_number(value)}"
        share = f" ({100 * value:.3g} %)" if evidence.counts[self.figure] else ""
        return f"{self.figure}: {evidence.counts[self.figure]:,} of {evidence.counts[self.of]:,}{share}"

    @property
    def target(self) -> str:
        """The bounds in words; empty if there are none."""
        words = []
        for sign, bound in (("<=", self.most), (">=", self.least)):
            if abs(bound) < float("inf"):
                words.append(f"{sign} {self._limit(bound)}")
        return " and ".join(words).replace("<= 0 %", "0").removesuffix(" ")

    def _limit(self, bound: float) -> str:
        if self.at is not None:
            return f"{bound:.3g} {self.unit}".rstrip()
        return f"{100 * bound:g} %" if self.of else f"{bound:g}"


@dataclass(frozen=True)
class Promise:
    """See the module.

    Attributes:
        name: what it is called on the command line.
        says: the promise, and what is done to the net to break it.
        run: tries it once; see stage.py.
        bounds: what decides, and what is only told.
        runs: how often it is tried.
    """

    name: str
    says: str
    run: Callable[[Any], None]
    bounds: Sequence[Bound]
    runs: int = 1


@dataclass
class Row:
    """What has become of a promise.

    Attributes:
        why: what kept it from being tried, if something did.
        took_s: how long all runs took.
    """

    promise: Promise
    runs: int = 0
    evidence: Evidence = field(default_factory=Evidence)
    why: str = ""
    took_s: float = 0.0

    @property
    def verdict(self) -> str:
        """Return `met` or `missed`; `told`, if it has no target; `not tried`, if it could not be tried."""
        if self.why:
            return "not tried"
        if not any(bound.decides for bound in self.promise.bounds):
            return "told"
        return "met" if all(bound.kept(self.evidence) for bound in self.promise.bounds) else "missed"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int_or_nan(value) and abs(value) >= 1 else f"{value:.3g}"


def int_or_nan(value: float) -> float:
    """Return a value without its fraction; what is not finite stays as it is."""
    return float(int(value)) if abs(value) < float("inf") else value
