"""A caller whose event loop is blocked does not take its own stall for the silence of the net."""

from functools import partial
from typing import Final

from faults.promises.orders import Ask, When
from faults.promises.promise import Bound, Promise
from faults.promises.stage import Stage

CALLS: Final = 100
TIMEOUT_S: Final = 10.0
STALLS_S: Final = (1.3, 2.5, 3.5)

PLACEMENTS: Final[dict[When, str]] = {
    "made": "before they leave",
    "sent": "once they have left",
    "answered": "with the first answer",
}


def run(stall_s: float, when: When, stage: Stage) -> None:
    """Begin calls of no length, and block the event loop."""
    net = stage.net
    net.open(2, ["w1", "w2", "caller"])
    for worker in ("w1", "w2"):
        net.start_worker(worker, 64)
    net.ready(2)
    net.start_caller("caller").begin("e", Ask(timeout_s=TIMEOUT_S), CALLS, stall_s=stall_s, when=when)
    net.end(stage.evidence, stall_s + TIMEOUT_S)
    net.judge(stage.evidence)


PROMISES: Final = tuple(
    Promise(
        f"stalled-caller-{stall_s:g}-{when}",
        f"100 calls, their caller is blocked for {stall_s:g} s {words}: none fails, few run twice",
        partial(run, stall_s, when),
        (
            Bound("failed", most=0, of="calls"),
            Bound("lost", most=0, of="calls"),
            Bound("run twice", most=0.05, of="calls"),
            Bound("unflagged", most=0, of="calls"),
        ),
        runs=3,
    )
    for stall_s in STALLS_S
    for when, words in PLACEMENTS.items()
)
