"""Foreign calls: each is answered once at most, and once as long as its bridge, its program and their connection live.

An answer is a reply that a call of the bridge has got, or an error of one, if the protocol tells errors. Where it does
not, a call that failed is silence.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from braidmq.lab.simulation.checkers.violation import Violation
from braidmq.lab.simulation.record import Call, Error, ForeignCall, Outage, Record, Reply

GRACE_S: Final = 0.5
"""How much later than its time an answer may come: the bridge's call may be late, and sockets connect again."""

AFTER_S: Final = 4.0
"""How long after something was wrong an answer may be late: by then a program has opened anew."""

_ENDS: Final = frozenset(("kill", "vanish", "stop", "reset"))
"""What ends a bridge, a program, or a connection: nobody need be answered."""

_OWN: Final = frozenset(("OVERLOADED", "UNAVAILABLE"))
"""Errors of the bridge itself, without any call."""


def check(record: Record) -> list[Violation]:
    """Return the calls that were answered twice, too late, wrongly or never."""
    if not record.bridge:
        return []
    made: dict[str, list[Call]] = defaultdict(list)
    for call in record.calls:
        made[call.key.partition("#")[0]].append(call)
    return [
        Violation("foreign", f"{call.key} of {call.program} {what}", call.until)
        for call in record.foreign_calls
        for what in _wrong(record, call, made[call.key])
    ]


def _wrong(record: Record, call: ForeignCall, made: list[Call]) -> Iterator[str]:
    failed = [each for each in made if isinstance(each.outcome, Error)]
    if len(call.answers) > 1:
        yield f"was answered {len(call.answers)} times"
    for at, kind in call.answers:
        if kind == "reply":
            if not any(isinstance(each.outcome, Reply) for each in made):
                yield "was answered, and none of its bridge's calls was"
        elif not call.speaks:
            yield f"was told {kind}, and its protocol has no errors"
        elif not failed and kind not in _OWN:
            yield f"was told {kind}, and none of its bridge's calls has failed"
        if call.must_succeed and kind != "reply":
            yield f"failed in a sound net: {kind}"
        if at > call.until + GRACE_S and not any(_near(record, call, AFTER_S, at)):
            yield f"was answered {at - call.until:.3f} s late"
    if not call.answers and not _is_excused(record, call):
        if call.must_succeed:
            yield "was not answered in a sound net"
        elif call.speaks or not failed:
            yield "was never answered"


def _is_excused(record: Record, call: ForeignCall) -> bool:
    """Whether nobody can expect an answer."""
    if call.left_at is not None:
        in_time = call.left_at <= call.until + GRACE_S
        if in_time or _left_as_it_went_on(record, call) or _left_a_bridge_that_stood_still(record, call):
            return True
    ends = _ENDS | {"pause"} if record.drops_unread else _ENDS
    return any(each.kind in ends for each in _near(record, call, GRACE_S, _answerable_until(record, call)))


def _answerable_until(record: Record, call: ForeignCall) -> float:
    """Return until when a bridge may still answer: for one that has stood still the time begins as it goes on."""
    until = call.until + GRACE_S
    time_s = until - call.started
    pauses = [each for each in record.outages if each.process == record.bridge and each.kind == "pause"]
    return max([until, *(each.end + time_s for each in pauses if call.started <= each.end and each.start <= until)])


def _left_as_it_went_on(record: Record, call: ForeignCall) -> bool:
    """Whether a program that had stood still found that its time was over, and looked no further."""
    return any(
        each.kind == "pause" and each.process == call.program and each.end == call.left_at
        for each in record.foreign_outages
    )


def _left_a_bridge_that_stood_still(record: Record, call: ForeignCall) -> bool:
    """Whether a bridge could not say that the time was over, and the program was gone before it could."""
    assert call.left_at is not None
    return any(
        each.kind == "pause" and each.start <= call.until + GRACE_S and call.left_at <= each.end + GRACE_S
        for each in record.outages
        if each.process == record.bridge
    )


def _near(record: Record, call: ForeignCall, before_s: float, until: float) -> Iterator[Outage]:
    """Yield what was wrong with the bridge or the program while the call was under way, or shortly before."""
    own = [each for each in record.foreign_outages if each.process == call.program]
    for each in (*own, *(each for each in record.outages if each.process == record.bridge)):
        if each.start <= until and each.end >= call.started - before_s:
            yield each
