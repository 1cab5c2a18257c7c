"""ZeroMQ's Dialer (turn/ports.py): a Dealer for each broker, and which of them have something to tell.

The descriptor of a ZeroMQ socket is edge-triggered, and any call on the socket may consume the edge. So a socket that
was read or written is looked after: it is asked whether there is more.
"""

from collections.abc import Iterable
from typing import Protocol

import zmq

from braidmq.core.intake import WAITING_BYTES_MAX
from braidmq.core.links.link import Failure, Open, Step
from braidmq.host.loggers import own_logger
from braidmq.settings import Settings
from braidmq.zeromq.dealer import ConnectError, Dealer, Identity
from braidmq.zeromq.sockets import FRAMES_MAX

_LOG = own_logger("braidmq.connections")


class Watcher(Protocol):
    """The event loop around. It calls Dialer.mark_readable and Dialer.mark_stirred, and sees to a turn after it."""

    def watch(self, dealer: Dealer) -> None:
        """Wait for both descriptors of a dealer from now on. Both may have told of something already."""

    def unwatch(self, dealer: Dealer) -> None:
        """Wait for them no more."""

    def read_on(self, dealer: Dealer) -> None:
        """Let a dealer be read soon: it has more."""

    def retry(self, dealer: Dealer) -> None:
        """Let a dealer be flushed after a moment: its pipe was full."""


class Dialer:
    """See turn/ports.py.

    Args:
        context: makes the sockets.
        dealers: where the connections are kept, by the name of the broker.
        settings: see Settings.
        identity: the key pair of all connections.
        watcher: the event loop.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        dealers: dict[str, Dealer],
        settings: Settings,
        identity: Identity,
        watcher: Watcher,
    ) -> None:
        self._context = context
        self._dealers = dealers
        self._settings = settings
        self._identity = identity
        self._watcher = watcher
        self._readable: dict[Dealer, None] = {}
        self._stirred: dict[Dealer, None] = {}
        self._used: dict[Dealer, None] = {}
        self._blocked: dict[Dealer, None] = {}
        self._unread: dict[str, int] = {}

    # -- for the event loop

    def mark_readable(self, dealer: Dealer) -> None:
        """Let the next `frames` read a dealer."""
        self._readable[dealer] = None

    def mark_stirred(self, dealer: Dealer) -> None:
        """Let the next `news` look what has happened to a dealer's connection."""
        self._stirred[dealer] = None

    # -- for the turn

    def open(self, action: Open) -> Failure | None:
        """See turn/ports.py."""
        try:
            dealer = Dealer(self._context, self._settings, self._identity, action)
        except ConnectError as error:
            _LOG.debug("%s at %s: %s", action.name, action.endpoint, error)
            return error.failure
        self._dealers[action.name] = dealer
        self._watcher.watch(dealer)
        return None

    def close(self, name: str, linger_s: float = 0.0) -> list[bytes]:
        """See turn/ports.py. What was sent may leave within `linger_s`."""
        dealer = self._dealers.pop(name, None)
        if dealer is None:
            return []
        self._watcher.unwatch(dealer)
        for marked in (self._readable, self._stirred, self._used, self._blocked):
            marked.pop(dealer, None)
        self._unread.pop(name, None)
        return dealer.close(linger_s)

    def close_all(self) -> None:
        """Close all connections."""
        for name in list(self._dealers):
            self.close(name)

    def send(self, name: str, messages: list[bytes]) -> None:
        """See turn/ports.py."""
        dealer = self._dealers.get(name)
        if dealer is not None:
            dealer.send(messages)
            self._used[dealer] = None

    def flush(self) -> None:
        """See turn/ports.py."""
        if self._blocked:
            blocked, self._blocked = self._blocked, {}
            for dealer in blocked:
                dealer.flush()
            self._used.update(blocked)

    def news(self) -> list[tuple[str, Step | Failure]]:
        """See turn/ports.py."""
        if not self._stirred:
            return []
        stirred, self._stirred = self._stirred, {}
        found: list[tuple[str, Step | Failure]] = []
        for dealer in stirred:
            for event in dealer.events():
                found.append((dealer.name, event))
                if isinstance(event, Failure):
                    break
        return found

    def frames(self, *, until_empty: bool = False) -> list[tuple[str, bytes]]:
        """See turn/ports.py."""
        found: list[tuple[str, bytes]] = []
        readable, self._readable = self._readable, {}
        for dealer in readable:
            name, before = dealer.name, dealer.unread
            if until_empty:
                found += self._drained(dealer)
            else:
                for frame in dealer.receive():
                    found.append((name, frame))
            if dealer.unread != before:
                self._unread[name] = dealer.unread
            self._used[dealer] = None
        return found

    def last_frames(self, name: str) -> list[tuple[str, bytes]]:
        """See turn/ports.py."""
        return self._drained(self._dealers[name])

    def unread(self) -> Iterable[tuple[str, int]]:
        """See turn/ports.py."""
        if not self._unread:
            return ()
        unread, self._unread = self._unread, {}
        return unread.items()

    def look_after(self) -> list[tuple[str, Failure]]:
        """See turn/ports.py."""
        if not self._used:
            return []
        used, self._used = self._used, {}
        given_up: list[tuple[str, Failure]] = []
        for dealer in used:
            if dealer.overflowed or dealer.flooded:
                given_up.append((dealer.name, Failure.FLOODED if dealer.flooded else Failure.TOO_SLOW))
                continue
            if dealer.blocked:
                self._blocked[dealer] = None
                self._watcher.retry(dealer)
            if dealer.has_more():
                self._watcher.read_on(dealer)
        return given_up

    def look_closer(self, name: str | None = None) -> None:
        """See turn/ports.py."""
        dealers = self._dealers.values() if name is None else [self._dealers[name]] if name in self._dealers else ()
        for dealer in dealers:
            self._readable[dealer] = self._stirred[dealer] = None

    def _drained(self, dealer: Dealer) -> list[tuple[str, bytes]]:
        """Return what has arrived, at most FRAMES_MAX frames, and not as many bytes as would be taken for a flood."""
        found: list[tuple[str, bytes]] = []
        size = 0
        while len(found) < FRAMES_MAX and size < WAITING_BYTES_MAX // 2 and dealer.has_more():
            for frame in dealer.receive():
                found.append((dealer.name, frame))
                size += len(frame)
        return found
