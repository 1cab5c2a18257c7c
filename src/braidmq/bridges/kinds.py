"""Which bridges there are, and what whoever runs them needs to know of each."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from braidmq.bridges.metrics import Metrics
from braidmq.bridges.options import Options
from braidmq.errors import ConfigError
from braidmq.node import Node
from braidmq.settings import Settings
from braidmq.trust.joinfile import JoinFile

HOMES: Final[Mapping[str, str]] = {
    "majordomo": "braidmq.bridges.majordomo.kind",
    "malamute": "braidmq.bridges.malamute.kind",
    "http": "braidmq.bridges.http.bridge",
    "zgossip": "braidmq.bridges.zgossip.bridge",
}
"""The module of each kind, whose `KIND` describes it. It is imported when it is used."""


class Bridge(Protocol):
    """One bridge: a foreign endpoint, and the nodes behind it. All methods belong to one event loop."""

    async def start(self) -> None:
        """Listen, and begin to connect to the brokers. One that raises has nothing left open.

        Raises:
            BraidError: it cannot listen, or its nodes cannot start.
        """

    async def drain(self) -> None:
        """Take nothing new, and end when what is under way has been answered, or the settings' `drain_s` is over."""

    async def close(self) -> None:
        """End at once. It may have been drained, or never have been started."""

    def endpoints(self) -> Sequence[str]:
        """Return where it listens, with the ports that the system has chosen; nothing before it does."""

    def told(self) -> str:
        """Return in a few words what it is and where it listens, for the log."""


@dataclass(frozen=True)
class Plan:
    """What a bridge is made of.

    Attributes:
        options: its table of the configuration file.
        join: its own join file, or its path.
        folder: from where paths of the options count.
        settings: of its nodes.
        beside: all bridges of its process, by kind; it grows until the first of them starts.
        metrics: of its process; None: nobody asks for them.
    """

    options: Options
    join: JoinFile | Path
    folder: Path
    settings: Settings
    beside: Mapping[str, Bridge] = field(default_factory=dict)
    metrics: Metrics | None = None

    def node(self, join: JoinFile | Path) -> Node:
        """Return a node of the bridge, which is measured if anybody asks for that."""
        return Node(join, settings=self.settings, observer=None if self.metrics is None else self.metrics.observer())


@dataclass(frozen=True)
class Kind:
    """One kind of bridge.

    Attributes:
        name: what the command line and the configuration file call it.
        options: what it can be told.
        make: makes one. Raises ConfigError if the plan is wrong.
    """

    name: str
    options: type[Options]
    make: Callable[[Plan], Bridge]


def kind(name: str) -> Kind:
    """Return the kind of bridge that is called so.

    Raises:
        ConfigError: there is none.
    """
    if name not in HOMES:
        raise ConfigError(f"there is no bridge {name!r}: write one of {', '.join(HOMES)}")
    found = importlib.import_module(HOMES[name]).KIND
    assert isinstance(found, Kind)
    return found
