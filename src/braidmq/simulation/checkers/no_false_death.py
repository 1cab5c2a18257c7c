"""A broker that was never hampered for long is taken for dead by nobody that was not hampered either."""

from braidmq.simulation.checkers.violation import Violation
from braidmq.simulation.record import Outage, Record


def check(record: Record) -> list[Violation]:
    """Return the verdicts of death that nothing explains."""
    return [
        Violation("false death", f"{each.by} took {each.about} for dead", each.at)
        for each in record.verdicts
        if not any(_explains(outage, each.at, record.false_death_s) for outage in record.outages)
    ]


def _explains(outage: Outage, at: float, least_s: float) -> bool:
    """Anybody's long outage may: rumors about the one or by the other travel through everyone."""
    return outage.start <= at - least_s and outage.end - outage.start >= least_s
