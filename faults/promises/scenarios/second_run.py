"""A second run without the flag: five ways in which a call waits in a queue while a copy of it runs elsewhere."""

from functools import partial
from typing import Final

from faults.promises.course import run_one_of
from faults.promises.promise import Bound, Promise
from faults.promises.ways import exactly

BOUNDS: Final = (
    Bound("unflagged", most=0, of="runs"),
    Bound("failed", most=0, of="calls"),
    Bound("lost", most=0, of="calls"),
    Bound("untold", most=0, of="calls"),
    Bound("run twice", of="calls"),
)

WAYS: Final = {
    "kill-broker": ("the broker that it came through is killed", exactly("kill-broker", "worker", job_s=0.2)),
    "stop-worker": ("its worker is stopped for 2.5 s", exactly("stop-worker", "worker", stall_s=2.5, job_s=5.0)),
    "stop-broker": ("its broker is stopped for 1.4 s", exactly("stop-broker", "broker", stall_s=1.4)),
    "block-caller": ("its caller's event loop is blocked for 1.4 s", exactly("block-calling", "broker", stall_s=1.4)),
    "hold-caller": (
        "nothing gets from the broker to its caller for 1.4 s",
        exactly("hold-caller", "broker", stall_s=1.4),
    ),
}

PROMISES: Final = tuple(
    Promise(
        f"second-run-{name}", f"what may run twice is flagged: a call waits, and {what}", partial(run_one_of, ways),
        BOUNDS, runs=20,
    )
    for name, (what, ways) in WAYS.items()
)  # fmt: skip
