"""Figures of loads that nobody has measured."""

from braidmq.lab.bench.figures import NUMBERS, Figures


def figures(per_s, **changes):
    """Return figures that are all 1, but for the calls per second and `changes`."""
    return Figures(**{**dict.fromkeys(NUMBERS, 1.0), "per_s": per_s, "failed": 0, **changes})
