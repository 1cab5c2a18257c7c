"""Work goes to a worker by what it takes: one that is ten times slower gets little while a fast one is idle."""

from functools import partial
from typing import Final

from faults.promises.judge import shares
from faults.promises.orders import Ask
from faults.promises.promise import Bound, Promise
from faults.promises.stage import Stage

FAST_S: Final = 0.01
SLOWNESS: Final = 10.0
PLACES: Final = 4
LASTS_S: Final = 10.0
TIMEOUT_S: Final = 10.0

LOADS: Final = {"low": 0.05, "medium": 0.5}
"""The share of what the fast worker can do alone."""

SHARES: Final = {"low": 0.05, "medium": 1 / (1 + SLOWNESS)}
"""The most that the slow one may get: at medium load its part of what both can do."""

WARM_UP: Final = 0.2
"""The share of the calls that come before it is counted: who is slow must first be seen."""


def run(load: float, stage: Stage) -> None:
    """Call at an even rate, and count who gets the calls."""
    net = stage.net
    net.open(2, ["fast", "slow", "caller"])
    net.start_worker("fast", PLACES)
    net.start_worker("slow", PLACES, slowness=SLOWNESS)
    net.ready(2)
    rate = load * PLACES / FAST_S
    net.start_caller("caller").pace("c", Ask(work_s=FAST_S, timeout_s=TIMEOUT_S), rate=rate, for_s=LASTS_S)
    net.end(stage.evidence, LASTS_S + TIMEOUT_S)
    net.judge(stage.evidence)
    runs = sorted(net.runs("c"), key=lambda each: each.started)
    counted = runs[int(WARM_UP * len(runs)) :]
    stage.evidence.sample("share of the slow one", shares(counted).get("slow", 0.0))


PROMISES: Final = tuple(
    Promise(
        f"slow-worker-{name}",
        f"a worker that is ten times slower, at {name} load, beside a fast one",
        partial(run, load),
        (
            Bound("share of the slow one", most=SHARES[name], at=1.0, unit=""),
            Bound("failed", most=0, of="calls"),
        ),
    )
    for name, load in LOADS.items()
)
