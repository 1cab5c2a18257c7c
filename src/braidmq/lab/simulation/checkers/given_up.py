"""What its caller has given up is not begun any more, where nothing keeps the news of that from spreading."""

from braidmq.lab.simulation.checkers.violation import Violation
from braidmq.lab.simulation.record import Record


def check(record: Record) -> list[Violation]:
    """Return the executions that began although their caller had cancelled the call; only in undisturbed runs."""
    if not record.undisturbed:
        return []
    found, executions = [], record.executions_by_key()
    for call in record.calls:
        if call.given_up_at is None:
            continue
        for each in executions[call.key]:
            late_s = each.started - call.given_up_at
            if late_s > record.delay_unseen_s:
                text = f"{each.worker} began {call.key} {late_s:.3f} s after its caller had given it up"
                found.append(Violation("given up", text, each.started, call.id))
    return found
