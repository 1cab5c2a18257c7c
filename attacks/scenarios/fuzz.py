"""Anything at all, drawn from a seed: of clients, workers, and brokers on either side of a connection."""

from dataclasses import replace
from functools import partial
from time import monotonic, sleep
from typing import Final, cast

from attacks.arms import Arms
from attacks.frames import Fuzz, Role
from attacks.scenario import BESIDE_A_HOSTILE_BROKER, SHAPE, Scenario
from braidmq.wire import control
from faults.worker import SERVICE

RATE: Final = 5_000
"""Frames each second: below what a broker takes for a flood, so that they are read."""

FULL_S: Final = 200.0
"""For a million frames."""

LIFE_FRAMES: Final = 2_000
"""After so many frames a connection is made anew, so that what is sent first counts as well."""


def fuzz(arms: Arms) -> None:
    """Send such frames, and learn from what comes."""
    role = cast("Role", arms.plan.variant)
    drawn, peers, began = Fuzz(arms.rng), arms.peers(), monotonic()
    while arms.goes_on():
        for peer in peers:
            if not peer.renew():
                continue
            if arms.rng.random() < 0.01:
                peer.say(control.Ready("own", 5))
            for heard in peer.exchanges():
                drawn.learn(heard)
            for _ in range(5):
                arms.sent["frames"] += peer.send(drawn.frame(role))
            peer.waiting += 5
            if peer.waiting >= LIFE_FRAMES:
                peer.close()
        sleep(max(0.0, began + arms.sent["frames"] / RATE - monotonic()))


_fuzz = partial(Scenario, act=fuzz, connections=4, runs=1, length_s=FULL_S)

SCENARIOS = (
    _fuzz(
        "fuzz-client", "anything that a client might send", variant="client", calls=(SERVICE, "own"), serves=("own",)
    ),
    _fuzz(
        "fuzz-worker", "anything that a worker might send", variant="worker", calls=("own",), serves=("own", "own/*")
    ),
    _fuzz("fuzz-broker", "anything that a broker might send to another one", variant="broker", key="rogue"),
    Scenario(
        "fuzz-router",
        "anything that a broker might send to whoever is connected to it",
        lie="fuzzer",
        shape=replace(SHAPE, brokers=3),
        most=BESIDE_A_HOSTILE_BROKER,
        runs=1,
        length_s=FULL_S,
    ),
)
