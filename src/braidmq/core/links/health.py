"""What came of the calls over one path lately. What follows from it is decided in path_health.py."""

import math
from typing import Any, Final

LEVEL_MAX: Final = 10
"""Relapses that are counted."""

TOOK_WEIGHT: Final = 1 / 8
"""What one more answer counts in the mean time that a service takes over a path: the last ten or so decide."""

NOTE_S: Final = 0.02
"""How often answers are learned from: what comes sooner after another one of its service says nothing new."""

FAIR_PRICE: Final = 1.0
"""The price of a path all of whose calls were answered."""


class Answers:
    """How a path answers the calls of one service.

    Attributes:
        sent_at: when the newest call was sent that it has answered, to NOTE_S or so.
        took_s: how long it takes on average.
        due: when one more is learned from.
    """

    __slots__ = ("due", "sent_at", "took_s")

    def __init__(self, sent_at: float, took_s: float) -> None:
        self.sent_at = sent_at
        self.took_s = took_s
        self.due = 0.0


class Health:
    """The record of one path, which path_health.py writes and judges.

    `note_answer` comes with each answer. `close` takes the path out, after `closed_until` it is on probation, and
    `admit` takes it in again; `halve` lets the past count less.

    Attributes:
        good: calls that were answered; like `bad` it decays.
        bad: calls that were refused, lost or not answered, though another path might have answered them.
        replied_at: when the last reply came.
        answered: how it answers each service.
        level: how often it was an outlier lately.
        closed_until: until when it takes no new calls; then it is on probation.
        probes_left: calls that it has to answer before it takes its part again; 0 if it does.
        probing: the call by which that is found out.
        full_since: since when it takes its part.
        vacant: the list of services that the broker has contradicted by a refusal, and `vacant_at` when first.
    """

    __slots__ = (
        "answered", "bad", "closed_until", "full_since", "good", "level", "probes_left", "probing", "replied_at",
        "vacant", "vacant_at",
    )  # fmt: skip

    def __init__(self, now: float) -> None:
        self.good = 0.0
        self.bad = 0.0
        self.replied_at = -math.inf
        self.answered: dict[bytes, Answers] = {}
        self.level = 0
        self.closed_until = -math.inf
        self.probes_left = 0
        self.probing: Any = None
        self.full_since = now
        self.vacant: frozenset[bytes] | None = None
        self.vacant_at = now

    @property
    def probation(self) -> bool:
        """Whether it does not take its part: it takes no new calls at all, or one at a time."""
        return self.probes_left > 0

    @property
    def price(self) -> float:
        """What its latency is multiplied with: the square of how many calls are needed for one that is answered."""
        tries = (self.good + self.bad + 1.0) / (self.good + 1.0)
        return tries * tries

    def note_answer(self, service: bytes, sent_at: float, now: float, services_max: int) -> None:
        """Learn from an answer that came now."""
        answers = self.answered.get(service)
        if answers is None:
            if len(self.answered) >= services_max:
                self.answered.clear()
            self.answered[service] = Answers(sent_at, now - sent_at)
            return
        if now < answers.due:
            return
        answers.due = now + NOTE_S
        answers.took_s += (now - sent_at - answers.took_s) * TOOK_WEIGHT
        if sent_at > answers.sent_at:
            answers.sent_at = sent_at

    def close(self, until: float, probes: int) -> None:
        """Take no new calls until then, and that many single ones afterwards."""
        self.closed_until = until
        self.probes_left = probes
        self.probing = None
        self.level = min(LEVEL_MAX, self.level + 1)

    def admit(self, now: float) -> None:
        """Take part again: what was bad before says nothing any more."""
        self.good = self.bad = 0.0
        self.full_since = now
        self.probing = None

    def halve(self, now: float, relaxed_s: float) -> None:
        """Let the past count less."""
        self.good *= 0.5
        self.bad *= 0.5
        if self.level and not self.probes_left and now - self.full_since >= relaxed_s:
            self.level -= 1
            self.full_since = now
