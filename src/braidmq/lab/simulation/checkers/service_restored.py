"""I7: when nothing is wrong any more, every call succeeds, at once and at the first attempt."""

from typing import Final

from braidmq.lab.simulation.checkers.violation import Violation
from braidmq.lab.simulation.record import Error, Record, Reply

PROMPT_S: Final = 1.0
"""How long a call may take in a sound net whose handlers take milliseconds."""


def check(record: Record) -> list[Violation]:
    """Return the calls of the liveness phase that ended in an error, needed a retry, or took long."""
    found = []
    for call in record.calls:
        for when, end in call.ends[:1]:
            if call.must_succeed and isinstance(end, Reply):
                if end.possible_duplicate:
                    found.append(Violation("I7", f"{call.key} is flagged in a sound net", when, call.id))
                if when - call.started > PROMPT_S:
                    text = f"{call.key} took {when - call.started:.3f} s in a sound net"
                    found.append(Violation("I7", text, when, call.id))
    return found + [
        Violation("I7", f"{call.key} failed in a sound net: {call.outcome.kind}: {call.outcome.text}", when, call.id)
        for call in record.calls
        for when, _ in call.ends[:1]
        if call.must_succeed and isinstance(call.outcome, Error)
    ]
