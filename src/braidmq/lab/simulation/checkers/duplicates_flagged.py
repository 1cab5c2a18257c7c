"""I3: whatever may run a second time carries possible_duplicate, and no worker runs an id twice."""

from collections import Counter

from braidmq.lab.simulation.checkers.violation import Violation
from braidmq.lab.simulation.record import Error, Execution, Record, Reply
from braidmq.wire.envelope import REPLY, REQUEST


def check(record: Record) -> list[Violation]:
    """Return the requests that ran twice unsaid, or twice on one worker, or against what their caller was told."""
    found, outcomes = [], {call.key: (call.id, call.outcome) for call in record.calls}
    repeats = {call.key for call in record.calls if call.repeats}
    confused = _confused(record)
    for key, runs in record.executions_by_key().items():
        id_, outcome = outcomes.get(key, (b"", None))
        last = max(each.started for each in runs)
        known = [each for each in runs if (each.id, each.worker) not in confused]
        what = _repeated(runs) + (_unsaid(known) + _untold(known, outcome) if known else [])
        if key in repeats and not all(each.possible_duplicate for each in runs):
            what.append("repeats an earlier request, and ran without possible_duplicate")
        found += [Violation("I3", f"{key} {each}", last, id_) for each in what]
    return found + _forgotten(record)


def _confused(record: Record) -> set[tuple[bytes, str]]:
    """Return the ids and workers of the runs of which a broker in an attacker's hands said what it liked.

    Only that broker has brought the request to that worker, and it has made up another one under its id: whether it
    takes the worker's word on the one for its word on the other is its own affair.
    """
    if not record.liars:
        return set()
    came = {(each.id, each.peer) for each in record.passages if each.way == "out" and each.command == REQUEST}
    ran = {(each.id, each.worker) for each in record.executions if each.id in record.foreseen}
    return ran - came


def _forgotten(record: Record) -> list[Violation]:
    """A broker may add the flag to a request, and never takes it or a retry count off anything."""
    found = []
    came: dict[tuple[str, bytes, int], set[tuple[int, bool]]] = {}
    for each in record.passages:
        if each.command not in (REQUEST, REPLY):
            continue
        said = came.setdefault((each.broker, each.id, each.command), set())
        if each.way == "in":
            said.add((each.retry_count, each.possible_duplicate))
        elif not any(count == each.retry_count and flagged <= each.possible_duplicate for count, flagged in said):
            text = f"{each.broker} passed {each.id.hex()[-6:]} on without its flag, or with another retry count"
            found.append(Violation("I3", text, each.at, each.id))
    return found


def _unsaid(runs: list[Execution]) -> list[str]:
    found = []
    unflagged = sum(not each.possible_duplicate for each in runs)
    if unflagged > 1:
        found.append(f"ran {unflagged} times without possible_duplicate")
    if any(each.retry_count > 0 and not each.possible_duplicate for each in runs):
        found.append("ran again without possible_duplicate")
    first = min(runs, key=lambda each: each.started)
    found += [
        f"began without possible_duplicate {each.started - first.started:.3f} s after another run"
        for each in runs
        if each.started - each.unseen_s > first.started and not each.possible_duplicate
    ]
    return found


def _repeated(runs: list[Execution]) -> list[str]:
    counts = Counter((each.worker, each.life) for each in runs if each.disclaimer != "unknown")
    return [f"ran {count} times on {worker}" for (worker, _life), count in counts.items() if count > 1]


def _untold(runs: list[Execution], outcome: Reply | Error | None) -> list[str]:
    if isinstance(outcome, Reply) and len(runs) > 1 and not outcome.possible_duplicate:
        return [f"ran {len(runs)} times and its reply does not say so"]
    if isinstance(outcome, Error) and not outcome.maybe_executed:
        return ["ran although its caller was promised that it was not run"]
    return []
