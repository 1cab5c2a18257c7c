"""I2: no reply reaches the wrong client or the wrong request, and none comes from a worker that never ran it."""

from braidmq.simulation.checkers.violation import Violation
from braidmq.simulation.record import Record, Reply
from braidmq.wire.envelope import REPLY, REQUEST


def check(record: Record) -> list[Violation]:
    """Return the replies that are somebody else's, at their caller and on their way."""
    return _at_callers(record) + _on_their_way(record)


def _at_callers(record: Record) -> list[Violation]:
    found, executions = [], record.executions_by_key()
    for call in record.calls:
        for when, reply in call.ends:
            if not isinstance(reply, Reply):
                continue
            if reply.key != call.key:
                found.append(Violation("I2", f"{call.key} was answered with {reply.key or 'rubbish'}", when, call.id))
            if not any((each.worker, each.id) == (reply.sender, reply.original_id) for each in executions[call.key]):
                found.append(Violation("I2", f"{reply.sender} answered {call.key} and never ran it", when, call.id))
    return found


def _on_their_way(record: Record) -> list[Violation]:
    """Every answer that a broker passes on belongs to a request of that client, and its worker had begun it."""
    found, calls = [], record.calls_by_id()
    began: dict[tuple[bytes, str], float] = {}
    for each in record.executions:
        began[each.id, each.worker] = min(each.started, began.get((each.id, each.worker), each.started))
    for passage in record.passages:
        call = calls.get(passage.id)
        if passage.way == "in" or passage.command == REQUEST or call is None:
            continue
        if passage.command == REPLY and passage.at < began.get((passage.id, passage.sender), passage.at + 1):
            text = f"{passage.broker} passed on a reply of {passage.sender} to {call.key}, who had not begun it"
            found.append(Violation("I2", text, passage.at, passage.id))
        if passage.command == REPLY and passage.peer != call.client:
            text = f"{passage.broker} sent the reply to {call.key} of {call.client} to {passage.peer}"
            found.append(Violation("I2", text, passage.at, passage.id))
    return found
