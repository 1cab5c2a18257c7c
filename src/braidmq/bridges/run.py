"""Runs bridges until a signal; then they drain."""

import asyncio
import contextlib
from collections.abc import Sequence

from braidmq.bridges.kinds import Bridge
from braidmq.host.loggers import own_logger
from braidmq.host.loop_notify import LoopNotifier
from braidmq.host.loop_signals import LoopSignals

_LOG = own_logger("braidmq.bridge")


async def run_until_signal(bridges: Sequence[Bridge]) -> None:
    """Run bridges in this process until SIGINT or SIGTERM comes, and let them drain. A second signal ends it at once.

    Raises:
        BraidError: one of them cannot start; those that had are closed.
    """
    leaving = asyncio.Event()
    with (
        LoopNotifier(lambda: "; ".join(bridge.told() for bridge in bridges)) as manager,
        LoopSignals(leaving, on_first=lambda: _LOG.info("the bridges are draining")),
    ):
        async with contextlib.AsyncExitStack() as ends:
            for bridge in bridges:
                await bridge.start()
                ends.push_async_callback(bridge.close)
                _LOG.info("%s", bridge.told())
            manager.ready()
            await leaving.wait()
            manager.stopping()
            await asyncio.gather(*(bridge.drain() for bridge in bridges))
    _LOG.info("all bridges have ended")
