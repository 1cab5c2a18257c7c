"""Services that come and go: workers withdraw, offer and resize them while all else goes on."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from braidmq.lab.simulation.net import Net
    from braidmq.lab.simulation.node import NodeProcess

AWAY_S: Final = (0.1, 1.0)
"""How long a service stays away from a worker where nobody may notice it, at least and at most."""


class Moves:
    """The moves of one run. `begin` makes them until some time, and `end` lets every worker offer what it has at first.

    Where no caller may notice anything, a service leaves one worker at a time, while all is well.
    """

    def __init__(self, net: Net, rng: random.Random) -> None:
        self._net = net
        self._rng = rng
        self._away = False

    def begin(self, until_s: float) -> None:
        """Move something now and then."""
        every_s = self._net.plan.moves_every_s
        at = self._rng.expovariate(1.0 / every_s) if every_s else until_s
        while at < until_s:
            self._net.world.at(at, self._move_one)
            at += self._rng.expovariate(1.0 / every_s)

    def end(self) -> None:
        """Let all be as at first."""
        for node in self._net.nodes_up:
            for service, concurrency in node.serves.items():
                node.provide(service, concurrency)

    def _move_one(self) -> None:
        net, rng = self._net, self._rng
        nodes = [node for node in net.nodes.values() if node.serves]
        node = rng.choice(nodes)
        service = rng.choice(list(node.serves))
        places = rng.choice((0, 0, 1, node.serves[service], 2 * node.serves[service]))
        away_s = rng.uniform(*AWAY_S)
        if not net.plan.flawless:
            if node.is_at_work:
                node.provide(service, places)
        elif not self._away and net.is_whole():
            self._leave(node, service, away_s)

    def _leave(self, node: NodeProcess, service: str, away_s: float) -> None:
        others = [each for each in self._net.nodes.values() if each is not node and service in each.serves]
        if not others:
            return

        def come_back() -> None:
            node.provide(service, node.serves[service])
            self._away = False

        self._away = True
        node.provide(service, 0)
        self._net.world.later(away_s, come_back)
