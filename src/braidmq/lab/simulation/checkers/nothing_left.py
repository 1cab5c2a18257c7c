"""Nothing is left behind: when every call has ended, no process holds anything of any, and no place is lost."""

from braidmq.lab.simulation.checkers.violation import Violation
from braidmq.lab.simulation.record import Record


def check(record: Record) -> list[Violation]:
    """Return what was left."""
    return [Violation("leak", text) for text in record.leftovers]
