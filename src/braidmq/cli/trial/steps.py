"""Steps of a load that rises until a service takes no more. Pure."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from braidmq.cli.trial.calls import IN_FLIGHT_MAX
from braidmq.cli.trial.tally import Tally

CLOSED_FACTOR: Final = 2
"""From one number of calls in flight to the next."""

OPEN_FACTOR: Final = 1.5
"""From one rate to the next: fine enough for a first answer, and coarse enough to reach any service in some steps."""

GAIN_MIN: Final = 1.1
"""By how much twice as many calls in flight must raise the throughput: less is what waiting in a queue looks like."""

FLAT_STEPS: Final = 2
"""Steps in a row without that gain that end a load with more and more in flight: one of them may be chance."""

KEPT_MIN: Final = 0.95
"""The share of a rate that must be answered in time for a service to keep up with it."""

FAILED_MAX: Final = 0.01
"""The share of calls that may fail before a step counts as too much."""

ENOUGH: Final = 0.9
"""The share of the highest throughput that is good enough, with fewer calls in flight."""


class Step(NamedTuple):
    """A load, and what became of it.

    Attributes:
        in_flight: how many calls were under way in a closed loop; 0 in an open one.
        rate: calls per second of an open loop; 0.0 in a closed one.
        seconds: how long calls were begun.
        per_s: replies per second.
        tally: what became of all calls.
        held_back: see Calls.
        busy: the share of a processor that this process itself took.
    """

    in_flight: int
    rate: float
    seconds: float
    per_s: float
    tally: Tally
    held_back: int
    busy: float

    @property
    def fails(self) -> bool:
        """Whether too many calls fail, or could not begin."""
        return self.tally.failed + self.held_back > FAILED_MAX * (self.tally.sent + self.held_back)

    @property
    def keeps_up(self) -> bool:
        """Whether an open loop was answered as fast as it asked."""
        return not self.fails and self.per_s >= KEPT_MIN * self.rate

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "in_flight": self.in_flight or None,
            "rate": self.rate or None,
            "seconds": round(self.seconds, 3),
            "per_s": round(self.per_s, 1),
            "held_back": self.held_back,
            "busy": round(self.busy, 3),
            **self.tally.as_dict(),
        }


class Verdict(NamedTuple):
    """Where a service is at its limit.

    Attributes:
        step: the least load that reaches (almost) all that it can do; None if no load did without failures.
        full: whether the limit was reached.
        why: what the last steps have shown.
    """

    step: Step | None
    full: bool
    why: str


def is_enough(steps: Sequence[Step]) -> bool:
    """Whether further steps tell nothing new: the service is at its limit, or this command is."""
    last = steps[-1]
    if last.fails:
        return True
    if last.rate:
        return not last.keeps_up
    return last.in_flight >= IN_FLIGHT_MAX or _is_flat(steps)


def next_step(step: Step) -> tuple[int, float]:
    """Return how many calls in flight, and which rate, come after a step; one of them is 0."""
    if step.rate:
        return 0, step.rate * OPEN_FACTOR
    return min(IN_FLIGHT_MAX, step.in_flight * CLOSED_FACTOR), 0.0


def judge(steps: Sequence[Step]) -> Verdict:
    """Return where the service is at its limit, by the steps of a load that has risen."""
    last = steps[-1]
    sound = [step for step in steps if (step.keeps_up if step.rate else not step.fails)]
    most = max((step.per_s for step in sound), default=0.0)
    least = next((step for step in sound if step.per_s >= ENOUGH * most), None)
    if last.fails:
        failed = last.tally.failed + last.held_back
        return Verdict(least, True, f"{_share(failed, last.tally.sent + last.held_back)} of the calls fail")
    if last.rate and not last.keeps_up:
        return Verdict(least, True, f"{_share(last.per_s, last.rate)} of what is asked for is answered")
    if not last.rate and _is_flat(steps):
        return Verdict(least, True, "more calls in flight only wait longer")
    return Verdict(least, False, "it was not asked for more")


def _is_flat(steps: Sequence[Step]) -> bool:
    earlier, later = steps[:-FLAT_STEPS], steps[-FLAT_STEPS:]
    most = max((step.per_s for step in earlier), default=0.0)
    return bool(earlier) and all(step.per_s < GAIN_MIN * most for step in later)


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "none"
