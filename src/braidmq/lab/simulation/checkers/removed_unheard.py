"""Removed: from the moment on in which a broker acts on a registry, nothing counts there of whom it does not have."""

from bisect import bisect_left, bisect_right
from math import inf
from typing import Final

from braidmq.lab.simulation.checkers.violation import Violation
from braidmq.lab.simulation.record import Passage, Record, Rights
from braidmq.members import matches
from braidmq.wire.envelope import CANCEL, LOST, REJECT, REPLY, REQUEST

_ANSWERS: Final = (REPLY, REJECT, LOST)
"""What ends an attempt when a broker has said it to the client."""


def check(record: Record) -> list[Violation]:
    """Return what brokers passed on in the name of a member, or gave to one, that was removed or may not have it.

    What a client might ask when its request came is passed on, though it might not ask it any more, as long as that
    attempt is neither answered nor withdrawn. A client that asks anew may ask what it may by then, no more and no less.
    """
    changes: dict[str, list[tuple[float, dict[str, Rights]]]] = {}
    for adoption in record.adoptions:
        issued = record.issues.get(adoption.version)
        if adoption.digest and issued is not None:
            changes.setdefault(adoption.process, []).append((adoption.at, issued.rights))
    found = []
    attempts = _Attempts(record)
    for each in record.passages:
        if each.broker not in changes:
            continue
        attempts.note(each)
        if each.way == "in" or each.command not in (REQUEST, REPLY):
            continue
        those = changes[each.broker]
        then = [rights for at in attempts.came(each) or [each.at] for rights in _in_force(those, at)]
        texts = [_against(each, now, then) for now in _in_force(those, each.at)]
        if all(texts):
            found.append(Violation("removed", texts[0], each.at, each.id))
    return found


class _Attempts:
    """When requests came to brokers, each attempt of a client by itself, and when the brokers were done with them."""

    def __init__(self, record: Record) -> None:
        self._lives: dict[str, list[float]] = {}
        for each in record.adoptions:
            if each.began:
                self._lives.setdefault(each.process, []).append(each.at)
        self._of: dict[tuple[str, bytes, str], dict[int, tuple[float, float]]] = {}

    def note(self, passage: Passage) -> None:
        """Note what came into a broker, or left it; in the order of the record."""
        of_this = self._of.setdefault((passage.broker, passage.id, passage.peer), {})
        if passage.way == "in" and passage.command == REQUEST:
            of_this.setdefault(passage.tag, (passage.at, inf))
        elif passage.command in (_ANSWERS if passage.way == "out" else (CANCEL,)) and passage.tag in of_this:
            came, ended = of_this[passage.tag]
            of_this[passage.tag] = (came, min(ended, passage.at))

    def came(self, passage: Passage) -> list[float]:
        """Return when those attempts came that the sender of a message that is passed on still had at the broker.

        What ended in the very moment counts, too: nobody knows what was first.
        """
        lives = [at for at in self._lives.get(passage.broker, ()) if at <= passage.at]
        since = lives[-1] if lives else -inf
        of_this = self._of.get((passage.broker, passage.id, passage.sender), {})
        return [came for came, ended in of_this.values() if since <= came and ended >= passage.at]


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
