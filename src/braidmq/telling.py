"""What a node's shell tells of the process around it: its observer, and the log."""

from collections.abc import Callable, Iterable
from typing import Final

from braidmq.carrier.node_loop import NodeLoop
from braidmq.host.contained_observer import hears
from braidmq.host.loop_watch import LOOK_S, LoopWatch
from braidmq.host.stalls import Stalls

BLOCKED_S: Final = 0.1
"""For how long a handler may have the event loop for itself before it is named: brokers and callers hear nothing of the
node meanwhile, and all its other requests wait. What computes or waits longer belongs in a thread."""


class Telling:
    """Watches the event loop of a node while handlers run on it, and always if the node's observer hears of its lag.

    Make it and use it in that loop: `begin`, then `stir` as a handler begins, and `end`.

    Args:
        loop: the node's.

    Attributes:
        stalls: is told by others when handlers end.
    """

    def __init__(self, loop: NodeLoop) -> None:
        self.stalls = Stalls()
        self._loop = loop
        self._observer = loop.observer
        self._lag_heard = loop.observer is not None and hears(loop.observer, "on_lag")
        self._on_the_loop: Callable[[], Iterable[str]] = tuple
        self._watch = LoopWatch(self._on_look, self._is_wanted)
        self.stir = self._watch.stir
        self._ended = False

    def begin(self, on_the_loop: Callable[[], Iterable[str]]) -> None:
        """Watch from now on.

        Args:
            on_the_loop: returns the services whose handlers run on the event loop.
        """
        self._on_the_loop = on_the_loop
        if self._lag_heard:
            self._watch.stir()

    def end(self) -> None:
        """Tell that the node has ended, and nothing more."""
        if self._ended:
            return
        self._ended = True
        self._watch.end()
        if self._observer is not None:
            self._observer.on_closed(self._loop.clock())

    def on_stall(self, stalled_s: float) -> None:
        """Tell of a standstill that the node has noticed by itself, whoever has caused it."""
        now = self._loop.clock()
        self._tell(stalled_s, self.stalls.suspects(stalled_s, self._on_the_loop(), now), now)

    def _is_wanted(self) -> bool:
        return self._lag_heard or any(self._on_the_loop())

    def _on_look(self, late_s: float, away_s: float) -> None:
        now = self._loop.clock()
        if self._observer is not None:
            self._observer.on_lag(late_s, now)
        if late_s - away_s >= BLOCKED_S - LOOK_S:
            suspects = self.stalls.suspects(late_s, self._on_the_loop(), now)
            if suspects:
                self._tell(late_s, suspects, now)

    def _tell(self, stalled_s: float, suspects: tuple[str, ...], now: float) -> None:
        name = self._loop.papers.certificate.name
        if self.stalls.on_stall(name, stalled_s, suspects, now) and self._observer is not None:
            self._observer.on_stall(suspects, stalled_s, now)
