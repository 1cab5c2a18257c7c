"""I8: no process ends unless somebody ends it, and none has an error of its own to contain."""

from braidmq.lab.simulation.checkers.violation import Violation
from braidmq.lab.simulation.record import Record


def check(record: Record) -> list[Violation]:
    """Return the processes that ended by themselves, and those that would have ended if they did not contain errors."""
    ended = [Violation("I8", f"{each.process} ended: {each.why}", each.at) for each in record.deaths]
    return ended + [
        Violation("I8", f"{process} had {count} errors of its own") for process, count in record.faults.items() if count
    ]
