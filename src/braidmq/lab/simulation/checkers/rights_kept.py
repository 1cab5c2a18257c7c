"""Rights: no request gets past a broker that its client may not make, or to a worker that may not serve it."""

from braidmq.lab.simulation.checkers.violation import Violation
from braidmq.lab.simulation.record import Record, Rights
from braidmq.members import matches
from braidmq.wire.envelope import REQUEST


def check(record: Record) -> list[Violation]:
    """Return the requests that were passed on against somebody's rights, and what leaked."""
    found = [Violation("rights", f"{each.process} {each.why}", each.at) for each in record.breaches]
    if not record.rights:
        return found
    nobody = Rights()
    for each in record.passages:
        if each.way == "in" or each.command != REQUEST:
            continue
        text = ""
        if not matches(record.rights.get(each.sender, nobody).calls, each.service):
            text = f"{each.broker} passed a call of {each.sender} to {each.service} on, who may not call it"
        elif each.peer and not matches(record.rights.get(each.peer, nobody).serves, each.service):
            text = f"{each.broker} gave a call of {each.service} to {each.peer}, who may not serve it"
        if text:
            found.append(Violation("rights", text, each.at, each.id))
    return found
