"""What a broker's thread waits for: its members, who gets in, its connections to other brokers, and other threads."""

import math
from collections.abc import Callable
from socket import socket

from braidmq.host.clock import monotonic
from braidmq.turn.broker import BrokerTurn
from braidmq.zeromq.dealer import Dealer
from braidmq.zeromq.dialer import Dialer
from braidmq.zeromq.poller import Poller
from braidmq.zeromq.router import Router
from braidmq.zeromq.zap import ZapHandler


class BrokerSockets:
    """Lets a broker have its turns when a socket tells of something, and when they are due. It is its dialer's Watcher.

    Attributes:
        due: when the next turn is due; whoever has given the core something to do sets it to the present.

    Args:
        router: the connections of its members.
        zap: decides who gets in.
        wake: can be read when another thread wants `on_wake` to be called.
        on_wake: is called with the time before the turn.
    """

    def __init__(self, router: Router, zap: ZapHandler, wake: socket, on_wake: Callable[[float], object]) -> None:
        self.due = -math.inf
        self._router = router
        self._zap = zap
        self._wake = wake
        self._on_wake = on_wake
        self._poller = Poller()
        self._dealers: dict[int, Dealer] = {}
        self._router_fd = router.fileno()
        self._monitor_fd = router.monitor.fileno()
        self._zap_fd: int = zap.fileno()
        self._wake_fd = wake.fileno()
        for descriptor in (self._router_fd, self._monitor_fd, self._zap_fd, self._wake_fd):
            self._poller.register(descriptor)
        for descriptor in (self._router_fd, self._monitor_fd, self._zap_fd):
            self._poller.mark_ready(descriptor)  # what has come meanwhile has told of itself already

    def serve(self, turn: BrokerTurn, dialer: Dialer, until: float, *, once: bool = False) -> float:
        """Serve until a time, or another thread has wanted something, or for one turn; return what time it is."""
        poller, router, router_fd = self._poller, self._router, self._router_fd
        while True:
            due = self.due if self.due < until else until
            ready = poller.wait(0 if poller.has_ready else max(0, int((due - monotonic()) * 1000) + 1))
            now = monotonic()
            router.readable = router_fd in ready
            ready.discard(router_fd)
            router.until_empty = bool(ready)
            if ready and self._serve_others(ready, dialer, now):
                once = True
            self.due = turn.run(now)
            if router.has_more():
                poller.mark_ready(router_fd)
            if once or now >= until:
                return now

    def _serve_others(self, ready: set[int], dialer: Dialer, now: float) -> bool:
        """Serve what is ready besides the members' connections; return whether another thread has wanted something."""
        poller = self._poller
        if self._zap_fd in ready and self._zap.answer():
            poller.mark_ready(self._zap_fd)
        if self._monitor_fd in ready and self._router.on_monitor(now):
            poller.mark_ready(self._monitor_fd)
        if self._wake_fd in ready:
            self._wake.recv(64)
            self._on_wake(now)
        for descriptor in ready:
            dealer = self._dealers.get(descriptor)
            if dealer is None:
                continue
            if descriptor == dealer.fileno():
                dialer.mark_readable(dealer)
            else:
                dialer.mark_stirred(dealer)
        return self._wake_fd in ready

    # -- for the dialer (see Watcher)

    def watch(self, dealer: Dealer) -> None:
        """Wait for both descriptors of a dealer from now on."""
        for descriptor in (dealer.fileno(), dealer.monitor.fileno()):
            self._dealers[descriptor] = dealer
            self._poller.register(descriptor)
            self._poller.mark_ready(descriptor)  # what has come meanwhile has told of itself already

    def unwatch(self, dealer: Dealer) -> None:
        """Wait for them no more."""
        for descriptor in (dealer.fileno(), dealer.monitor.fileno()):
            self._poller.unregister(descriptor)
            del self._dealers[descriptor]

    def read_on(self, dealer: Dealer) -> None:
        """Let a dealer be read in the next turn, which is now."""
        self._poller.mark_ready(dealer.fileno())

    def retry(self, dealer: Dealer) -> None:
        """Do nothing: a broker says something often enough, and each turn flushes."""
