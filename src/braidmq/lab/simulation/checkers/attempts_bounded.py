"""I4: no request is attempted more often than its caller allows, and retries stay within the budget."""

from bisect import bisect_right
from collections import Counter, defaultdict
from typing import Final

from braidmq.core.client.retry import REROUTE_RATIO
from braidmq.lab.simulation.checkers.violation import Violation
from braidmq.lab.simulation.record import Call, Error, Passage, Record, Reply
from braidmq.wire.envelope import REJECT, REPLY, REQUEST, Reason

FREE: Final = frozenset((Reason.NO_WORKER, Reason.DRAINING))
"""Refusals after which a call may move on to another broker without the budget. A call that waits for a worker does not
count what was refused like that."""

FOR_GOOD: Final = frozenset((Reason.DENIED, Reason.TOO_LARGE))
"""Refusals after which a second broker is asked without the budget, once."""


def check(record: Record) -> list[Violation]:
    """Return the calls with too many attempts, and the clients with too many retries."""
    found, executions = [], record.executions_by_key()
    attempts: Counter[bytes] = Counter()
    refused: Counter[bytes] = Counter()
    asked_twice: set[bytes] = set()
    replied: dict[bytes, float] = {}
    unknown: dict[bytes, int] = defaultdict(int)
    last: dict[bytes, float] = {}
    clients = {call.id: call.client for call in record.calls}
    passages = [each for each in record.passages if each.peer == clients.get(each.id)]
    moved = _moved(record, passages)
    for passage in passages:
        if passage.command == REQUEST and passage.way == "in":
            attempts[passage.id] += 1
            last[passage.id] = passage.at
            unknown[passage.id] = max(unknown[passage.id], passage.retry_count)
        elif passage.command == REJECT and passage.way == "out" and passage.code in FREE:
            refused[passage.id] += 1
        elif passage.command == REJECT and passage.way == "out" and passage.code in FOR_GOOD:
            asked_twice.add(passage.id)
        elif passage.command == REPLY and passage.way == "out":
            replied.setdefault(passage.id, passage.at)
    for call in record.calls:
        runs, most = executions[call.key], call.attempts_max
        what = ""
        if len(runs) > most:
            what = f"ran {len(runs)} times"
        elif any(each.retry_count - call.repeats >= most for each in runs):
            what = f"ran with a retry count of {max(each.retry_count for each in runs)}"
        elif isinstance(call.outcome, Error) and call.outcome.attempts > most:
            what = f"was sent {call.outcome.attempts} times, by its own account,"
        elif attempts[call.id] - refused[call.id] > most and call.id:
            what = f"reached brokers {attempts[call.id]} times, and was refused {refused[call.id]} times,"
        if what:
            found.append(Violation("I4", f"{call.key} {what} with {most} attempts", call.started, call.id))
    paid = {
        id_: count - 1 - min(1, unknown[id_]) - refused[id_] - moved[id_] - (id_ in asked_twice)
        for id_, count in attempts.items()
    }
    again = {id_ for id_, count in attempts.items() if count > 1 or unknown[id_]}
    _add_unseen(record, replied, again)
    return found + _overspent(record, {id_: count for id_, count in paid.items() if count > 0}, last, again, replied)


def _add_unseen(record: Record, replied: dict[bytes, float], again: set[bytes]) -> None:
    """Add what calls may have earned over brokers in an attacker's hands, whose passages nobody has noted.

    What they have answered is answered to its caller, whoever made it up; and any call may have been at them as well.
    """
    for call in record.calls if record.liars else ():
        again.add(call.id)
        for at, end in call.ends[:1]:
            if isinstance(end, Reply) and end.broker in record.liars:
                replied.setdefault(call.id, at)


def _overspent(
    record: Record,
    paid: dict[bytes, int],
    last: dict[bytes, float],
    again: set[bytes],
    replied: dict[bytes, float],
) -> list[Violation]:
    """Return the clients that retried more often than they could pay for.

    The first move after a loss or silence is free, as are those after refusals in FREE, those after a connection of
    the client was over, those to the worker that has the request, and one for a second opinion; the rest is paid. What
    was earned counts until the last paid retry has reached a broker. Calls that are answered earn, too: those that were
    sent `again` a whole retry.
    """
    found, budget = [], record.budget
    calls: dict[tuple[str, int], list[Call]] = defaultdict(list)
    for call in record.calls:
        calls[call.client, call.life].append(call)
    for (client, _life), mine in calls.items():
        until = max((last[call.id] for call in mine if call.id in paid), default=0.0)
        made = [call for call in mine if call.started <= until]
        if not made:
            continue
        spent = sum(paid.get(call.id, 0) for call in mine)
        earned = budget.most + budget.ratio * len(made) + budget.per_s * (until - made[0].started)
        for call in mine:
            at = replied.get(call.id)
            if at is not None and at <= until:
                earned += 1.0 if call.id in again else REROUTE_RATIO
        if spent > earned:
            text = f"{client} paid for {spent} retries of {len(made)} calls and has {earned:.1f}"
            found.append(Violation("I4", text, until))
    return found


def _moved(record: Record, passages: list[Passage]) -> Counter[bytes]:
    """Return how many attempts of each call were addressed, or free as its client had lost a connection.

    `passages` are those between brokers and the clients of calls.

    A broker that stood still reads attempts long after they were sent. So it is not asked between which two of them
    that was: each connection that was over since the call was made lets it move on once.
    """
    moved: Counter[bytes] = Counter()
    partings = _partings(record)
    parted = {call.id: call.started for call in record.calls}
    begun: set[bytes] = set()
    for passage in passages:
        id_ = passage.id
        if passage.command != REQUEST or passage.way != "in":
            continue
        if id_ not in begun:
            begun.add(id_)
        elif passage.receiver:
            moved[id_] += 1
        elif (parting := _next(partings[passage.peer], parted[id_], passage.at)) is not None:
            parted[id_] = parting
            moved[id_] += 1
    return moved


def _partings(record: Record) -> dict[str, list[float]]:
    """Return when connections of each member were over, in the order of time."""
    found: dict[str, list[float]] = defaultdict(list)
    for each in record.partings:
        found[each.by].append(each.at)
    return found


def _next(times: list[float], start: float, end: float) -> float | None:
    """Return the first of the sorted times behind the start and up to the end, if there is one."""
    at = bisect_right(times, start)
    return times[at] if at < len(times) and times[at] <= end else None
