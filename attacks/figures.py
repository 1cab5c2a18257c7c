"""What a run says in numbers: of the honest calls, and of the honest processes.

A call is *good* if its own answer came within a second of when it was due. *Goodput lost* is by how much the share of
good calls was smaller among those that were due during the attack than among those before it. A reply that answers
another payload is *forged*; what a hostile broker answers itself is counted apart, as it may change what passes
through it (docs/protocol.md, 12.1).
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from attacks.watch import Usage
from braidmq.lab.simulation.record import Call, Error, Reply
from faults.figures import percentile

GOOD_S: Final = 1.0
"""How soon an answer must come: an exchange timeout. Whoever waits longer notices."""

BACK_S: Final = 2.0
"""How long after an attack goodput may take to come back."""


@dataclass(frozen=True)
class Phases:
    """When the load began, when the attack began and ended, and when the load ended."""

    since: float
    began: float
    healed: float
    until: float


@dataclass
class Tally:
    """How the calls of a phase have ended."""

    offered: int = 0
    good: int = 0
    late: int = 0
    errors: int = 0
    lost: int = 0

    @property
    def share(self) -> float:
        """The share of good calls; 1 if there was none."""
        return self.good / self.offered if self.offered else 1.0


def tally(calls: Iterable[Call]) -> Tally:
    """Count how calls have ended."""
    found = Tally()
    for call in calls:
        found.offered += 1
        if not call.ends:
            found.lost += 1
        elif isinstance(call.outcome, Error):
            found.errors += 1
        elif _is_right(call) and _latency_s(call) <= GOOD_S:
            found.good += 1
        else:
            found.late += 1
    return found


def of_calls(calls: Collection[Call], phases: Phases, hostile: Collection[str] = ()) -> dict[str, float]:
    """Return the figures of the honest calls.

    Args:
        calls: all of them.
        phases: see Phases.
        hostile: the brokers that are.
    """
    calm = tally(call for call in calls if phases.since <= call.started < phases.began - GOOD_S)
    attacked = [call for call in calls if phases.began <= call.started < phases.healed]
    during = tally(attacked)
    after = tally(call for call in calls if phases.healed + BACK_S <= call.started < phases.until)
    latencies_ms = [1000 * _latency_s(call) for call in attacked if isinstance(call.outcome, Reply)]
    forged = [call for call in calls if isinstance(call.outcome, Reply) and not _is_right(call)]
    offered = max(1, during.offered)
    return {
        "calls": during.offered,
        "goodput_lost": max(0.0, 1.0 - during.share / calm.share) if calm.share else 1.0,
        "errors": (during.errors + during.lost) / offered,
        "late": during.late / offered,
        "forged": sum(_broker(call) not in hostile for call in forged),
        "forged_by_hostile_broker": sum(_broker(call) in hostile for call in forged),
        "p50_ms": percentile(latencies_ms, 0.5),
        "p99_ms": percentile(latencies_ms, 0.99),
        "worst_ms": max(latencies_ms, default=0.0),
        "lost_afterwards": 1.0 - after.share,
    }


def kinds(calls: Iterable[Call], phases: Phases) -> Counter[str]:
    """Return the errors of the calls that were due during the attack, by kind."""
    return Counter(
        call.outcome.kind if isinstance(call.outcome, Error) else "no end"
        for call in calls
        if phases.began <= call.started < phases.healed and not isinstance(call.outcome, Reply)
    )


def of_processes(
    before: Mapping[str, Usage], after: Mapping[str, Usage], brokers: Collection[str], logs: Mapping[str, str]
) -> dict[str, float]:
    """Return the figures of the honest processes.

    Args:
        before: what each had used when the attack began.
        after: what each of them had used in the end.
        brokers: the names of those that are brokers.
        logs: what each has written since the attack began.
    """
    nodes = after.keys() - set(brokers)
    return {
        "broker_rss_mib": max((after[name].rss_mib for name in brokers if name in after), default=0.0),
        "node_rss_mib": max((after[name].rss_mib for name in nodes), default=0.0),
        "broker_cpu_s": sum(after[name].cpu_s - before.get(name, Usage()).cpu_s for name in brokers if name in after),
        "log_lines": max((text.count("\n") for text in logs.values()), default=0),
        "log_kib": max((len(text) for text in logs.values()), default=0) / 1024,
    }


def _is_right(call: Call) -> bool:
    return isinstance(call.outcome, Reply) and call.outcome.key == call.key


def _broker(call: Call) -> str:
    return call.outcome.broker if isinstance(call.outcome, Reply) else ""


def _latency_s(call: Call) -> float:
    return call.ends[0][0] - call.started
