"""Nobody takes its own standstill for the silence of others: who has stood still reads first, and judges then."""

from braidmq.lab.simulation.checkers.violation import Violation
from braidmq.lab.simulation.record import Call, Outage, Record, Reply

PROMPT_S = 1.0
"""What a call takes at most where nobody stands still."""


def check(record: Record) -> list[Violation]:
    """Return who was given up, what ran again and what failed for no standstill but one's own."""
    if not record.stalls_s:
        return []
    return _given_up(record) + _again(record) + _failed(record)


def _given_up(record: Record) -> list[Violation]:
    found = []
    for each in record.partings:
        start = each.at - 2 * record.stalls_s
        if each.silent and not any(_overlaps(outage, start, each.at) for outage in _of(record, each.about)):
            text = f"{each.by} gave {each.about} up, which had not stood still"
            found.append(Violation("own stalls", text, each.at))
    return found


def _again(record: Record) -> list[Violation]:
    """What ran again though nobody had stood still but its caller, and that not for so long that it was given up."""
    found, executions = [], record.executions_by_key()
    for call in record.calls:
        runs = sorted(executions[call.key], key=lambda each: each.started)
        if len(runs) > 1 and not _explained(record, call, runs[1].started):
            text = f"{call.key} ran again on {runs[1].worker}, though only its caller had stood still"
            found.append(Violation("own stalls", text, runs[1].started, call.id))
    return found


def _failed(record: Record) -> list[Violation]:
    found = []
    for call in record.calls:
        for when, end in call.ends[:1]:
            mine = _of(record, call.client)
            busy = any(_overlaps(each, call.deadline - PROMPT_S, call.deadline) for each in mine)
            if not isinstance(end, Reply) and not busy and not _explained(record, call, when):
                text = f"{call.key} failed with {end.kind}, though only its caller had stood still: {end.text}"
                found.append(Violation("own stalls", text, when, call.id))
    return found


def _of(record: Record, process: str) -> list[Outage]:
    return [each for each in record.outages if each.process == process]


def _explained(record: Record, call: Call, until: float) -> bool:
    """Whether anybody else stood still meanwhile, or the caller for so long that others had to give it up."""
    return any(
        _overlaps(each, call.started - record.stalls_s, until)
        and (each.process != call.client or each.end - each.start > 0.8 * record.stalls_s)
        for each in record.outages
    )


def _overlaps(outage: Outage, start: float, end: float) -> bool:
    return outage.start <= end and outage.end >= start
