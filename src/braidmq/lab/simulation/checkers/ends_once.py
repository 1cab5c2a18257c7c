"""I1: every accepted request ends exactly once, with a reply or a typed error, at its deadline at the latest."""

from typing import Final

from braidmq.lab.simulation.checkers.violation import Violation
from braidmq.lab.simulation.record import Call, Error, Record

GRACE_S: Final = 0.25
"""How long after its deadline a request may end."""

EARLY_S: Final = 0.05
"""How long before it a request may end as too late: remaining times travel in whole milliseconds, and clocks drift."""


def check(record: Record) -> list[Violation]:
    """Return the calls that ended never, twice, too late, or as too late before their time."""
    found = []
    for call in record.calls:
        if len(call.ends) != 1 and not (call.given_up_at is not None and not call.ends):
            found.append(Violation("I1", f"{call.key} ended {len(call.ends)} times", call.deadline, call.id))
        found += [
            Violation("I1", f"{call.key} was given up {call.deadline - when:.3f} s before its deadline", when, call.id)
            for when, end in call.ends
            if isinstance(end, Error) and end.kind == "DeadlineExceeded" and when < call.deadline - EARLY_S
        ]
        found += [
            Violation("I1", f"{call.key} ended {when - call.deadline:.3f} s after its deadline", when, call.id)
            for when, _ in call.ends
            if when > call.deadline + GRACE_S and when > _latest_end(record, call)
        ]
    return found


def _latest_end(record: Record, call: Call) -> float:
    """A client that was stopped when it was time cannot end anything until it goes on."""
    latest = call.deadline + GRACE_S
    for each in sorted(record.outages, key=lambda outage: outage.start):
        if each.process == call.client and each.kind == "pause" and each.start <= latest and each.end != float("inf"):
            latest = max(latest, each.end + GRACE_S)
    return latest
