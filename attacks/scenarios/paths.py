"""One broker of three is hostile, and makes its clients and workers worse off than if it were not there."""

from dataclasses import replace
from typing import Final

from attacks.scenario import BESIDE_A_HOSTILE_BROKER, SHAPE, Scenario

_SHAPE: Final = replace(SHAPE, brokers=3)

_SHAPES: Final = {"greedy": replace(_SHAPE, concurrency=1)}
"""Workers of one place, where places are taken."""

SCENARIOS = tuple(
    Scenario(
        f"paths-{lie}",
        f"a hostile broker of three {what}",
        lie=lie,
        shape=_SHAPES.get(lie, _SHAPE),
        most=BESIDE_A_HOSTILE_BROKER,
    )
    for lie, what in {
        "busy": "refuses requests as BUSY at once",
        "no-payload": "welcomes nodes with a payload limit of 0",
        "denied": "refuses requests as DENIED at once",
        "no-worker": "refuses requests as NO_WORKER at once",
        "expired": "refuses requests as EXPIRED at once",
        "too-large": "refuses requests as TOO_LARGE at once",
        "draining": "refuses requests as DRAINING at once",
        "lost": "answers requests with LOST at once",
        "silent": "takes requests, and is silent about them",
        "mute": "is silent after WELCOME",
        "working": "says WORKING for ever",
        "greedy": "sends workers more than they have granted",
        "tiny": "floods nodes with tiny messages",
        "gone": "floods nodes with tiny messages for a second, and ends",
        "pings": "sends nodes PING of the transport without end",
        "rumours": "spreads false rumours and certificates",
    }.items()
)
