"""The members that calls are made by: one node for each, in the gateway's event loop."""

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path

from braidmq.errors import NodeClosed
from braidmq.host.loggers import own_logger
from braidmq.node import Node

_LOG = own_logger("braidmq.bridge")


class Members:
    """The nodes by the join files of their members; "" is the gateway's own.

    Args:
        own: the gateway's own node, not started.
        make: makes another one of a join file.
    """

    def __init__(self, own: Node, make: Callable[[Path], Node]) -> None:
        self._own = own
        self._make = make
        self._nodes = {"": own}
        self._closing: set[asyncio.Task[None]] = set()

    def node(self, join: str) -> Node:
        """Return a member's node. Raises NodeClosed if there is none any more."""
        try:
            return self._nodes[join]
        except KeyError:
            raise NodeClosed("this member is none of the gateway's any more") from None

    @property
    def readiness(self) -> str:
        """Why calls have no chance: the gateway's own node has no broker; nothing if it has one."""
        brokers = self._own.brokers
        if any(broker.state == "up" for broker in brokers):
            return ""
        return "no broker is up: " + ("; ".join(f"{each.name} is {each.state}" for each in brokers) or "none is known")

    async def start(self, joins: Iterable[str]) -> None:
        """Start the gateway's own node, and one for each of `joins`. Raises what a node's `start` raises."""
        await self._own.start()
        try:
            await self.extend(joins)
        except BaseException:
            await self.close()
            raise

    async def extend(self, joins: Iterable[str]) -> None:
        """Start nodes for those of `joins` that have none. If one cannot start, all stays as it was.

        Raises:
            BraidError: what a node's `start` raises, or its join file is wrong.
        """
        added: dict[str, Node] = {}
        try:
            for join in joins:
                if join not in self._nodes and join not in added:
                    added[join] = self._make(Path(join))
                    await added[join].start()
        except BaseException:
            for node in added.values():
                await node.close()
            raise
        self._nodes.update(added)

    def restrict(self, joins: set[str]) -> None:
        """Let the nodes of all others drain and end, by themselves."""
        for join in [join for join in self._nodes if join and join not in joins]:
            self._end(self._nodes.pop(join))

    def _end(self, node: Node) -> None:
        task = node.begin_closing()
        if task is not None:
            _LOG.info("%s is no member of the gateway's any more", node.name)
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Let all nodes drain and end."""
        await asyncio.gather(*(node.close() for node in self._nodes.values()), *self._closing)

    def end_now(self) -> None:
        """End all nodes without a drain."""
        for node in self._nodes.values():
            node.end_now()
