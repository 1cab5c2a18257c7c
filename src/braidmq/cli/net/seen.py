"""What the brokers of a net know of its members: who is connected, who was seen when, and what became of tokens."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from braidmq.bounds import COMMAND_BROKERS_MAX
from braidmq.cli.logs import log_nothing
from braidmq.cli.net.claiming import observer
from braidmq.errors import BraidError
from braidmq.monitor import registries
from braidmq.monitor.net import View
from braidmq.node import Node
from braidmq.settings import Settings
from braidmq.trust.authority import Authority
from braidmq.trust.joinfile import JoinFile
from braidmq.trust.manifest import Manifest
from braidmq.wire.registry_status import SeenStatus

ASK_S: Final = 1.0
"""How long it is waited for the brokers: a list is not to take longer because they are down."""

CONNECT_S: Final = 0.5
"""How much of that may go by until each is connected or has failed: one that hangs leaves the others time to answer."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What brokers have told.

    Attributes:
        brokers: the names of those that have answered; none if there is nothing else.
        ago_s: how many seconds ago members were seen, by name; 0 for those that are connected.
        used: how many members each token has made, by its serial.
        enrolled: the members that tokens have made.
        cut: whether some broker has more nodes than it tells of.
        versions: that of the registry in force at each broker, by its name.
    """

    brokers: tuple[str, ...] = ()
    ago_s: dict[str, int] = field(default_factory=dict)
    used: dict[int, int] = field(default_factory=dict)
    enrolled: tuple[SeenStatus, ...] = ()
    cut: bool = False
    versions: dict[str, int] = field(default_factory=dict)


def ask(authority: Authority, manifest: Manifest) -> Seen:
    """Ask the brokers, as a member that may observe and whose join file lies in the authority's directory."""
    identity = observer(authority, manifest)
    if identity is None or not manifest.brokers:
        return Seen()
    log_nothing()  # what its links say is no part of a list
    try:
        views = asyncio.run(_ask(identity))
    except (BraidError, OSError):  # the list is of what is in the directory; the net adds to it where it can
        return Seen()
    return Seen(
        tuple(sorted(view.info.name for view in views if view.told)),
        registries.last_seen(views),
        {each.serial: each.used for each in registries.tokens(views)},
        tuple(registries.enrolled(views)),
        any(view.nodes_cut for view in views),
        {each.broker: each.registry.version for each in registries.told(views)},
    )


async def _ask(identity: JoinFile) -> Sequence[View]:
    node = Node(identity, settings=Settings(brokers_connected_max=COMMAND_BROKERS_MAX))
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + ASK_S
    async with node:
        await node.settled(CONNECT_S)
        reports = await node.observe(max(0.0, ends_at - loop.time()))
        return [View(info, reports.get(info.name)) for info in node.brokers]
