"""Where nothing happens that a caller may notice, no caller notices anything: drains and rolling restarts."""

from braidmq.lab.simulation.checkers.violation import Violation
from braidmq.lab.simulation.record import Error, Record, Reply


def check(record: Record) -> list[Violation]:
    """Return the errors of brokers and the flags of a run that should have none. A handler's own error is none."""
    if not record.flawless:
        return []
    found = []
    for call in record.calls:
        outcome = call.outcome
        if isinstance(outcome, Error) and outcome.kind != "ServiceError":
            found.append(Violation("flawless", f"{call.key} failed: {outcome.kind}: {outcome.text}", None, call.id))
        elif isinstance(outcome, Reply) and outcome.possible_duplicate:
            found.append(Violation("flawless", f"{call.key} was flagged as a possible duplicate", None, call.id))
    return found
