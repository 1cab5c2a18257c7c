"""Whether what somebody has told of a fault is right, and how soon it came. Pure."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Final

from braidmq.monitor.finding import Kind
from faults.expected import Expected
from faults.eye import Glance, Told

STRANGE_MAX: Final = 5
"""Sentences that are kept of what should not have been said."""

NEVER: Final = float("inf")


@dataclass
class Seen:
    """What was told in one run.

    Attributes:
        named_s: after how many seconds the fault was named; infinity if never.
        sentence: the finding that has named it.
        over_s: after how many seconds the last finding was told that something is wrong; 0 if there was none.
        false_alarms: what was found before the fault.
        strange: what was found besides, and is not so.
        starved: what was found as the machine itself stood still: it is too slow, or does something else.
    """

    named_s: float
    sentence: str
    over_s: float = 0.0
    false_alarms: list[str] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)
    starved: list[str] = field(default_factory=list)


def judge(
    expected: Expected,
    hurt: Collection[str],
    before: Iterable[Glance],
    after: Iterable[Glance],
    shows: float,
    *,
    is_starved: Callable[[float], bool],
) -> Seen:
    """Return what was told of a fault.

    Args:
        expected: what is right.
        hurt: the processes that were hurt.
        before: the glances before it.
        after: the glances since its beginning.
        shows: when it could show at the earliest.
        is_starved: whether the machine itself has stood still shortly before a time: then brokers are slow.
    """
    who = set(expected.who or hurt)
    seen = Seen(NEVER, "")
    for glance in before:
        for told in glance.findings:
            excused = told.kind == Kind.SLOW and is_starved(glance.at)
            _keep(seen.starved if excused else seen.false_alarms, told)
    for glance in after:
        for told in glance.findings:
            right = told.kind in expected.kinds and not who.isdisjoint(told.who)
            if right and seen.named_s == NEVER:
                seen.named_s, seen.sentence = max(0.0, glance.at - shows), told.sentence
            if not right and told.kind not in expected.follows:
                excused = told.kind == Kind.SLOW and is_starved(glance.at)
                _keep(seen.starved if excused else seen.strange, told)
            if told.wrong:
                seen.over_s = glance.at - shows
    return seen


def _keep(kept: list[str], told: Told) -> None:
    """Keep one sentence of each kind and victim: times in them change with every glance."""
    head = f"{told.kind} ({', '.join(told.who)}): "
    if not any(text.startswith(head) for text in kept) and len(kept) < STRANGE_MAX:
        kept.append(f"{head}{told.sentence}")
