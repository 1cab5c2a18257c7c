"""What a run's record says in numbers.

*Affected* are the calls that a fault can have touched: those that were at a broker or worker at the moment in which
something was done to it, and those that overlap a fault and were retried, flagged or failed. Latencies count from when
a call was due. *Recovery* is the time from the end of a fault (its beginning, where it has no end) until the replies
of a whole second are back at 99 % of those of an average second before the fault.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from braidmq.lab.simulation.record import Error, Record
from braidmq.wire.envelope import REQUEST
from faults.moments import avoided_s, ended, retried_after_s, touched

LEVEL: Final = 0.99
STEP_S: Final = 0.05


@dataclass
class Figures:
    """The numbers of one run or of many.

    Attributes:
        latencies: of all calls that ended, in seconds.
        affected: of those that the fault touched.
        replied: when the replies came.
        kinds: the errors by kind.
        attempts: requests that brokers took in.
        late_s: how late a client was with a call that was due, at worst; more than a little, and it is the machine
            that is too slow, for clients as for brokers.
        deaths: how often a broker took another one for dead.
        avoided_s, retried_after_s: see moments.py; the worst of all.
        violations: what the checkers found.
    """

    requests: int = 0
    lost: int = 0
    errors: int = 0
    duplicated: int = 0
    flagged: int = 0
    attempts: int = 0
    deaths: int = 0
    late_s: float = 0.0
    avoided_s: float = 0.0
    retried_after_s: float = 0.0
    latencies: list[float] = field(default_factory=list)
    affected: list[float] = field(default_factory=list)
    replied: list[float] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def add(self, record: Record, violations: Iterable[str] = ()) -> None:
        """Count what is in a record, and what is wrong with it."""
        executions = Counter(each.key for each in record.executions)
        self.duplicated += sum(count > 1 for count in executions.values())
        self.attempts += sum(each.command == REQUEST and each.way == "in" for each in record.passages)
        hit = touched(record)
        time_s = min((call.deadline - call.started for call in record.calls), default=0.0)
        self.late_s = max([self.late_s, *(call.deadline - call.started - time_s for call in record.calls)])
        for call in record.calls:
            self.requests += 1
            if not call.ends:
                self.lost += 1
                continue
            outcome, latency_s = call.outcome, ended(call) - call.started
            self.latencies.append(latency_s)
            if isinstance(outcome, Error):
                self.errors += 1
                self.kinds[outcome.kind] += 1
            else:
                assert outcome is not None
                self.replied.append(ended(call))
                self.flagged += outcome.possible_duplicate
            if call.key in hit:
                self.affected.append(latency_s)
        self.deaths += len(record.verdicts)
        self.avoided_s = max(self.avoided_s, avoided_s(record))
        self.retried_after_s = max(self.retried_after_s, retried_after_s(record))
        self.violations += violations

    def merge(self, other: "Figures") -> None:
        """Add the numbers of another run."""
        for name in ("requests", "lost", "errors", "duplicated", "flagged", "attempts", "deaths"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("latencies", "affected", "replied", "violations"):
            getattr(self, name).extend(getattr(other, name))
        self.kinds += other.kinds
        self.late_s = max(self.late_s, other.late_s)
        self.avoided_s = max(self.avoided_s, other.avoided_s)
        self.retried_after_s = max(self.retried_after_s, other.retried_after_s)

    def table(self) -> dict[str, float]:
        """Return the numbers by name."""
        return {
            "requests": self.requests,
            "lost": self.lost,
            "errors": self.errors,
            "success": 1 - (self.lost + self.errors) / self.requests if self.requests else 1.0,
            "duplicated": self.duplicated,
            "flagged": self.flagged,
            "attempts_per_request": self.attempts / self.requests if self.requests else 0.0,
            "affected": len(self.affected),
            "affected_p99_ms": 1000 * percentile(self.affected, 0.99),
            "affected_worst_ms": 1000 * max(self.affected, default=0.0),
            "p50_ms": 1000 * percentile(self.latencies, 0.5),
            "p99_ms": 1000 * percentile(self.latencies, 0.99),
            "worst_ms": 1000 * max(self.latencies, default=0.0),
            "avoided_s": self.avoided_s,
            "retried_after_ms": 1000 * self.retried_after_s,
            "clients_late_ms": 1000 * self.late_s,
            "deaths": self.deaths,
            "violations": len(self.violations),
        }


def percentile(values: Iterable[float], share: float) -> float:
    """Return the value below which `share` of the values are; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def recovery(replied: Sequence[float], since: float, began: float, healed: float, until: float) -> float:
    """Return after how many seconds the replies are back at their level; infinity if not before `until`.

    Args:
        replied: when replies came.
        since: when the time before the fault began.
        began: when the fault began.
        healed: when it was over.
        until: when the load was ended.
    """
    ordered = sorted(replied)

    def count(start: float, end: float) -> int:
        return bisect_left(ordered, end) - bisect_left(ordered, start)

    level = LEVEL * count(since, began) / (began - since)
    fallen, start = False, began
    while start + 1.0 <= until:
        good = count(start, start + 1.0) >= level
        fallen = fallen or not good
        if start >= healed and good and (fallen or start >= healed + 1.0):
            return start - healed if fallen else 0.0
        start += STEP_S
    return float("inf") if fallen else 0.0
