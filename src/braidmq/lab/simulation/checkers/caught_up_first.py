"""Caught up: a broker that starts lets no node in before it has heard the others, or its time for that is over."""

from braidmq.lab.simulation.checkers.violation import Violation
from braidmq.lab.simulation.record import Admission, Record


def check(record: Record) -> list[Violation]:
    """Return the brokers that let a node in too early. Who was out of reach meanwhile need not be heard."""
    found = []
    for each in record.admissions:
        if (
            each.broker in record.hostile
            or each.at - each.since >= record.catch_up_s
            or _is_hampered(record, each.broker, each)
        ):
            continue
        missing = [name for name in each.missing if name not in record.hostile and not _is_hampered(record, name, each)]
        if missing:
            text = f"{each.broker} let {each.node} in {each.at - each.since:.3f} s after its start without having heard"
            found.append(Violation("caught up", f"{text} {', '.join(missing)}", each.at))
    return found


def _is_hampered(record: Record, process: str, admission: Admission) -> bool:
    return any(
        each.process == process and each.start <= admission.at and each.end > admission.since for each in record.outages
    )
