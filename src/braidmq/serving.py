"""Serves as long as its process is to: a node runs until a signal comes, or until its supervisor lets go of it."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Any, Final, Protocol

from braidmq.host.lifeline import Lifeline
from braidmq.host.loggers import own_logger
from braidmq.host.loop_notify import LoopNotifier
from braidmq.host.loop_signals import LoopSignals
from braidmq.settings import Settings

CONNECTED_S_MAX: Final = 2.0
"""How long a supervised node waits for its brokers before it says that it is ready: those that are there answer within
milliseconds, and it must not wait for one that is down."""

_LOG = own_logger("braidmq.node")


class Served(Protocol):
    """What is served: a node."""

    settings: Settings

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def services(self) -> tuple[str, ...]:
        """What it provides."""

    @property
    def brokers(self) -> list[Any]:
        """The brokers that it knows."""

    async def settled(self, timeout: float) -> None:  # noqa: ASYNC109 - it is the wait's bound
        """Wait until every broker is up or has failed."""

    async def __aenter__(self) -> Any: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


async def serve(
    node: Served,
    leaving: asyncio.Event,
    before_the_end: Callable[[], Awaitable[None]] | None = None,
    lifeline: Lifeline | None = None,
) -> None:
    """Serve until a signal comes, or the lifeline ends, or the node leaves by itself; then drain and end.

    A second signal ends the process at once. That of a supervised process gets a signal of its own where its
    supervisor got one, as systemd sends one to all: so the end of the lifeline counts as no signal.

    Args:
        node: it is not started yet.
        leaving: set when it is to drain, by whoever.
        before_the_end: awaited before a second signal ends the process.
        lifeline: that of a supervised process.
    """

    def drain() -> None:
        if not leaving.is_set():
            _LOG.info("%s is draining", node.name)
            leaving.set()

    signalled = leaving if lifeline is None else asyncio.Event()
    with (
        LoopNotifier(partial(_status, node), lifeline) as manager,
        LoopSignals(signalled, on_first=drain, before_the_end=before_the_end),
    ):
        async with node:
            _LOG.info("%s serves %s", node.name, ", ".join(node.services))
            if not node.brokers:
                _LOG.warning("the join file of %s names no broker: add one, and copy the file again", node.name)
            if lifeline is not None:
                lifeline.hold(partial(_soon, asyncio.get_running_loop(), drain), node.settings.drain_s)
                await node.settled(CONNECTED_S_MAX)
                lifeline.ready()
            manager.ready()
            await leaving.wait()
            manager.stopping()
    _LOG.info("%s has ended", node.name)


def _status(node: Served) -> str:
    """Return in a few words how a node is connected."""
    states = [broker.state for broker in node.brokers]
    return f"{node.name}: {states.count('up')} of {len(states)} brokers connected, serves {', '.join(node.services)}"


def _soon(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    """Call it in the loop, from a thread."""
    with suppress(RuntimeError):  # the loop has ended, and the process is about to
        loop.call_soon_threadsafe(call)
