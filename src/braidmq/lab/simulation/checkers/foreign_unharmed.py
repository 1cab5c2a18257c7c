"""Foreign programs are told nothing that would stop, hang or mislead a real one."""

from braidmq.lab.simulation.checkers.violation import Violation
from braidmq.lab.simulation.record import Record


def check(record: Record) -> list[Violation]:
    """Return what has harmed programs."""
    return [Violation("harm", f"{each.process}: {each.why}", each.at) for each in record.harms]
