"""Where nothing goes wrong, hardly anything is flagged, nothing runs twice, and no broker is missed."""

from typing import Final

from braidmq.lab.simulation.checkers.violation import Violation
from braidmq.lab.simulation.record import Error, Record

OF_FAULTS: Final = frozenset(("AttemptsExhausted", "NoBroker", "NotRegistered"))
"""Errors that only a fault explains."""


DOUBTED_SHARE_MAX: Final = 0.05
"""Requests that may be flagged all the same, two at least: how slow a path may be is known only after some of them."""


def check(record: Record) -> list[Violation]:
    """Return what looks like faults in a run without any."""
    if not record.undisturbed:
        return []
    flagged = [each for each in record.executions if each.possible_duplicate]
    found = []
    if len(flagged) > max(2.0, DOUBTED_SHARE_MAX * len(record.executions)):
        found += [
            Violation("needless", f"{each.key} was flagged for {each.worker}", each.started, each.id)
            for each in flagged
        ]
    found += [
        Violation("needless", f"{call.key} failed: {end.kind}: {end.text}", when, call.id)
        for call in record.calls
        for when, end in call.ends
        if isinstance(end, Error) and end.kind in OF_FAULTS
    ]
    return found
