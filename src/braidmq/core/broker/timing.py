"""How long the requests of a service take at a broker: from the moment it has one to that in which the reply leaves."""

from typing import Final

from braidmq.core.histogram import Histogram

EACH_MAX: Final = 120
"""Replies of a service that are all measured between two `renew`, which comes once a minute: where little is asked,
each one is worth knowing."""

STRIDE: Final = 7
"""Beyond those every seventh is measured, and counts for all seven: each measurement would cost half a percent of an
exchange. It is no divisor of what callers like to send at once, so it meets all places in a bundle alike."""


class Timing:
    """Measures the replies of one service.

    Whoever passes a reply takes one off `left`; if nothing is left then, it calls `measure`.

    Attributes:
        left: how many more replies there are until one is measured.
        took: what was measured; a reply that is not measured is counted with the next one that is.
    """

    __slots__ = ("_each_until", "_stride", "left", "took")

    def __init__(self) -> None:
        self.left = 1
        self.took: Histogram | None = None
        self._stride = 1
        self._each_until = EACH_MAX

    def measure(self, seconds: float) -> None:
        """Count a reply that has taken so long, and those since the last one that was measured."""
        took = self.took
        if took is None:
            took = self.took = Histogram()
        took.add(seconds, self._stride)
        self._stride = self.left = 1 if took.count < self._each_until else STRIDE

    def renew(self) -> None:
        """Measure each reply for a while; call it once a minute."""
        self._each_until = (0 if self.took is None else self.took.count) + EACH_MAX

    @property
    def replies(self) -> int:
        """How many replies there were."""
        return (0 if self.took is None else self.took.count) + self._stride - self.left

    def encoded(self) -> list[int]:
        """Return what was measured, for a report."""
        return [] if self.took is None else self.took.encoded()
