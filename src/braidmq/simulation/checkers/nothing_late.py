"""I5: nothing starts after it has expired."""

from braidmq.simulation.checkers.violation import Violation
from braidmq.simulation.record import Record


def check(record: Record) -> list[Violation]:
    """Return the executions that began when their caller no longer waited."""
    found, executions = [], record.executions_by_key()
    for call in record.calls:
        for each in executions[call.key]:
            late_s = each.started - call.deadline
            if late_s > record.delay_unseen_s:
                text = f"{each.worker} began {call.key} {late_s:.3f} s after its deadline"
                found.append(Violation("I5", text, each.started, call.id))
    return found
