"""I6: every queue, table and cache has a bound, in count and in bytes, and keeps it."""

from braidmq.lab.simulation.checkers.violation import Violation
from braidmq.lab.simulation.record import Record


def check(record: Record) -> list[Violation]:
    """Return the sizes that went beyond their bounds."""
    return [
        Violation("I6", f"{owner} held {value} {what} and may hold {bound}")
        for (owner, what), (value, bound) in record.sizes.items()
        if value > bound
    ]
