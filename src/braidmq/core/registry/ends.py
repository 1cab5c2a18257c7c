"""When it is told that certificates end: some days before, and when they have ended, once each."""

import math
from typing import Final, NamedTuple

from braidmq.bounds import DAY_S

WARNED_DAYS: Final = (0, 1, 7, 30)
"""How many days before the end of a certificate that is told: in time to plan, to act, and to hurry; and at its end."""

SOON_S: Final = WARNED_DAYS[-1] * DAY_S
"""How long before its end a certificate is one that ends soon, in seconds."""

LOOK_S: Final = 60.0
"""How often it is looked: nothing that is counted in days needs it sooner."""

SET_BACK_S: Final = 3_600.0
"""How far time must go back to count as set anew. Less than that, the clocks of brokers that come and go may differ."""


class Span(NamedTuple):
    """Ends that are told now, as they have come within so many days.

    Attributes:
        days: one of WARNED_DAYS.
        after_s: they are later than this, in Unix seconds.
        until_s: and no later than this.
    """

    days: int
    after_s: float
    until_s: float


class Marks:
    """Says which ends have come nearer than each of WARNED_DAYS since it was asked last.

    It keeps nothing of single certificates: what was told is what lies between two looks. The first look tells of all
    that end soon, each by the least number of days. If time was set back, so does the next one.
    """

    __slots__ = ("_looked_at",)

    def __init__(self) -> None:
        self._looked_at = -math.inf

    def spans(self, unix_s: float) -> list[Span]:
        """Return where the ends lie that are to be told at a Unix time, the nearest first."""
        before = self._looked_at
        if unix_s < before - SET_BACK_S:
            before = -math.inf
        self._looked_at = unix_s = max(before, unix_s)
        found, nearer_s = [], -math.inf
        for days in WARNED_DAYS:
            until_s = unix_s + days * DAY_S
            after_s = max(before + days * DAY_S, nearer_s)
            if after_s < until_s:
                found.append(Span(days, after_s, until_s))
            nearer_s = until_s
        return found
