"""The operator of the simulated net: a member with the right to publish, which hands the newest registry to brokers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from braidmq.bounds import COMMAND_BROKERS_MAX
from braidmq.lab.simulation.node import NodeProcess

if TYPE_CHECKING:
    from braidmq.lab.simulation.net import Net

PUBLISH_S: Final = 3.0
"""How long it stays: as long as the command waits for the last broker."""


class Operator(NodeProcess):
    """A node that serves nothing and calls nobody. It runs for a while each time that it publishes."""

    NAME: Final = "operator"

    def __init__(self, net: Net) -> None:
        super().__init__(net, self.NAME, serves={}, clock_rate=1.0)
        self._settings = replace(self._settings, brokers_connected_max=COMMAND_BROKERS_MAX)

    def publish(self) -> None:
        """Hand the newest registry to all brokers that it reaches, as a process of its own; it knows of those in it."""
        self.kill()
        self.papers.take_roster(self._net.authority.newest.roster[1])
        self.start()
        self.core.publish(self._net.authority.newest, self.clock)
        self.later(PUBLISH_S, self.kill)
