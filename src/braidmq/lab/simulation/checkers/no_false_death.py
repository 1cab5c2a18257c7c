"""Nobody takes a broker for dead while no broker is hampered for as long as a death takes, unless it has ended."""

from typing import Final

from braidmq.lab.simulation.checkers.violation import Violation
from braidmq.lab.simulation.record import Record, Verdict

ENDS: Final = frozenset(("kill", "stop", "vanish"))
"""Outages in which the process does not exist."""

NEWS_FACTOR: Final = 2.0
"""How long after an outage it may still lead to a verdict, in times of what a death takes at least."""

GAP_FACTOR: Final = 0.25
"""Two outages with a shorter pause between them count as one: a refutation needs some time to get through."""


def check(record: Record) -> list[Violation]:
    """Return the verdicts of death that nothing explains."""
    if record.liars:
        return []  # who lies may slander others, who refute it
    hampered = _merged(record)
    return [
        Violation("false death", f"{each.by} took {each.about} for dead", each.at)
        for each in record.verdicts
        if not _ended(record, each)
        and not any(
            start <= each.at <= end + NEWS_FACTOR * record.false_death_s
            and min(each.at, end) - start >= record.false_death_s
            for start, end in hampered
        )
    ]


def _ended(record: Record, verdict: Verdict) -> bool:
    """Whether the broker had ended; news of that may travel for a while after its return."""
    return any(
        each.kind in ENDS
        and each.process == verdict.about
        and each.start <= verdict.at <= each.end + NEWS_FACTOR * record.false_death_s
        for each in record.outages
    )


def _merged(record: Record) -> list[tuple[float, float]]:
    """Return the stretches of time in which something was wrong with a broker, without gaps worth mentioning.

    With any broker: what two brokers say of a third one comes to all of them, and what nodes do concerns none.
    """
    found: list[tuple[float, float]] = []
    hampered = [each for each in record.outages if not record.brokers or each.process in record.brokers]
    for start, end in sorted((each.start, each.end) for each in hampered):
        if found and start <= found[-1][1] + GAP_FACTOR * record.false_death_s:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found
