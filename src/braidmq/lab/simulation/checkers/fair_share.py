"""A hostile member takes no more from the others than its share: honest calls to honest workers end well, in time."""

from typing import Final

from braidmq.lab.simulation.checkers.answered_once import FINAL
from braidmq.lab.simulation.checkers.violation import Violation
from braidmq.lab.simulation.record import Call, Record, Reply
from braidmq.wire.envelope import REJECT, REQUEST, Reason

SLOW_S: Final = 1.6
"""What a call takes at most, but for some: to find out that nobody works at it, and to be done elsewhere."""

SLOW_SHARE: Final = 0.05
"""The share of calls that may take longer: some find out whether an enemy is one still."""

CROWDED_SHARE: Final = 0.05
"""The share of requests for which a broker may have no room: a burst of honest ones may be too much, now and then."""

FEW: Final = 3
"""How many calls may fail or be slow whatever their share is: each client finds out for itself who is an enemy."""


def check(record: Record) -> list[Violation]:
    """Return that too many calls failed, or took too long; only where nothing but a hostile member is wrong."""
    if not record.fair_until_s:
        return []
    taken = _taken(record)
    judged = [
        call
        for call in record.calls
        if record.fair_from_s <= call.started <= record.fair_until_s and call.id not in taken and call.ends
    ]
    failed = [call for call in judged if not isinstance(call.outcome, Reply)]
    slow = [call for call in judged if call not in failed and call.ends[0][0] - call.started > SLOW_S]
    found = [
        Violation("fair share", f"{len(some)} of {len(judged)} calls {what}: {_told(some[0])}", some[0].started)
        for what, some, share in (("failed", failed, record.errors_share), ("were slow", slow, SLOW_SHARE))
        if len(some) > max(FEW, share * len(judged))
    ]
    return found + _crowded_out(record)


def _crowded_out(record: Record) -> list[Violation]:
    """Return that brokers had no room for what honest clients asked of them."""
    asked, refused = 0, 0
    for each in record.passages:
        if each.peer in record.hostile or not record.fair_from_s <= each.at <= record.fair_until_s:
            continue
        if each.way == "in" and each.command == REQUEST:
            asked += 1
        elif each.way == "out" and (each.command, each.code, each.sender) == (REJECT, Reason.BUSY, each.broker):
            refused += 1
    if refused <= max(FEW, CROWDED_SHARE * asked):
        return []
    return [Violation("fair share", f"brokers had no room for {refused} of {asked} requests of others")]


def _taken(record: Record) -> set[bytes]:
    """Return the requests that a hostile worker has, or had without refusing them: it may do with them what it likes.

    What it refuses is to go to another worker instead.
    """
    taken: set[bytes] = set()
    waiting: set[tuple[str, int, bytes]] = set()
    for each in record.passages:
        asked = (each.broker, each.tag, each.id)
        if each.peer not in record.hostile:
            continue
        if each.way == "out" and each.command == REQUEST:
            waiting.add(asked)
        elif asked in waiting and each.way == "in" and each.command in FINAL:
            waiting.discard(asked)
            if each.command != REJECT:
                taken.add(each.id)
    return taken | {id_ for _, _, id_ in waiting}


def _told(call: Call) -> str:
    when, end = call.ends[0]
    return f"{call.key} after {when - call.started:.3f} s: {getattr(end, 'kind', 'a reply')} {getattr(end, 'text', '')}"
