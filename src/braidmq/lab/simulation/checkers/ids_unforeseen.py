"""Nobody foresees the id of a request: who did could let a worker run another request under it before the true one."""

from braidmq.lab.simulation.checkers.violation import Violation
from braidmq.lab.simulation.record import Record


def check(record: Record) -> list[Violation]:
    """Return the calls whose id somebody hostile has used before they were made."""
    return [
        Violation("foreseen", f"the id of {call.key} was foreseen", call.started, call.id)
        for call in record.calls
        if record.foreseen.get(call.id, call.started) < call.started
    ]
