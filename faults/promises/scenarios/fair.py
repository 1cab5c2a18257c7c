"""Nobody starves the others: the services of one node, and the clients of one service."""

from functools import partial
from time import sleep
from typing import Final

from faults.figures import percentile
from faults.promises.jobs import IDLE
from faults.promises.judge import latencies, tally
from faults.promises.orders import Ask
from faults.promises.promise import Bound, Promise
from faults.promises.stage import Stage

# A node's services.
SLOW_CALLS: Final = 300
SLOW_S: Final = 0.25
SLOW_PLACES: Final = 4
SLOW_TIMEOUT_S: Final = 40.0
PROBES: Final = 10
DELAY_S_MAX: Final = 0.1

# The clients of a service.
WORKERS: Final = 2
PLACES: Final = 8
WORK_S: Final = 0.05
"""Two workers of 8 places do 320 of these each second."""
FLOOD: Final = 256
RATE: Final = 20.0
LASTS_S: Final = 8.0
FAILED_MAX: Final = 0.05
SLOWER_MAX: Final = 2.0
"""How much longer half of the others' calls may take than without the flood: they wait for one place at most."""


def run_services(stage: Stage) -> None:
    """Let calls of a slow service wait, and call an idle one from the same node."""
    net = stage.net
    net.open(2, ["slow", "idle", "caller"])
    net.start_worker("slow", SLOW_PLACES)
    net.start_worker("idle", 8, service=IDLE)
    net.ready(1)
    net.ready(1, service=IDLE)
    caller = net.start_caller("caller")
    caller.begin("slow", Ask(work_s=SLOW_S, timeout_s=SLOW_TIMEOUT_S), count=SLOW_CALLS)
    for number in range(PROBES):
        caller.begin(f"idle{number}-", Ask(IDLE))
        sleep(SLOW_S)
    net.end(stage.evidence, SLOW_TIMEOUT_S)
    net.judge(stage.evidence)
    stage.evidence.sample("a call of the idle one takes", *latencies(c for c in net.calls if c.key.startswith("idle")))


def run_flood(timeout_s: float, stage: Stage) -> None:
    """Let one client flood a service, and look at two others."""
    net, evidence = stage.net, stage.evidence
    workers, others = ["w1", "w2"], ["c1", "c2"]
    net.open(2, [*workers, *others, "flood"])
    for worker in workers:
        net.start_worker(worker, PLACES)
    net.ready(WORKERS)
    for name in (*others, "flood"):
        net.start_caller(name)
    ask = Ask(work_s=WORK_S, timeout_s=timeout_s)
    halves = []
    for phase in ("calm", "flooded"):
        if phase == "flooded":
            net.callers["flood"].drive("flood", ask, in_flight=FLOOD, for_s=LASTS_S)
        for name in others:
            net.callers[name].pace(f"{phase}-{name}-", ask, rate=RATE, for_s=LASTS_S)
        for name in others:
            net.callers[name].wait(LASTS_S + 2 * timeout_s)
        mine = [call for call in net.calls if call.key.startswith(phase)]
        halves.append(percentile(latencies(mine), 0.5))
    counts = tally(mine, net.runs("flooded"))
    evidence.count(counts)
    evidence.sample("times slower", halves[1] / halves[0])
    evidence.note(f"p50 without the flood {1000 * halves[0]:.0f} ms, with it {1000 * halves[1]:.0f} ms")


PROMISES: Final = (
    Promise(
        "fair-services",
        "300 calls of a slow service wait: a call of an idle one, from the same node, is not delayed",
        run_services,
        (
            Bound("a call of the idle one takes", most=DELAY_S_MAX, at=1.0),
            Bound("failed", most=0, of="calls"),
        ),
    ),
    *(
        Promise(
            f"fair-clients-{timeout_s:g}",
            f"a client has 256 calls under way: those of two others, 20 a second, timeout {timeout_s:g} s, are served",
            partial(run_flood, timeout_s),
            (
                Bound("failed", most=FAILED_MAX, of="calls"),
                Bound("times slower", most=SLOWER_MAX, at=1.0, unit=""),
            ),
        )
        for timeout_s in (1.0, 5.0)
    ),
)
