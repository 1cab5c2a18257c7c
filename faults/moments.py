"""Which calls a fault can have touched, and how soon it was noticed."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from braidmq.lab.simulation.record import Call, Execution, Outage, Passage, Record, Reply
from braidmq.wire.envelope import REQUEST

AFTERMATH_S: Final = 5.0
"""How long after a fault a call may begin and still be affected by it: connections come back, budgets are earned."""


def touched(record: Record) -> set[str]:
    """Return the keys of the calls that were at a process in trouble, or failed or were retried around that time."""
    at: dict[str, list[tuple[float, str]]] = defaultdict(list)
    calls = {call.key: call for call in record.calls}
    keys = {call.id: call.key for call in record.calls if call.id}
    for passage in record.passages:
        if passage.command == REQUEST and passage.way == "in" and passage.id in keys:
            at[passage.broker].append((passage.at, keys[passage.id]))
    for execution in record.executions:
        if execution.key in calls:
            at[execution.worker].append((execution.started, execution.key))
    found: set[str] = set()
    clients = {call.client for call in record.calls}
    outages = [each for each in record.outages if each.process not in clients]
    for outage in outages:
        came = (key for when, key in at[outage.process] if when <= outage.start)
        found.update(key for key in came if ended(calls[key]) > outage.start)
    found.update(call.key for call in record.calls if hurt(call) and _overlaps(call, outages))
    if not record.passages:
        found.update(_slower_than_before(record))
    return found


def avoided_s(record: Record) -> float:
    """Return how long after the beginning of an outage something was still given to who suffers it.

    To a worker: by a broker. To a broker: by a client, as far as the call was hurt by it: an attempt of it has reached
    no other broker.
    """
    worst = 0.0
    reached: dict[bytes, list[Passage]] = defaultdict(list)
    brokers = set()
    for passage in record.passages:
        brokers.add(passage.broker)
        if passage.command == REQUEST and passage.way == "in":
            reached[passage.id].append(passage)
    for outage in record.outages:
        if outage.process in brokers:
            given = [
                call.started
                for call in record.calls
                if hurt(call) and not _all_elsewhere(call, outage.process, reached[call.id])
            ]
        else:
            given = [
                each.at
                for each in record.passages
                if each.command == REQUEST and each.way == "out" and each.peer == outage.process
            ]
        worst = max([worst, *(at - outage.start for at in given if outage.start <= at <= outage.end)])
    return worst


def retried_after_s(record: Record) -> float:
    """Return how long it took until what a killed worker had begun was begun elsewhere; the worst of all."""
    runs: dict[str, list[Execution]] = defaultdict(list)
    calls = {call.key: call for call in record.calls}
    for execution in record.executions:
        if execution.key in calls:
            runs[execution.key].append(execution)
    worst = 0.0
    for outage in record.outages:
        if outage.kind != "kill":
            continue
        for key, mine in runs.items():
            was_there = any(each.worker == outage.process and each.started <= outage.start for each in mine)
            again = [each.started for each in mine if each.started > outage.start]
            if was_there and again and ended(calls[key]) > outage.start:
                worst = max(worst, min(again) - outage.start)
    return worst


def ended(call: Call) -> float:
    """Return when a call ended; infinity if it did not."""
    return call.ends[0][0] if call.ends else float("inf")


def hurt(call: Call) -> bool:
    """Whether a call failed, or was retried or flagged."""
    outcome = call.outcome
    return not isinstance(outcome, Reply) or outcome.possible_duplicate or outcome.retry_count > 0


def _all_elsewhere(call: Call, broker: str, reached: Sequence[Passage]) -> bool:
    """Whether every attempt of a call has reached a broker other than this one."""
    elsewhere = [each.retry_count for each in reached if each.broker != broker]
    if isinstance(call.outcome, Reply):
        return set(elsewhere) >= set(range(call.outcome.retry_count + 1))
    return call.outcome is not None and len(elsewhere) >= call.outcome.attempts > 0


def _slower_than_before(record: Record) -> set[str]:
    """Where nobody wrote down what passed through whom: calls around an outage that took longer than any before it."""
    found: set[str] = set()
    for outage in record.outages:
        before = [ended(call) - call.started for call in record.calls if ended(call) < outage.start]
        for call in record.calls:
            late = ended(call) - call.started > max(before, default=0.0)
            if late and call.started <= outage.start + AFTERMATH_S and ended(call) >= outage.start:
                found.add(call.key)
    return found


def _overlaps(call: Call, outages: Sequence[Outage]) -> bool:
    return any(each.start <= ended(call) and call.started <= each.end + AFTERMATH_S for each in outages)
