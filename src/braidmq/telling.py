"""What a node's shell tells of the process around it: its observer, and the log."""

from braidmq.carrier.node_loop import NodeLoop
from braidmq.host.loop_watch import LoopWatch
from braidmq.observer import NodeObserver


class Telling:
    """Watches the event loop of a node that has an observer, and tells that of the node's end.

    Args:
        observer: whom to tell; it never raises.
        loop: the node's.
    """

    def __init__(self, observer: NodeObserver, loop: NodeLoop) -> None:
        self._observer = observer
        self._loop = loop
        self._ended = False
        self._watch = LoopWatch(self._on_late)
        self._watch.begin()

    def end(self) -> None:
        """Tell that the node has ended, and nothing more."""
        if self._ended:
            return
        self._ended = True
        self._watch.end()
        self._observer.on_closed(self._loop.clock())

    def _on_late(self, late_s: float) -> None:
        self._observer.on_lag(late_s, self._loop.clock())
