"""How often a client hears that its request is not forgotten.

A client gives an attempt up that is silent for its exchange timeout, and asks for WORKING at a third of it. Broker and
worker take that wish alike: the client's patience is one, wherever its request waits or runs.
"""

from typing import Final

WORKING_S: Final = 0.3
"""The interval for a client that asks for none: a little below a third of the usual exchange timeout of a second."""

WORKING_S_MIN: Final = 0.01
"""The shortest one, which is the grain of timers: no request of a few bytes shall cost a thousand answers a second."""


def interval_s(working_ms: int) -> float:
    """Return how often to say WORKING for a REQUEST whose `working` is `working_ms`; 0 stands for no wish."""
    return max(WORKING_S_MIN, working_ms / 1000.0 or WORKING_S)
