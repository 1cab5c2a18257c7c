"""How long the requests of a service take at a broker: from the moment it has one to that in which the reply leaves."""

from typing import Final

from braidmq.core.histogram import Histogram

EACH_MAX: Final = 120
"""Replies of a service that are all measured between two `renew`, which comes once a minute: where little is asked,
each one is worth knowing."""

STRIDE: Final = 31
"""Beyond those one of so many is measured, and counts for all of them: a service with 100 replies a second has 300
measurements a minute, and its exchanges are hardly dearer. It is a prime, and no divisor of what callers like to send
at once, so it meets all places in a bundle alike."""


class Timing:
    """Measures the replies of one service.

    Whoever passes replies counts down from what `measure` has returned last, or from 1, and calls it with that at which
    nothing is left.

    Attributes:
        stride: how many replies the next measurement stands for.
        took: what was measured.
    """

    __slots__ = ("_each_until", "stride", "took")

    def __init__(self) -> None:
        self.took: Histogram | None = None
        self.stride = 1
        self._each_until = EACH_MAX

    def measure(self, seconds: float) -> int:
        """Count a reply that has taken so long, and those since the last one; return which one is the next."""
        took = self.took
        if took is None:
            took = self.took = Histogram()
        took.add(seconds, self.stride)
        self.stride = stride = 1 if took.count < self._each_until else STRIDE
        return stride

    def renew(self) -> None:
        """Measure each reply for a while; call it once a minute."""
        self._each_until = self.measured + EACH_MAX

    @property
    def measured(self) -> int:
        """How many replies are counted."""
        return 0 if self.took is None else self.took.count

    def encoded(self) -> list[int]:
        """Return what was measured, for a report."""
        return [] if self.took is None else self.took.encoded()
