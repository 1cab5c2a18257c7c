"""A connection to a broker from a thread that has no event loop: it is served by whoever waits for its outcome."""

import select
from contextlib import suppress
from socket import socket

from braidmq.carrier.dialed import Broker
from braidmq.carrier.dialer import Dialer
from braidmq.core.links.link import Failure, Open, Step
from braidmq.settings import Settings
from braidmq.zmtp.handshake import KeyPair


class Asking:
    """One connection; end it with `close`. It is its own dialer's Watcher.

    Args:
        settings: see Settings.
        pair: the keys that it is made with.
        target: the broker.
        over: a socket that is connected to it already, and not blocking; if None, one is made.
        net: the broker's net; empty if that is not known.

    Attributes:
        failure: why it could not be made or has ended.
        reached: whether something takes connections there.
        greeted: whether the broker has let it in.
        frames: what has come; whoever reads it clears it.
    """

    def __init__(
        self, settings: Settings, pair: KeyPair, target: Open, over: socket | None = None, net: str = ""
    ) -> None:
        self.failure: Failure | None = None
        self.reached = False
        self.greeted = False
        self.frames: list[bytes] = []
        self._brokers: dict[str, Broker] = {}
        self._poll = select.poll()
        self._name = target.name
        self._dialer = Dialer(self._brokers, settings, pair, self, net=net)
        self.failure = self._dialer.open(target) if over is None else self._dialer.open_over(over, target)

    def serve(self, timeout_s: float) -> None:
        """Wait for at most `timeout_s` for something to happen, and handle it."""
        if self._poll.poll(timeout_s * 1000.0):
            self._dialer.mark(self._brokers[self._name])
        for _name, what in self._dialer.news():
            self.reached = self.reached or not isinstance(what, Failure)
            if isinstance(what, Failure):
                self.failure = what
            elif what is Step.GREETED:
                self.greeted = True
        self.frames += [frame for _name, frame in self._dialer.frames()]
        self._dialer.flush()
        self._dialer.look_after()

    def send(self, message: bytes) -> None:
        """Send a message."""
        self._dialer.send(self._name, [message])

    def close(self) -> None:
        """End it."""
        self._dialer.close(self._name)

    # -- for the dialer (see Watcher)

    def watch(self, broker: Broker) -> None:
        """Wait from now on until it can be read."""
        self._poll.register(broker.descriptor, select.POLLIN)

    def watch_writing(self, broker: Broker, *, wanted: bool) -> None:
        """Wait until it can be written as well, or no longer."""
        self._poll.modify(broker.descriptor, select.POLLIN | select.POLLOUT if wanted else select.POLLIN)

    def unwatch(self, broker: Broker) -> None:
        """Wait for it no more, if it is waited for."""
        with suppress(KeyError):
            self._poll.unregister(broker.descriptor)
