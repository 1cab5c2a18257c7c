"""The same promise in other ways: durations, directions, connections that are reset; drawn from a seed."""

from functools import partial
from typing import Final

from faults.promises.course import run_one_of
from faults.promises.promise import Promise
from faults.promises.proxy import FROM, TO
from faults.promises.scenarios.second_run import BOUNDS
from faults.promises.ways import LASTING, Ways, exactly

VARIANTS: Final = {
    "hardly": ("nothing lasts longer than 0.3 s", 4, Ways(LASTING, stall_s=(0.05, 0.3), release_s=(0.5, 1.0))),
    "stall": ("somebody is stalled for 0.3 to 6 s", 12, Ways(LASTING)),
    "kill": ("its broker is killed", 6, Ways(("kill-broker",))),
    "hold-to-broker": (
        "nothing gets from its caller to the broker for 0.3 to 6 s", 6, Ways(("hold-caller",), paths=((TO,),)),
    ),
    "hold-from-worker": (
        "nothing gets from its worker to the broker for 0.3 to 6 s", 6, Ways(("hold-worker",), paths=((TO,),)),
    ),
    "hold-to-worker": (
        "nothing gets from the broker to its worker for 0.3 to 6 s", 6, Ways(("hold-worker",), paths=((FROM,),)),
    ),
    "delay-and-kill": ("all is delayed by 0.1 to 0.9 s, and its broker is killed", 6, Ways(("delay-and-kill",))),
    "reset-caller": ("its caller's connection is reset", 6, Ways(("reset-caller",))),
    "reset-worker": ("its worker's connection is reset", 6, Ways(("reset-worker",))),
    "early": (
        "somebody has been stalled since before it was made", 8,
        Ways(("stop-broker", "stop-worker", "hold-caller", "hold-worker"), early=True),
    ),
    "random": (
        "anything of this goes wrong", 20,
        Ways((*LASTING, "kill-broker", "delay-and-kill", "reset-caller", "reset-worker")),
    ),
}  # fmt: skip

CONTROL: Final = Promise(
    "second-run-none", "a call waits, and nothing goes wrong: it runs once",
    partial(run_one_of, exactly("none", "broker", job_s=0.2, release_s=0.2, gap_s=0.1)), BOUNDS,
)  # fmt: skip

PROMISES: Final = (
    CONTROL,
    *(
        Promise(
            f"second-run-{name}", f"what may run twice is flagged: a call waits, and {what}",
            partial(run_one_of, ways), BOUNDS, runs,
        )
        for name, (what, runs, ways) in VARIANTS.items()
    ),
)  # fmt: skip
