"""I8: no process ends unless somebody ends it."""

from braidmq.simulation.checkers.violation import Violation
from braidmq.simulation.record import Record


def check(record: Record) -> list[Violation]:
    """Return the processes that ended by themselves."""
    return [Violation("I8", f"{each.process} ended: {each.why}", each.at) for each in record.deaths]
