"""Handlers that block the event loop: it stands still meanwhile, and nobody hears of the node."""

from collections.abc import Container, Iterable
from typing import Final

from braidmq.host.loggers import own_logger

TELL_S: Final = 10.0
"""How often a standstill of the same suspects is told, at most."""

KEPT_S: Final = 60.0
"""How long it is remembered when a handler has ended whose service is offered no more: after a longer standstill a node
has lost its brokers anyway."""

_LOG = own_logger("braidmq.node")


class Stalls:
    """Names the services whose handlers may have blocked the event loop of a node.

    What it remembers of standstills is bounded by what fits into TELL_S: each takes some of that. `forget` keeps it
    from remembering services without end.

    Attributes:
        ended_at: when a handler of each service has ended on the event loop last; kept by whoever runs them.
    """

    def __init__(self) -> None:
        self.ended_at: dict[str, float] = {}
        self._told_at: dict[tuple[str, ...], float] = {}
        self._untold: dict[tuple[str, ...], int] = {}
        self._until = float("-inf")

    def suspects(self, stalled_s: float, under_way: Iterable[str], now: float) -> tuple[str, ...]:
        """Return the services whose handlers may have done it: those that run, and those that have ended meanwhile."""
        ended = {service for service, at in self.ended_at.items() if at >= now - stalled_s}
        return tuple(sorted({*under_way, *ended}))

    def forget(self, offered: Container[str], now: float) -> None:
        """Forget the services that are offered no more, and of which no handler has ended in the last KEPT_S."""
        for service, at in list(self.ended_at.items()):
            if service not in offered and now - at > KEPT_S:
                del self.ended_at[service]

    def on_stall(self, node: str, stalled_s: float, suspects: tuple[str, ...], now: float) -> bool:
        """Log that the event loop has stood still until now, at most each TELL_S for the same suspects.

        Args:
            node: what it is called.
            stalled_s: for how long.
            suspects: the services whose handlers may have done it.
            now: the time.

        Returns:
            Whether this is news: somebody else may have noticed the same standstill.
        """
        if now - stalled_s < self._until:
            return False
        self._until = now
        if now - self._told_at.get(suspects, float("-inf")) < TELL_S:
            self._untold[suspects] = self._untold.get(suspects, 0) + 1
            return True
        self._told_at = {each: at for each, at in self._told_at.items() if now - at < TELL_S}
        self._told_at[suspects] = now
        untold = self._untold.pop(suspects, 0)
        self._untold = {each: count for each, count in self._untold.items() if each in self._told_at}
        if suspects:
            what = f"in a handler of {' or '.join(suspects)}: what blocks belongs in a 'def' handler, or in a thread"
        else:
            what = "though no handler ran on it: something else in this process blocks it, or the machine was away"
        if untold:
            what += f" (and {untold} times more since this was told last)"
        _LOG.warning(
            "%s: the event loop stood still for %.*f s, %s", node, 1 if stalled_s >= 1.0 else 2, stalled_s, what
        )
        return True
