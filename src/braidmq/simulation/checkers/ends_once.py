"""I1: every accepted request ends exactly once, with a reply or a typed error, at its deadline at the latest."""

from typing import Final

from braidmq.simulation.checkers.violation import Violation
from braidmq.simulation.record import Call, Record

GRACE_S: Final = 0.25
"""How long after its deadline a request may end."""


def check(record: Record) -> list[Violation]:
    """Return the calls that ended never, twice, or too late."""
    found = []
    for call in record.calls:
        if len(call.ends) != 1 and not (call.given_up_at is not None and not call.ends):
            found.append(Violation("I1", f"{call.key} ended {len(call.ends)} times", call.deadline, call.id))
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
