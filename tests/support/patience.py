"""Settings for tests that are about no delay: a busy machine may stand still for seconds without being noticed.

The product is right to flag a request that lay about for a while, and to give up a peer that says nothing. A test that
wants nothing flagged, because nothing is lost in it, must not depend on how fast its machine is.
"""

from typing import Any

from braidmq import Settings

UNHURRIED: dict[str, Any] = {
    "timeout_s": 60.0,
    "exchange_timeout_s": 120.0,  # a request is flagged when it took 4.5 % of this for one hop: see core/patience.py
    "suspect_after_s": 10.0,
    "dead_after_s": 20.0,
    "drain_s": 20.0,
}


def patient(**changes: Any) -> Settings:
    """Return `Settings.test` that wait for long; `changes` override single fields."""
    return Settings.test(**{**UNHURRIED, **changes})
