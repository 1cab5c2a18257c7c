"""Judges what callers and handlers have seen: pure, and by nothing else than what they wrote down."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from braidmq.lab.simulation.record import Call, Error, Execution, Reply
from faults.promises.jobs import Begun, Over


def runs_by_key(executions: Iterable[Execution]) -> dict[str, list[Execution]]:
    """Return the executions of each call, in the order in which they began."""
    found: dict[str, list[Execution]] = defaultdict(list)
    for execution in executions:
        found[execution.key].append(execution)
    for runs in found.values():
        runs.sort(key=lambda each: each.started)
    return found


def unflagged_again(runs: Sequence[Execution]) -> bool:
    """Whether an execution has begun without the flag after another one of the same call, given in their order."""
    return any(not each.possible_duplicate for each in runs[1:])


def untold(runs: Sequence[Execution], outcome: Reply | Error | None) -> bool:
    """Whether a caller was told something that is not true: that its call has run once, or not at all."""
    if isinstance(outcome, Reply):
        return len(runs) > 1 and not outcome.possible_duplicate
    return isinstance(outcome, Error) and bool(runs) and not outcome.maybe_executed


def tally(calls: Sequence[Call], executions: Iterable[Execution]) -> Counter[str]:
    """Count what has become of calls.

    `calls`; `failed`: ended with an error, and `error NAME` for each kind of it; `lost`: never ended, though nobody
    gave them up; `ended twice`; `wrong`: a reply to something else; `run twice`; `unflagged` and `untold`: see the
    functions.
    """
    counts: Counter[str] = Counter(calls=0, failed=0, lost=0, wrong=0, unflagged=0, untold=0)
    counts["ended twice"] = counts["run twice"] = 0
    runs = runs_by_key(executions)
    for call in calls:
        counts["calls"] += 1
        outcome = call.outcome
        mine = runs.get(call.key, [])
        counts["lost"] += outcome is None and call.given_up_at is None
        counts["ended twice"] += len(call.ends) > 1
        counts["run twice"] += len(mine) > 1
        counts["unflagged"] += unflagged_again(mine)
        counts["untold"] += untold(mine, outcome)
        if isinstance(outcome, Error):
            counts["failed"] += 1
            counts[f"error {outcome.kind}"] += 1
        elif outcome is not None:
            counts["wrong"] += outcome.key != call.key
    return counts


def merged(calls: Iterable[Call]) -> list[Call]:
    """Return calls with all ends that were written down of each, under one key."""
    found: dict[str, Call] = {}
    for call in calls:
        before = found.get(call.key)
        if before is None:
            found[call.key] = call
        else:
            before.ends = [*before.ends, *call.ends]
    return list(found.values())


def latencies(calls: Iterable[Call]) -> list[float]:
    """Return how long each call took that ended with a reply, in seconds."""
    return [call.ends[0][0] - call.started for call in calls if isinstance(call.outcome, Reply)]


def places_held(begun: Iterable[Begun], over: Iterable[Over], until: float) -> list[float]:
    """Return by how many seconds each handler outlived its deadline; what has not ended lives at least `until`."""
    ends = {(each.worker, each.key): each.at for each in over}
    return [max(0.0, ends.get((each.worker, each.key), until) - each.deadline) for each in begun]


def shares(executions: Iterable[Execution]) -> Mapping[str, float]:
    """Return the share of the executions that each worker had."""
    counts = Counter(each.worker for each in executions)
    total = counts.total()
    return {worker: count / total for worker, count in counts.items()}


def used(executions: Iterable[Execution], work_s: float, places: int, since: float, until: float) -> float:
    """Return which share of the time of so many places was worked, from 0 to 1, between two moments.

    Counted are parts of jobs of `work_s`, as their handlers began them.
    """
    worked_s = sum(max(0.0, min(until, each.started + work_s) - max(since, each.started)) for each in executions)
    return worked_s / (places * (until - since))
