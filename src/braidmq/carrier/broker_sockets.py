"""What a broker's thread waits for: its members, its connections to other brokers, and other threads."""

import math
from collections.abc import Callable
from socket import socket

from braidmq.carrier.dialed import Broker
from braidmq.carrier.dialer import Dialer
from braidmq.carrier.listener import Listener
from braidmq.carrier.poller import Poller
from braidmq.host.clock import monotonic
from braidmq.turn.broker import BrokerTurn


class BrokerSockets:
    """Lets a broker have its turns when a socket tells of something, and when they are due. It is its dialer's Watcher.

    Attributes:
        due: when the next turn is due; whoever has given the core something to do sets it to the present.

    Args:
        poller: that of the thread.
        listener: the connections of its members.
        wake: can be read when another thread wants `on_wake` to be called.
        on_wake: is called with the time before the turn.
    """

    def __init__(self, poller: Poller, listener: Listener, wake: socket, on_wake: Callable[[float], object]) -> None:
        self.due = -math.inf
        self._poller = poller
        self._listener = listener
        self._wake = wake
        self._on_wake = on_wake
        self._brokers: dict[int, Broker] = {}
        self._wake_fd = wake.fileno()
        poller.register(self._wake_fd)

    def serve(self, turn: BrokerTurn, dialer: Dialer, until: float, *, once: bool = False) -> float:
        """Serve until a time, or another thread has wanted something, or for one turn; return what time it is."""
        poller, listener = self._poller, self._listener
        while True:
            due = self.due if self.due < until else until
            timeout_s = due - monotonic()
            if timeout_s < 0.0 or listener.has_more or dialer.has_more:
                timeout_s = 0.0
            ready = poller.wait(timeout_s)
            now = monotonic()
            for descriptor, only_writable in ready:
                if not listener.mark(descriptor, only_writable=only_writable):
                    once = self._serve_other(descriptor, dialer, now) or once
            self.due = turn.run(now)
            if once or now >= until:
                return now

    def _serve_other(self, descriptor: int, dialer: Dialer, now: float) -> bool:
        """Serve what is no member's; return whether another thread has wanted something."""
        if descriptor == self._wake_fd:
            self._wake.recv(64)
            self._on_wake(now)
            return True
        broker = self._brokers.get(descriptor)
        if broker is not None:
            dialer.mark(broker)
        return False

    # -- for the dialer (see Watcher)

    def watch(self, broker: Broker) -> None:
        """Wait from now on until a connection can be read."""
        self._brokers[broker.descriptor] = broker
        self._poller.register(broker.descriptor)

    def watch_writing(self, broker: Broker, *, wanted: bool) -> None:
        """Wait until it can be written as well, or no longer."""
        self._poller.watch(broker.descriptor, reading=True, writing=wanted)

    def unwatch(self, broker: Broker) -> None:
        """Wait for it no more."""
        self._poller.unregister(broker.descriptor)
        self._brokers.pop(broker.descriptor, None)
