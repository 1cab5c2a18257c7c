"""A worker whose handlers call another service is told to end: it lets them finish, or others take over."""

import signal
from functools import partial
from time import sleep
from typing import Final

from faults.promises.jobs import CHAIN
from faults.promises.orders import Ask
from faults.promises.promise import Bound, Promise
from faults.promises.stage import Stage

CALLS: Final = 100
WORK_S: Final = 0.2
RATE: Final = 50.0
TIMEOUT_S: Final = 10.0


def run(paced: bool, stage: Stage) -> None:
    """Call through two middle workers, and end one of them meanwhile."""
    net = stage.net
    net.open(2, ["back", "m1", "m2", "caller"])
    net.start_worker("back", 64)
    for name in ("m1", "m2"):
        net.start_worker(name, 64, service=CHAIN)
    net.ready(1)
    net.ready(2, service=CHAIN)
    caller = net.start_caller("caller")
    ask = Ask(CHAIN, work_s=WORK_S, timeout_s=TIMEOUT_S)
    if paced:
        caller.pace("c", ask, rate=RATE, for_s=CALLS / RATE)
        sleep(CALLS / RATE / 2)
    else:
        caller.begin("c", ask, count=CALLS)
        sleep(WORK_S / 2)
    net.children["m1"].end(signal.SIGTERM)
    net.end(stage.evidence, TIMEOUT_S)
    net.judge(stage.evidence, "c")


BOUNDS: Final = (
    Bound("failed", most=0, of="calls"),
    Bound("lost", most=0, of="calls"),
    Bound("error INTERNAL", of="calls"),
)

PROMISES: Final = (
    Promise(
        "middle-worker", "SIGTERM of a worker whose 100 handlers are about to call another service: none fails",
        partial(run, False), BOUNDS, runs=3,
    ),
    Promise(
        "middle-worker-paced", "the same under 50 calls each second",
        partial(run, True), BOUNDS, runs=3,
    ),
)  # fmt: skip
