"""I2: no reply reaches the wrong client or the wrong request, and none comes from a worker that never ran it."""

from braidmq.lab.simulation.checkers.violation import Violation
from braidmq.lab.simulation.record import Call, Record, Reply
from braidmq.wire.envelope import REPLY, REQUEST


def check(record: Record) -> list[Violation]:
    """Return the replies that are somebody else's, at their caller and on their way.

    What came over a broker in an attacker's hands is not among them: nothing but a proof that travels from end to end
    keeps that broker from making a reply up. But it must not spoil what comes over the others.
    """
    return _at_callers(record) + _on_their_way(record)


def forged(record: Record) -> list[Call]:
    """Return the calls whose caller took a reply that a broker in an attacker's hands has made up."""
    return [
        call
        for call in record.calls
        if isinstance(call.outcome, Reply) and call.outcome.broker in record.liars and call.outcome.key != call.key
    ]


def _at_callers(record: Record) -> list[Violation]:
    found, executions = [], record.executions_by_key()
    for call in record.calls:
        for when, reply in call.ends:
            if not isinstance(reply, Reply) or reply.broker in record.liars:
                continue
            own = not reply.key and reply.sender in record.hostile  # what it answers that ran it is its own affair
            if reply.key != call.key and not own:
                found.append(Violation("I2", f"{call.key} was answered with {reply.key or 'rubbish'}", when, call.id))
            if not any((each.worker, each.id) == (reply.sender, reply.original_id) for each in executions[call.key]):
                found.append(Violation("I2", f"{reply.sender} answered {call.key} and never ran it", when, call.id))
    return found


def _on_their_way(record: Record) -> list[Violation]:
    """What a broker passes on has the right sender and goes to who has asked it for that."""
    found = []
    began: dict[tuple[bytes, str], float] = {}
    for each in record.executions:
        began[each.id, each.worker] = min(each.started, began.get((each.id, each.worker), each.started))
    asked: set[tuple[str, bytes, str]] = set()
    for passage in record.passages:
        broker, peer, sender = passage.broker, passage.peer, passage.sender
        what, text = passage.id.hex()[-6:], ""
        if passage.way == "in":
            if passage.command == REQUEST:
                asked.add((broker, passage.id, peer))
        elif passage.command == REQUEST:
            if (broker, passage.id, sender) not in asked:
                text = f"{broker} sent {what} to {peer} in the name of {sender}, who had not asked it for that"
        elif passage.command == REPLY:
            if passage.at < began.get((passage.id, sender), passage.at + 1):
                text = f"{broker} passed a reply of {sender} to {what} on, who had not begun it"
            elif peer and (broker, passage.id, peer) not in asked:
                text = f"{broker} sent a reply to {what} to {peer}, who had not asked it for that"
        if text:
            found.append(Violation("I2", text, passage.at, passage.id))
    return found
