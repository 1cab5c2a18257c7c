"""I5: nothing starts after it has expired."""

from typing import Final

from braidmq.lab.simulation.checkers.violation import Violation
from braidmq.lab.simulation.record import Call, Execution, Record

FAST_S: Final = 1.0
"""How long after a slow spell the first fast message may take to come: some heartbeats."""


def check(record: Record) -> list[Violation]:
    """Return the executions that began when their caller no longer waited."""
    found, executions = [], record.executions_by_key()
    for call in record.calls:
        for each in executions[call.key]:
            late_s = each.started - call.deadline
            slow_s = record.slow_s if _is_slow(record, call, each) else 0.0
            if late_s > record.delay_unseen_s + each.unseen_s + slow_s:
                text = f"{each.worker} began {call.key} {late_s:.3f} s after its deadline"
                found.append(Violation("I5", text, each.started, call.id))
    return found


def _is_slow(record: Record, call: Call, execution: Execution) -> bool:
    """Whether frames were delayed meanwhile, or just before: what all frames take is no delay that anybody can see."""
    return any(
        each.kind == "delay" and each.start <= execution.started and each.end + FAST_S >= call.started
        for each in record.outages
    )
