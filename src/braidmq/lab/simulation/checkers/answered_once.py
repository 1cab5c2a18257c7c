"""A broker gives each attempt that reaches it one final answer at most; and one at least, where nothing goes wrong."""

from collections import Counter
from typing import Final

from braidmq.lab.simulation.checkers.violation import Violation
from braidmq.lab.simulation.record import Record, Reply
from braidmq.wire.envelope import LOST, REJECT, REPLY, REQUEST

FINAL: Final = frozenset((REPLY, REJECT, LOST))


def check(record: Record) -> list[Violation]:
    """Return the attempts that were answered twice, and those of successful calls that were not answered at all."""
    asked: dict[tuple[str, str, bytes, int], float] = {}
    answers: Counter[tuple[str, str, bytes, int]] = Counter()
    found = []
    clients = {call.id: call.client for call in record.calls}
    for each in record.passages:
        if clients.get(each.id) != each.peer:
            continue
        attempt = (each.broker, each.peer, each.id, each.tag)
        if each.way == "in" and each.command == REQUEST:
            asked[attempt] = each.at
            answers[attempt] = 0
        elif each.way == "out" and each.command in FINAL:
            answers[attempt] += 1
            if answers[attempt] > 1:
                text = f"{each.broker} has answered an attempt of {each.peer} {answers[attempt]} times"
                found.append(Violation("answers", text, each.at, each.id))
    if record.undisturbed:
        replied = {call.id for call in record.calls if isinstance(call.outcome, Reply)}
        found += [
            Violation("answers", f"{broker} has not answered an attempt of {peer}", at, id_)
            for (broker, peer, id_, tag), at in asked.items()
            if not answers[broker, peer, id_, tag] and id_ in replied
        ]
    return found
