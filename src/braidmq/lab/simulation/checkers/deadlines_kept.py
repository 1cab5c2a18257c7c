"""No handler runs on after its deadline: whoever waited for it has gone, and others wait for its place."""

from typing import Final

from braidmq.lab.simulation.checkers.violation import Violation
from braidmq.lab.simulation.record import Call, Execution, Record

GRACE_S: Final = 0.5
"""How long after its deadline a handler may take to be stopped."""


def check(record: Record) -> list[Violation]:
    """Return the handlers that ran on, where handlers can be stopped and it is recorded when they end."""
    if record.stubborn:
        return []
    found, executions = [], record.executions_by_key()
    for call in record.calls:
        for each in executions[call.key]:
            if each.ended is None:
                continue
            late_s = each.ended - call.deadline
            if late_s > GRACE_S + record.delay_unseen_s + each.unseen_s + record.slow_s and not _stood_still(
                record, call, each
            ):
                text = f"{each.worker} worked at {call.key} until {late_s:.3f} s after its deadline"
                found.append(Violation("deadlines", text, each.ended, call.id))
    return found


def _stood_still(record: Record, call: Call, execution: Execution) -> bool:
    """Whether the worker was stopped when it was time."""
    assert execution.ended is not None
    return any(
        each.process == execution.worker
        and each.kind == "pause"
        and each.start <= call.deadline + GRACE_S
        and execution.ended <= each.end + GRACE_S
        and each.end >= call.deadline
        for each in record.outages
    )
