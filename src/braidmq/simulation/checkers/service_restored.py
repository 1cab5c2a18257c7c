"""I7: when nothing is wrong any more, every call succeeds."""

from braidmq.simulation.checkers.violation import Violation
from braidmq.simulation.record import Error, Record


def check(record: Record) -> list[Violation]:
    """Return the calls of the liveness phase that ended in an error."""
    return [
        Violation("I7", f"{call.key} failed in a sound net: {call.outcome.kind}: {call.outcome.text}", when, call.id)
        for call in record.calls
        for when, _ in call.ends[:1]
        if call.must_succeed and isinstance(call.outcome, Error)
    ]
