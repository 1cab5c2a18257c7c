"""A broker that was never hampered for long is taken for dead by nobody that was not hampered either."""

from typing import Final

from braidmq.simulation.checkers.violation import Violation
from braidmq.simulation.record import Outage, Record, Verdict

ENDS: Final = frozenset(("kill", "stop", "vanish"))
"""Outages in which the process does not exist."""


def check(record: Record) -> list[Violation]:
    """Return the verdicts of death that nothing explains."""
    return [
        Violation("false death", f"{each.by} took {each.about} for dead", each.at)
        for each in record.verdicts
        if not any(_explains(outage, each, record.false_death_s) for outage in record.outages)
    ]


def _explains(outage: Outage, verdict: Verdict, least_s: float) -> bool:
    """Whether an outage may have led to a verdict: the two were apart for long enough, or the broker had ended.

    News of it may travel for a while after its end.
    """
    if not outage.start <= verdict.at <= outage.end + 2 * least_s:
        return False
    if outage.kind in ENDS:
        return outage.process == verdict.about
    return min(verdict.at, outage.end) - outage.start >= least_s
