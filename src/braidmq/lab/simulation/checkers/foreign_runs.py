"""What foreign workers run: each request of the net once at most, and a second one with what can be said of it.

A worker cannot be told that a request may have been run before. So the flag comes as far as the bridge, which refuses
such requests where it is told to; and what a client sends again over another connection has the flag from there on.
"""

from collections import Counter, defaultdict

from braidmq.lab.simulation.checkers.violation import Violation
from braidmq.lab.simulation.record import Call, Error, Record


def check(record: Record) -> list[Violation]:
    """Return what was run without a request for it, or against what was said of it; and copies that say nothing."""
    if not record.bridge:
        return []
    return [*_runs(record), *_copies(record)]


def _runs(record: Record) -> list[Violation]:
    """What was declined nobody has run, and what may have been run before nobody who refuses that."""
    asked: Counter[str] = Counter()
    for each in record.executions:
        declined = each.disclaimer == "not run"
        refused = record.refuses_duplicates and each.possible_duplicate
        if each.worker == record.bridge and not declined and not refused:
            asked[each.key] += 1
    runs = Counter(run.key for run in record.foreign_runs)
    return [
        Violation("foreign runs", f"{key} ran {count} times, and was asked for {asked[key]} times")
        for key, count in runs.items()
        if count > asked[key]
    ]


def _copies(record: Record) -> list[Violation]:
    """A copy of what was given up, or may have been run, carries the flag, if the same process has seen both."""
    earlier: dict[tuple[str, int], list[Call]] = defaultdict(list)
    found = []
    for call in record.calls:
        asked, number, _ = call.key.partition("#")
        if not number:
            continue
        before = earlier[asked, call.life]
        if not call.repeats and any(_may_have_run(each, call.started) for each in before):
            text = f"{call.key} is a copy of {before[0].key}, and does not say so"
            found.append(Violation("foreign runs", text, call.started, call.id))
        before.append(call)
    return found


def _may_have_run(call: Call, now: float) -> bool:
    """Whether a call was over by then, without an answer, and may have been run."""
    if call.given_up_at is not None:
        return call.given_up_at <= now
    return any(at <= now and isinstance(end, Error) and end.maybe_executed for at, end in call.ends[:1])
