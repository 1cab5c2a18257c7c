"""A worker that says nothing gets nothing new: it may be stopped, and whatever it is given waits for it."""

from braidmq.lab.simulation.checkers.violation import Violation
from braidmq.lab.simulation.record import Outage, Passage, Record
from braidmq.wire.envelope import REQUEST


def check(record: Record) -> list[Violation]:
    """Return the requests that stopped workers were given late; only where a record says what is late."""
    if not record.avoided_s:
        return []
    pauses = [each for each in record.outages if each.kind == "pause"]
    return [
        Violation(
            "silent",
            f"{passage.broker} gave a request to {passage.peer}, silent for {passage.at - pause.start:.3f} s",
            passage.at,
            passage.id,
        )
        for pause in pauses
        for passage in record.passages
        if _is_given(passage, pause)
        and passage.at > pause.start + record.avoided_s
        and not any(_may_not_notice(each, passage, pause) for each in record.outages)
    ]


def _is_given(passage: Passage, pause: Outage) -> bool:
    """Whether a passage is a request to a worker that is stopped."""
    return (
        passage.way == "out"
        and passage.command == REQUEST
        and passage.peer == pause.process
        and pause.start <= passage.at < pause.end
    )


def _may_not_notice(outage: Outage, passage: Passage, pause: Outage) -> bool:
    """Whether the broker was not there to hear the silence, or its worker was not silent all the time."""
    process = outage.process
    return process in (passage.broker, pause.process) and outage is not pause and outage.end >= pause.start
