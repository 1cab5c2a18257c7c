"""One of several processes is in trouble: a worker that hangs, and one of two that share a name."""

from time import sleep
from typing import Final

from faults.promises.orders import Ask
from faults.promises.promise import Bound, Promise
from faults.promises.stage import Stage

PLACES: Final = 32
TIMEOUT_S: Final = 10.0
CALLS: Final = 60
JOBS: Final = 48
JOB_S: Final = 2.0
KILLED_AFTER_S: Final = 0.7
"""The callers have heard by then which worker has their request."""


def run_hung(stage: Stage) -> None:
    """Stop one of three workers, and call with two attempts."""
    net = stage.net
    workers = ["w1", "w2", "w3"]
    net.open(2, [*workers, "caller"])
    for worker in workers:
        net.start_worker(worker, PLACES)
    net.ready(len(workers))
    caller = net.start_caller("caller")
    caller.begin("warm", Ask(timeout_s=TIMEOUT_S), count=CALLS)
    caller.wait(TIMEOUT_S)
    net.stop("w1")  # just heard by every broker, so that none has a reason to avoid it yet
    caller.begin("c", Ask(work_s=JOB_S, timeout_s=TIMEOUT_S, attempts=2), count=CALLS)
    net.end(stage.evidence, TIMEOUT_S)
    net.judge(stage.evidence, "c")


def run_shared_name(stage: Stage) -> None:
    """Run two workers with one join file, and kill a broker while they have jobs."""
    net = stage.net
    net.open(2, ["w", "caller"])
    for process in ("w-1", "w-2"):
        net.start_worker(process, PLACES, join="w")
    net.ready(2)
    net.start_caller("caller").begin("j", Ask(work_s=JOB_S, timeout_s=TIMEOUT_S), count=JOBS)
    net.wait_for_runs("j", JOBS)
    sleep(KILLED_AFTER_S)
    net.kill("b1")
    net.end(stage.evidence, TIMEOUT_S)
    net.judge(stage.evidence)


PROMISES: Final = (
    Promise(
        "hung-worker",
        "one of three workers hangs: 60 calls with two attempts each are answered by the others",
        run_hung,
        (
            Bound("failed", most=0, of="calls"),
            Bound("lost", most=0, of="calls"),
            Bound("unflagged", most=0, of="calls"),
        ),
        runs=3,
    ),
    Promise(
        "shared-name",
        "two workers have one join file, and a broker is killed: what one of them has is not run by the other",
        run_shared_name,
        (
            Bound("run twice", most=0, of="calls"),
            Bound("failed", most=0, of="calls"),
            Bound("unflagged", most=0, of="calls"),
        ),
        runs=3,
    ),
)
