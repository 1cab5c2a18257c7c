"""How fast a service works off what waits for it, so that what cannot be done in time is refused at once.

A queue that is longer than its requests have time is worse than none: each request is begun just before it expires, all
work is in vain, and nothing ever gets better (a "bufferbloat" of requests).
"""

from typing import Final

WEIGHT_MIN: Final = 1 / 64
"""What one more answer counts at least. The mean follows a change within some hundred answers, and answers that come in
bundles move it by a tenth."""

TIME_SHARE_MAX: Final = 0.8
"""The share of its remaining time that a request may be expected to take; the rest is for the way back, and for the
error of the estimate."""


class Pace:
    """The pace of a service at one broker while requests wait for it; a new queue begins with a new estimate.

    Attributes:
        interval_s: the mean time between two answers; 0 while nothing is known.
        work_s: the mean time that a request was with its worker.
    """

    __slots__ = ("_answered_at", "_answers", "interval_s", "work_s")

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Note that nothing waits any more."""
        self.interval_s = 0.0
        self.work_s = 0.0
        self._answers = 0
        self._answered_at = 0.0

    def on_answer(self, dispatched_at: float, now: float) -> None:
        """Handle an answer while others wait; `dispatched_at` is 0 if its request has not waited itself."""
        if self._answers:
            weight = max(WEIGHT_MIN, 1 / self._answers)
            self.interval_s += (now - self._answered_at - self.interval_s) * weight
            if dispatched_at:
                self.work_s += (now - dispatched_at - self.work_s) * weight
        self._answers += 1
        self._answered_at = now

    def late_s(self, queued: int, remaining_s: float) -> float:
        """Return by how much too late a request would be that waits behind `queued` others; 0 if it is in time."""
        return max(0.0, queued * self.interval_s + self.work_s - remaining_s * TIME_SHARE_MAX)
