"""How long a request may lie about before whoever has it must doubt that it is the only attempt.

A client sends a request again when it hears nothing of an attempt for its exchange timeout, or soon when the broker or
the worker that had it is gone. Whoever begins a request must know that no other attempt can have overtaken this one, or
set the flag possible-duplicate. No clocks are compared; everybody goes by spans of one length, the interval of WORKING
that the client asks for, which is a third of its exchange timeout:

- The client sends no further attempt before a hold is over since it sent the last one (`hold_s`, which it tells in the
  request; an interval, if it has given up the connection itself), and not before `promise_s` are over since it answered
  the last QUEUED with RENEW; whichever is later.
- A broker sets the flag when half of the hold is over since the request was sent, without a RENEW; or when
  `promise_s` are over since the QUEUED that the last RENEW has answered, less half of the hold.
- A worker sets the flag when it begins a request later than half of the hold after its broker has sent it: a broker's
  death does not take back what it has sent, and a broker that stands still takes nothing back either.

What runs already has begun before any later attempt can, so the client holds nothing back for that.
"""

import math
from typing import Final

WORKING_S: Final = 0.3
"""The interval for a client that asks for none: a little below a third of the usual exchange timeout of a second."""

WORKING_S_MIN: Final = 0.01
"""The shortest one, which is the grain of timers: no request of a few bytes shall cost a thousand answers a second."""

HOLD_S_MIN: Final = 0.16
"""The shortest hold. A younger call goes on over another broker no sooner; and half of it is more than a request takes
beyond its usual time, on each of its hops, where nothing is wrong."""

HOLD_SHARE_MIN: Final = 0.27
"""The same as a share of the interval, where that is longer: a patient client is far from its brokers."""

HOLD_SHARE_MAX: Final = 2.5
"""The longest hold, as a share of the interval: just below the exchange timeout, after which a client goes on in any
case."""

HOLD_JOURNEYS: Final = 4.0
"""The hold in times of a request's journey to its worker and back, where that is long, beyond `ask_s` for each of the
two hops: a request that waits is renewed before half of it is over, though its way takes twice as long as usual."""

HOLD_UNITS: Final = 100
"""A REQUEST tells its hold in so many parts of the interval, in its code."""

ASK_S: Final = 0.025
"""When a broker first tells of a request that waits: most waits are shorter, and cost no message then."""


def interval_s(working_ms: int) -> float:
    """Return how often to say WORKING for a REQUEST whose `working` is `working_ms`; 0 stands for no wish."""
    wished_s = working_ms / 1000.0 or WORKING_S
    return wished_s if wished_s > WORKING_S_MIN else WORKING_S_MIN


def hold_units(interval: float, journey_s: float) -> int:
    """Return the hold of an attempt, in parts of the interval.

    Args:
        interval: that of WORKING.
        journey_s: how long requests take at present over the path to their workers and back.
    """
    slow_s = HOLD_JOURNEYS * journey_s + 2.0 * ask_s(interval)
    share = max(HOLD_SHARE_MIN, HOLD_S_MIN / interval, slow_s / interval)
    return math.ceil(HOLD_UNITS * min(HOLD_SHARE_MAX, share))


def journey_s_max(interval: float) -> float:
    """Return how long a journey may take without making the hold longer than the shortest one."""
    return (hold_s(interval, 0) - 2.0 * ask_s(interval)) / HOLD_JOURNEYS


def hold_s(interval: float, units: int) -> float:
    """Return the hold that a client has told; 0 stands for the shortest."""
    return interval * (units or hold_units(interval, 0.0)) / HOLD_UNITS


def sure_s(interval: float, units: int) -> float:
    """Return for how long a request cannot be overtaken after it was sent on one of its two hops."""
    return hold_s(interval, units) / 2.0


def promise_s(interval: float) -> float:
    """Return for how long a RENEW holds: until the next one, with as much time again for its way."""
    return 2.0 * interval


def ask_again_s(interval: float, units: int) -> float:
    """Return how often a request that waits is told of: soon enough to be renewed before the last RENEW is over."""
    return max(interval / 4.0, min(interval, promise_s(interval) - 1.5 * sure_s(interval, units)))


def ask_s(interval: float) -> float:
    """Return how long a request waits at a broker before its client is told, and asked for RENEW."""
    return min(ASK_S, interval / 4.0)
