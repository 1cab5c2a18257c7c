"""The first call of a new node, over a broker that has come back some seconds ago."""

from functools import partial
from itertools import cycle
from pathlib import Path
from time import monotonic, sleep
from typing import Final

from braidmq.blocking import Node
from braidmq.errors import NotRegistered
from faults.promises import jobs
from faults.promises.jobs import WORK, Job
from faults.promises.promise import Bound, Promise
from faults.promises.stage import Stage

NODES: Final = 24
DOWN_S: Final = 1.0
BACK_S: Final = 8.0
"""How long the broker has been back; nodes try it again every 5 s at least."""
TIMEOUT_S: Final = 10.0
TAKES_S_MAX: Final = 0.25
PAUSE_S_MAX: Final = 1.0
"""Between two nodes: brokers look at the registry once a second, and each node shall find them at another moment."""


def run(registered: str, stage: Stage) -> None:
    """Kill a broker, wait until it is back for long, and call from new nodes."""
    net = stage.net
    names = [f"new{number}" for number in range(NODES)]
    net.open(3, ["w1", *(names if registered == "before" else ())])
    net.start_worker("w1", 64)
    net.ready(1)
    net.kill("b1")
    sleep(DOWN_S)
    net.start_broker("b1")
    sleep(BACK_S)
    for name, via in zip(names, cycle((None, "b1")), strict=False):
        join = net.live.join(name) if registered == "before" else net.live.add_node(name, calls=[WORK])
        stage.evidence.sample(f"the first call takes, {'over it' if via else 'over any'}", _first_call(join, via))
        sleep(stage.rng.uniform(0.0, PAUSE_S_MAX))


def _first_call(join: Path, via: str | None) -> float:
    """Return how long the first call of a new node takes, from the moment at which any broker takes the node in."""
    while True:
        with Node(join) as node:
            try:
                node.connected()
            except NotRegistered:
                continue
            began = monotonic()
            node.request(WORK, jobs.encode(Job("first")), timeout=TIMEOUT_S, via=via)
            return monotonic() - began


PROMISES: Final = (
    Promise(
        "newcomer", "a broker is back for 8 s: the first call of a new node is as quick over it as over any",
        partial(run, "before"),
        tuple(
            Bound(f"the first call takes, {which}", most=TAKES_S_MAX, at=1.0) for which in ("over any", "over it")
        ),
    ),
    Promise(
        "newcomer-registered", "the same for nodes that were registered a moment ago",
        partial(run, "just now"),
        tuple(Bound(f"the first call takes, {which}", at=1.0) for which in ("over any", "over it")),
    ),
)  # fmt: skip
