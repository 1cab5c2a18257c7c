"""What a bridge of a simulated net is like, and the foreign programs before it."""

import random
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Bridged:
    """A bridge of the net, and the foreign programs before it.

    Attributes:
        node: which member is the bridge.
        kind: what it speaks.
        service: what foreign workers provide.
        callers: foreign clients.
        servers: foreign workers.
        asks: requests of foreign clients while faults last.
        timeout_s: how long these may take.
        errors: whether foreign clients are told of errors.
        duplicates: whether foreign workers get what may have been run before.
        ordered: whether clients of Majordomo get their replies in the order of their requests.
        wait: what calls say of waiting for a worker.
        places: requests that a worker of Malamute has at once.
        unread_max: messages that may wait for a program to read them.
    """

    node: str
    kind: Literal["majordomo", "malamute"]
    service: str
    callers: int
    servers: int
    asks: int
    timeout_s: float
    errors: bool
    duplicates: Literal["deliver", "refuse"]
    ordered: bool
    wait: bool | None
    places: int
    unread_max: int


def bridge_of(seed: int) -> Bridged:
    """Return the bridge of a seed. Its draws are its own: whatever else is drawn, they stay what they are."""
    rng = random.Random(f"bridge of {seed}")  # noqa: S311 - a run must be repeatable
    return Bridged(
        node="x0",
        kind=rng.choice(("majordomo", "malamute")),
        service="f0",
        callers=rng.choice((1, 2, 3)),
        servers=rng.choice((1, 2, 3)),
        asks=rng.choice((30, 60, 120)),
        timeout_s=rng.choice((0.7, 2.0, 5.0)),
        errors=rng.random() < 0.5,
        duplicates=rng.choice(("deliver", "deliver", "refuse")),
        ordered=rng.random() < 0.2,
        wait=rng.choice((None, True, False)),
        places=rng.choice((1, 3, 16)),
        unread_max=rng.choice((4, 1_000, 1_000)),
    )
