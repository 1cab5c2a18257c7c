"""Handlers that block the event loop: it stands still meanwhile, and nobody hears of the node."""

from collections.abc import Iterable
from typing import Final

from braidmq.host.loggers import own_logger

TELL_S: Final = 10.0
"""How often a standstill is told, at most."""

_LOG = own_logger("braidmq.node")


class Stalls:
    """Names the services whose handlers may have blocked the event loop of a node.

    Attributes:
        ended_at: when a handler of each service has ended on the event loop last; kept by whoever runs them.
    """

    def __init__(self) -> None:
        self.ended_at: dict[str, float] = {}
        self._told_at = float("-inf")

    def on_stall(self, node: str, stalled_s: float, under_way: Iterable[str], now: float) -> None:
        """Log that the event loop has stood still until now, at most each TELL_S.

        Args:
            node: what it is called.
            stalled_s: for how long.
            under_way: the services whose handlers run on it.
            now: the time.
        """
        if now - self._told_at < TELL_S:
            return
        self._told_at = now
        ended = {service for service, at in self.ended_at.items() if at >= now - stalled_s}
        suspects = sorted({*under_way, *ended})
        if suspects:
            what = f"in a handler of {' or '.join(suspects)}: what blocks belongs in a 'def' handler, or in a thread"
        else:
            what = "though no handler ran on it: something else in this process blocks it, or the machine was away"
        _LOG.warning("%s: the event loop stood still for %.1f s, %s", node, stalled_s, what)
