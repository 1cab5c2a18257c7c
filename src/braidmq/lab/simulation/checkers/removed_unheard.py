"""Removed: from the moment on in which a broker acts on a registry, nothing counts there of whom it does not have."""

from bisect import bisect_left, bisect_right

from braidmq.lab.simulation.checkers.violation import Violation
from braidmq.lab.simulation.record import Passage, Record, Rights
from braidmq.members import matches
from braidmq.wire.envelope import REPLY, REQUEST


def check(record: Record) -> list[Violation]:
    """Return what brokers passed on in the name of a member, or gave to one, that was removed or may not have it.

    What a client might ask when its request came is passed on, though it might not ask it any more.
    """
    changes: dict[str, list[tuple[float, dict[str, Rights]]]] = {}
    for adoption in record.adoptions:
        issued = record.issues.get(adoption.version)
        if adoption.digest and issued is not None:
            changes.setdefault(adoption.process, []).append((adoption.at, issued.rights))
    found = []
    came: dict[tuple[str, bytes, str], float] = {}
    for each in record.passages:
        if each.broker not in changes or each.command not in (REQUEST, REPLY):
            continue
        if each.way == "in":
            if each.command == REQUEST:
                came.setdefault((each.broker, each.id, each.peer), each.at)
            continue
        those = changes[each.broker]
        then = _in_force(those, came.get((each.broker, each.id, each.sender), each.at))
        texts = [_against(each, now, then) for now in _in_force(those, each.at)]
        if all(texts):
            found.append(Violation("removed", texts[0], each.at, each.id))
    return found


def _in_force(changes: list[tuple[float, dict[str, Rights]]], at: float) -> list[dict[str, Rights]]:
    """Return what was in force just before a moment, and what came into force in it: nobody knows what was first."""
    first = bisect_left(changes, at, key=lambda change: change[0])
    last = bisect_right(changes, at, key=lambda change: change[0])
    return [rights for _, rights in changes[max(0, first - 1) : last]]


def _against(passage: Passage, now: dict[str, Rights], then: list[dict[str, Rights]]) -> str:
    broker, sender, peer, service = passage.broker, passage.sender, passage.peer, passage.service
    nobody = Rights()
    if sender not in now:
        return f"{broker} passed something on of {sender}, who was removed"
    if peer and peer not in now:
        return f"{broker} gave something to {peer}, who was removed"
    if passage.command != REQUEST:
        return ""
    if not any(matches(each.get(sender, nobody).calls, service) for each in then):
        return f"{broker} passed a call of {sender} to {service} on, who might not call it when it came"
    if peer and not matches(now[peer].serves, service):
        return f"{broker} gave a call of {service} to {peer}, who may not serve it any more"
    return ""
