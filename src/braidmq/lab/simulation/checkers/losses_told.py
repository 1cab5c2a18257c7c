"""A worker's death is told at once, and its requests move on at once: not after a timeout."""

from typing import Final

from braidmq.lab.simulation.checkers.violation import Violation
from braidmq.lab.simulation.record import Call, Passage, Record
from braidmq.members import matches
from braidmq.wire.envelope import CANCEL, LOST, REJECT, REPLY, REQUEST

BACK_S: Final = 2.0
"""How long brokers and clients may take to know of a worker that is back."""


def check(record: Record) -> list[Violation]:
    """Return the requests of killed workers that somebody sat on; only where a record says what is prompt."""
    if not record.prompt_s:
        return []
    calls = {call.id: call for call in record.calls}
    by_id: dict[bytes, list[Passage]] = {}
    for passage in record.passages:
        by_id.setdefault(passage.id, []).append(passage)
    found = []
    for outage in record.outages:
        for id_, passages in by_id.items():
            call = calls.get(id_)
            if outage.kind == "kill" and call is not None and _waits(record, call, outage.start):
                for broker in _brokers_waiting(passages, outage.process, outage.start):
                    found += _slow(record, call, passages, broker, outage.start)
    return found


def _waits(record: Record, call: Call, at: float) -> bool:
    """Whether a call goes on for long enough after a time, and its client lives."""
    end = min([when for when, _ in call.ends] + [call.deadline, call.given_up_at or call.deadline])
    until = at + 2 * record.prompt_s
    return end > until and not any(each.process == call.client and each.start <= until for each in record.outages)


def _brokers_waiting(passages: list[Passage], worker: str, at: float) -> list[str]:
    """Return the brokers that await a worker's answer at a time."""
    waiting: dict[tuple[str, int], None] = {}
    for each in passages:
        if each.at >= at:
            break
        if each.peer == worker and each.way == "out" and each.command == REQUEST:
            waiting[each.broker, each.tag] = None
        elif each.peer == worker and each.command in (REPLY, REJECT, LOST, CANCEL):
            waiting.pop((each.broker, each.tag), None)
    return [broker for broker, _ in waiting]


def _has_worker(record: Record, passages: list[Passage], at: float) -> bool:
    """Whether a worker was there all the time for what was lost: without one its client may wait for one."""
    service = next(each.service for each in passages if each.command == REQUEST and each.service)
    away = {each.process for each in record.outages if each.start <= at + record.prompt_s and each.end + BACK_S > at}
    return any(matches(rights.serves, service) for name, rights in record.rights.items() if name not in away)


def _slow(record: Record, call: Call, passages: list[Passage], broker: str, at: float) -> list[Violation]:
    """Return what was slow: the broker that tells the client, or finds another worker; or the client that goes on."""
    told = [each for each in passages if each.broker == broker and each.way == "out" and each.at >= at]
    moved = next((each for each in told if each.command in (LOST, REQUEST, REJECT)), None)
    if moved is None or moved.at > at + record.prompt_s:
        return [Violation("losses", f"{broker} sat on {call.key}, whose worker was killed", at, call.id)]
    if moved.command != LOST or call.attempts_max == 1 or not _has_worker(record, passages, moved.at):
        return []
    again = [each for each in passages if each.way == "in" and each.command == REQUEST and each.at > moved.at]
    if not again or again[0].at > moved.at + record.prompt_s:
        return [Violation("losses", f"{call.client} sat on {call.key}, which was lost", moved.at, call.id)]
    return []
