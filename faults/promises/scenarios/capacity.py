"""No place is idle while work waits: with all load on one of three brokers, and with workers of a single place."""

from functools import partial
from time import monotonic, sleep
from typing import Final

from faults.promises.judge import used
from faults.promises.orders import Ask
from faults.promises.promise import Bound, Promise
from faults.promises.stage import Stage

CONCURRENCIES: Final = (1, 2, 4, 8, 16, 32, 64)

LEAST: Final = 0.9

WORK_S: Final = 0.05

WORK_MANY_S: Final = 0.2
MANY: Final = 32
"""From so many places on jobs are longer, so that it is not the processors that are measured."""

SETTLES_S: Final = 2.0
"""How long the load runs before it is measured: credit follows demand."""

MEASURED_S: Final = 4.0

IN_FLIGHT: Final = 2
"""Calls of each caller under way where workers have a single place: in all not many more than there are places, so that
each has to go to the one that is free."""

TIMEOUT_S: Final = 20.0


def run_via_one(stage: Stage) -> None:
    """Load a worker through one broker, for each concurrency in turn."""
    net = stage.net
    net.open(3, ["w", "caller"])
    caller = net.start_caller("caller")
    for concurrency in CONCURRENCIES:
        name, work_s = f"w-{concurrency}", WORK_MANY_S if concurrency >= MANY else WORK_S
        net.start_worker(name, concurrency, join="w")
        net.ready(1)
        ask = Ask(work_s=work_s, timeout_s=TIMEOUT_S, via="b1")
        share = _loaded(stage, f"c{concurrency}-", ask, {"caller": 2 * concurrency + 8}, concurrency)
        stage.evidence.sample(f"used of {concurrency}", share)
        caller.wait(TIMEOUT_S)
        net.kill(name)
        net.ready(0)


def run_single_places(callers: int, stage: Stage) -> None:
    """Load four workers of one place over three brokers."""
    net = stage.net
    workers = ["w1", "w2", "w3", "w4"]
    names = [f"c{number}" for number in range(1, callers + 1)]
    net.open(3, [*workers, *names])
    for worker in workers:
        net.start_worker(worker)
    net.ready(len(workers))
    for name in names:
        net.start_caller(name)
    ask = Ask(work_s=WORK_S, timeout_s=TIMEOUT_S)
    stage.evidence.sample("used", _loaded(stage, "c", ask, dict.fromkeys(names, IN_FLIGHT), len(workers)))


def _loaded(stage: Stage, prefix: str, ask: Ask, in_flight: dict[str, int], places: int) -> float:
    """Return the share of the places' time that is worked under a load."""
    net = stage.net
    since = monotonic() + SETTLES_S
    for name, count in in_flight.items():
        net.callers[name].drive(f"{prefix}{name}-", ask, in_flight=count, for_s=SETTLES_S + MEASURED_S)
    sleep(max(0.0, since + MEASURED_S - monotonic()))
    return used(net.runs(prefix), ask.work_s, places, since, since + MEASURED_S)


PROMISES: Final = (
    Promise(
        "capacity-via-one",
        "all load on one of three brokers: a worker's places are used, at each concurrency",
        run_via_one,
        tuple(Bound(f"used of {concurrency}", least=LEAST, at=0.0, unit="") for concurrency in CONCURRENCIES),
    ),
    *(
        Promise(
            f"capacity-single-{callers}",
            f"four workers of one place, three brokers, {callers} callers: no place is idle while calls wait",
            partial(run_single_places, callers),
            (Bound("used", least=LEAST, at=0.0, unit=""),),
            runs=2,
        )
        for callers in (2, 3, 4)
    ),
)
