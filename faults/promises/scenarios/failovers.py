"""A call outlives one broker after the other: its answer is ready, and retries that add no work cost nothing."""

from functools import partial
from time import sleep
from typing import Final

from faults.promises.orders import Ask
from faults.promises.promise import Bound, Promise
from faults.promises.stage import Stage

BROKERS: Final = 3
WORKERS: Final = 2
PLACES: Final = 128
ATTEMPTS: Final = 6

EVERY_S: Final = 1.0
"""How long after one broker the next one is killed."""

DOWN_S: Final = 0.2

DRAIN_S_MAX: Final = 20.0
"""How long a broker may take to end with SIGTERM."""


def _begin(stage: Stage, jobs: int, ask: Ask) -> None:
    net = stage.net
    workers = [f"w{number}" for number in range(1, WORKERS + 1)]
    net.open(BROKERS, [*workers, "caller"])
    for worker in workers:
        net.start_worker(worker, PLACES)
    net.ready(WORKERS)
    net.start_caller("caller").begin("j", ask, count=jobs)
    net.wait_for_runs("j", jobs)


def _end(stage: Stage, timeout_s: float) -> None:
    stage.net.end(stage.evidence, timeout_s)
    stage.net.judge(stage.evidence)


def kill(jobs: int, stage: Stage) -> None:
    """Kill one broker after the other while jobs of 5 s run."""
    _begin(stage, jobs, Ask(work_s=5.0, timeout_s=20.0, attempts=ATTEMPTS))
    for broker in stage.net.brokers:
        stage.net.kill(broker)
        sleep(DOWN_S)
        stage.net.start_broker(broker)
        sleep(EVERY_S)
    _end(stage, 20.0)


def roll(jobs: int, stage: Stage) -> None:
    """Restart one broker after the other with SIGTERM while jobs of 25 s run."""
    net = stage.net
    _begin(stage, jobs, Ask(work_s=25.0, timeout_s=45.0, attempts=ATTEMPTS))
    for broker in net.brokers:
        net.terminate(broker)
        net.children[broker].wait(DRAIN_S_MAX)
        net.start_broker(broker)
        net.ready(WORKERS, broker)
    _end(stage, 45.0)


BOUNDS: Final = (
    Bound("failed", most=0, of="calls"),
    Bound("lost", most=0, of="calls"),
    Bound("unflagged", most=0, of="calls"),
)

PROMISES: Final = (
    Promise(
        "failovers-100", "three brokers killed one after the other under 100 jobs of 5 s: none fails",
        partial(kill, 100), (*BOUNDS, Bound("run twice", of="calls")), runs=2,
    ),
    Promise(
        "failovers-200", "the same under 200 jobs",
        partial(kill, 200), (*BOUNDS, Bound("run twice", of="calls")), runs=2,
    ),
    Promise(
        "failovers-rolling", "a rolling restart of the brokers under 120 jobs of 25 s: none fails, none runs twice",
        partial(roll, 120), (*BOUNDS, Bound("run twice", most=0, of="calls")),
    ),
)  # fmt: skip
