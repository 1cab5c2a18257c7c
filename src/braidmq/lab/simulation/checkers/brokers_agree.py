"""Convergence: in the end every broker lists every broker that runs, and no other, as alive."""

from braidmq.lab.simulation.checkers.violation import Violation
from braidmq.lab.simulation.record import Record


def check(record: Record) -> list[Violation]:
    """Return where a broker's list is wrong."""
    found = []
    for by in record.alive:
        for about in record.alive:
            state = record.views.get((by, about), "unknown")
            if by != about and state != "alive":
                found.append(Violation("convergence", f"{by} lists {about}, which runs, as {state}"))
    found += [
        Violation("convergence", f"{by} lists {about}, which does not run, as alive")
        for (by, about), state in record.views.items()
        if by in record.alive and about not in record.alive and state == "alive"
    ]
    return found
