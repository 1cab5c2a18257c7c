"""What must hold: one file for each invariant of docs/reliability.md, each a pure function of a record."""

from collections.abc import Callable
from typing import Final

from braidmq.lab.simulation.checkers import (
    answered_once,
    answers_arrive,
    attempts_bounded,
    brokers_agree,
    caught_up_first,
    deadlines_kept,
    duplicates_flagged,
    ends_once,
    fair_share,
    flawless,
    foreign_answered,
    foreign_runs,
    foreign_unharmed,
    given_up,
    ids_unforeseen,
    losses_told,
    no_false_death,
    nothing_late,
    nothing_left,
    nothing_needless,
    own_stalls,
    processes_live,
    registry_kept,
    removed_unheard,
    right_answer,
    rights_kept,
    service_restored,
    silent_avoided,
    sizes_bounded,
)
from braidmq.lab.simulation.checkers.violation import Violation
from braidmq.lab.simulation.record import Record

CHECKERS: Final[dict[str, Callable[[Record], list[Violation]]]] = {
    "I1": ends_once.check,
    "I2": right_answer.check,
    "I3": duplicates_flagged.check,
    "I4": attempts_bounded.check,
    "I5": nothing_late.check,
    "I6": sizes_bounded.check,
    "I7": service_restored.check,
    "I8": processes_live.check,
    "convergence": brokers_agree.check,
    "false death": no_false_death.check,
    "rights": rights_kept.check,
    "flawless": flawless.check,
    "losses": losses_told.check,
    "needless": nothing_needless.check,
    "answers": answered_once.check,
    "leak": nothing_left.check,
    "given up": given_up.check,
    "silent": silent_avoided.check,
    "deadlines": deadlines_kept.check,
    "answers ready": answers_arrive.check,
    "own stalls": own_stalls.check,
    "fair share": fair_share.check,
    "foreseen": ids_unforeseen.check,
    "registry": registry_kept.check,
    "removed": removed_unheard.check,
    "caught up": caught_up_first.check,
    "foreign": foreign_answered.check,
    "foreign runs": foreign_runs.check,
    "harm": foreign_unharmed.check,
}
"""All checkers, by the rule that their violations name."""


def violations(record: Record) -> list[Violation]:
    """Return what all checkers find."""
    return [violation for check in CHECKERS.values() for violation in check(record)]


__all__ = ["CHECKERS", "Violation", "violations"]
