"""In which ways a call may come to run a second time while its first copy waits in a queue; drawn from a seed. Pure."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from faults.promises.proxy import FROM, TO

Fault = Literal[
    "none", "kill-broker", "stop-broker", "stop-worker", "block-caller", "block-calling", "hold-caller", "hold-worker",
    "delay-and-kill", "reset-caller", "reset-worker",
]  # fmt: skip
"""`block-calling` blocks the caller's event loop when it has just made another call, so that its node has yet to act
when the loop goes on; `block-caller` when there is nothing to do but to read."""

Queue = Literal["broker", "worker"]

AT_WORKERS: tuple[Fault, ...] = ("stop-worker", "hold-worker", "reset-worker", "delay-and-kill")
"""Faults of a worker. They say something of a call only while it waits there."""

LASTING: tuple[Fault, ...] = (
    "stop-broker", "stop-worker", "block-caller", "block-calling", "hold-caller", "hold-worker",
)  # fmt: skip
"""Faults that last for a time."""

PROXIED: tuple[Fault, ...] = ("hold-caller", "hold-worker", "delay-and-kill", "reset-caller", "reset-worker")


@dataclass(frozen=True)
class Way:
    """What happens while a call waits.

    Attributes:
        fault: see Fault.
        queue: where the call waits.
        stall_s: how long the fault lasts, where it lasts.
        job_s: how long the call runs.
        release_s: when the place on the other path becomes free, counted from the beginning of the fault.
        gap_s: how long after the second run has begun the place becomes free that the first copy waits for.
        delay_s: how much everything is delayed before the broker is killed.
        paths: which directions are held up.
        early: whether it begins before the call is made, which then travels, or waits in pipes, while it lasts.
    """

    fault: Fault
    queue: Queue
    stall_s: float
    job_s: float
    release_s: float
    gap_s: float
    delay_s: float
    paths: tuple[str, ...]
    early: bool = False

    def __str__(self) -> str:
        where = f"{'from before ' if self.early else ''}X in the {self.queue}'s queue"
        lasts = f" for {self.stall_s:.1f} s" if self.fault in LASTING else ""
        lasts += f" ({' and '.join(self.paths)} the broker)" if self.fault in ("hold-caller", "hold-worker") else ""
        delay = f" after {self.delay_s:.1f} s of delay" if self.fault == "delay-and-kill" else ""
        return f"{self.fault}{lasts}{delay}, {where}, job of {self.job_s:.1f} s"

    @property
    def proxied(self) -> bool:
        """Whether it takes proxies. A worker that reaches one broker only takes them, too."""
        return self.queue == "broker" or self.fault in PROXIED


@dataclass(frozen=True)
class Ways:
    """What ways are drawn from; durations from a range."""

    faults: Sequence[Fault]
    queues: Sequence[Queue] = ("broker", "worker")
    stall_s: tuple[float, float] = (0.3, 6.0)
    job_s: tuple[float, float] = (0.5, 6.0)
    release_s: tuple[float, float] = (1.5, 4.0)
    gap_s: tuple[float, float] = (0.1, 3.0)
    delay_s: tuple[float, float] = (0.1, 0.9)
    paths: Sequence[tuple[str, ...]] = ((FROM,), (TO,), (TO, FROM))
    early: bool = False

    def draw(self, rng: random.Random) -> Way:
        """Return one of them."""
        fault = rng.choice(self.faults)
        queue: Queue = "worker" if fault in AT_WORKERS or self.early else rng.choice(self.queues)
        return Way(
            fault,
            queue,
            stall_s=rng.uniform(*self.stall_s),
            job_s=rng.uniform(*self.job_s),
            release_s=rng.uniform(*self.release_s),
            gap_s=rng.uniform(*self.gap_s),
            delay_s=rng.uniform(*self.delay_s),
            paths=rng.choice(self.paths),
            early=self.early,
        )


def exactly(
    fault: Fault, queue: Queue, *, stall_s: float = 0.0, job_s: float = 3.0, release_s: float = 3.0, gap_s: float = 1.5
) -> Ways:
    """Return a single way."""
    return Ways(
        (fault,),
        (queue,),
        stall_s=(stall_s, stall_s),
        job_s=(job_s, job_s),
        release_s=(release_s, release_s),
        gap_s=(gap_s, gap_s),
        delay_s=(0.0, 0.0),
        paths=((FROM,),),
    )
