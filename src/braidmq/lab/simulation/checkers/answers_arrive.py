"""No call fails whose answer is ready, while a broker is there that could bring it."""

from braidmq.lab.simulation.checkers.violation import Violation
from braidmq.lab.simulation.record import Error, Record


def check(record: Record) -> list[Violation]:
    """Return the calls that failed although a worker had their answer; only where nothing but brokers dies."""
    if not record.answers_s:
        return []
    found, executions = [], record.executions_by_key()
    for call in record.calls:
        for when, end in call.ends[:1]:
            ready = [each.ended for each in executions[call.key] if each.answered and each.ended is not None]
            if (
                isinstance(end, Error)
                and end.kind != "ServiceError"
                and any(each < when - record.answers_s for each in ready)
                and _is_served(record, when)
            ):
                text = f"{call.key} failed {when - min(ready):.3f} s after its answer was ready: {end.kind}: {end.text}"
                found.append(Violation("answers ready", text, when, call.id))
    return found


def _is_served(record: Record, until: float) -> bool:
    """Whether a broker was there for long enough before a time."""
    since = until - record.answers_s
    away = {each.process for each in record.outages if each.start <= until and each.end >= since}
    return any(broker not in away for broker in record.brokers)
