"""A carrier in memory, for brokers and nodes that share a thread: the Dialer and Listener of turn/ports.py.

A connection comes about at once, nothing is lost on its way, and no reader is too slow. What has come waits until its
process has a turn, and `wake` is called when something begins to wait. So whoever gives the turns decides what happens
first, and that is all that does: the same turns bring about the same messages.
"""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from braidmq.core.links.link import Failure, Open, Step
from braidmq.wire.bundle import join
from braidmq.wire.limits import ROUTE_BYTES

FIRST_ROUTE: Final = 1 << 8 * (ROUTE_BYTES - 1)
"""Routes are counted from here on, as the first byte of a route is never 0."""


class Connection:
    """One connection to a broker, and what was sent over it and not read yet.

    Attributes:
        broker: the name by which the dialer knows the broker.
        principal: the key of the dialer's process.
        route: what stands for it at the listener; empty if it did not come about.
        outward: frames for the broker.
        inward: frames from it.
        dialer: its one end.
        listener: its other end; None if nothing listens there.
    """

    __slots__ = ("broker", "dialer", "inward", "listener", "outward", "principal", "route")

    def __init__(self, dialer: "MemoryDialer", broker: str, principal: str) -> None:
        self.dialer = dialer
        self.broker = broker
        self.principal = principal
        self.listener: MemoryListener | None = None
        self.route = b""
        self.outward: deque[bytes] = deque()
        self.inward: deque[bytes] = deque()


class MemoryListener:
    """The connections that others have made to a broker.

    Args:
        wake: is called when the broker has something to read.
        admits: whether a key may connect.
    """

    def __init__(self, wake: Callable[[], None], admits: Callable[[str], bool] = lambda _principal: True) -> None:
        self._wake = wake
        self._admits = admits
        self._routes = FIRST_ROUTE
        self._connections: dict[bytes, Connection] = {}
        self._readable: dict[Connection, None] = {}
        self._ended: list[bytes] = []
        self._gone: list[tuple[bytes, list[bytes]]] = []

    def principal(self, route: bytes) -> str:
        """Return whose connection this is; empty if it has ended."""
        connection = self._connections.get(route)
        return "" if connection is None else connection.principal

    def frames(self, now: float) -> Iterator[tuple[bytes, str, bytes]]:
        """Yield all that has come: the route, the principal of its key, and the frame."""
        del now
        readable, self._readable = self._readable, {}
        for connection in readable:
            frames = connection.outward
            while frames:
                yield connection.route, connection.principal, frames.popleft()

    def breaches(self) -> tuple[()]:
        """Return nothing: there is nobody here who could send what is no frame."""
        return ()

    def send(self, sends: dict[bytes, list[bytes]]) -> tuple[()]:
        """Send messages to routes as bundles. Those to whom nothing can be sent come out of `take_gone`."""
        for route, messages in sends.items():
            connection = self._connections.get(route)
            if connection is None:
                self._gone.append((route, messages))
                continue
            for frame, _ in join(messages):
                connection.inward.append(frame)
            connection.dialer.on_arrival(connection)
        return ()

    def cut(self, route: bytes) -> None:
        """End a connection; its owner reads what was sent over it."""
        connection = self._connections.pop(route, None)
        if connection is not None:
            connection.dialer.on_failed(connection, Failure.CLOSED)

    def flush(self, now: float) -> None:
        """Note who has ended, now that all that they have said was read."""
        del now
        self._gone.extend((route, []) for route in self._ended)
        self._ended.clear()

    def take_gone(self, now: float) -> list[tuple[bytes, list[bytes]]]:
        """Return the routes that have ended, each with the messages that certainly never left."""
        del now
        gone, self._gone = self._gone, []
        return gone

    def next_deadline(self) -> None:
        """Return None: whatever happens here wakes the broker."""

    def close(self) -> None:
        """End all connections: the broker ends, or is killed."""
        for route in list(self._connections):
            self.cut(route)

    # -- for dialers

    def attach(self, connection: Connection) -> bool:
        """Take a connection in; False if its key is not admitted."""
        if not self._admits(connection.principal):
            return False
        connection.route = self._routes.to_bytes(ROUTE_BYTES)
        connection.listener = self
        self._routes += 1
        self._connections[connection.route] = connection
        return True

    def on_arrival(self, connection: Connection) -> None:
        """Note that a connection has something to read."""
        if connection.route in self._connections:
            self._readable[connection] = None
            self._wake()

    def on_end(self, connection: Connection) -> None:
        """Note that the owner of a connection has ended it."""
        if self._connections.pop(connection.route, None) is not None:
            self._ended.append(connection.route)
            self._wake()


class MemoryDialer:
    """The connections that a process has made.

    Args:
        listeners: the brokers that listen now, by endpoint.
        principal: the key of the process.
        wake: is called when the process has something to read.
    """

    def __init__(self, listeners: dict[str, MemoryListener], principal: str, wake: Callable[[], None]) -> None:
        self._listeners = listeners
        self._principal = principal
        self._wake = wake
        self._connections: dict[str, Connection] = {}
        self._readable: dict[Connection, None] = {}
        self._news: list[tuple[Connection, Step | Failure]] = []

    def open(self, action: Open) -> None:
        """Connect to whoever listens at an endpoint; what comes of it is told by `news`."""
        connection = self._connections[action.name] = Connection(self, action.name, self._principal)
        listener = self._listeners.get(action.endpoint)
        if listener is None:
            self._tell(connection, Failure.UNREACHABLE)
        elif listener.attach(connection):
            self._tell(connection, Step.GREETED)
        else:
            self._tell(connection, Failure.NOT_REGISTERED)

    def close(self, name: str) -> list[bytes]:
        """End the connection to a broker, if there is one. What was sent over it has left."""
        connection = self._connections.pop(name, None)
        if connection is not None:
            self._readable.pop(connection, None)
            if connection.listener is not None:
                connection.listener.on_end(connection)
        return []

    def close_all(self) -> None:
        """End all connections: the process ends, or is killed."""
        for name in list(self._connections):
            self.close(name)

    def send(self, name: str, messages: list[bytes]) -> tuple[()]:
        """Send messages as bundles, if there is a connection."""
        connection = self._connections.get(name)
        if connection is not None and connection.listener is not None:
            for frame, _ in join(messages):
                connection.outward.append(frame)
            connection.listener.on_arrival(connection)
        return ()

    def has_arrived(self, name: str) -> bool:
        """Return that it is not known: nobody hangs here."""
        return False

    def flush(self) -> None:
        """Do nothing: no message waits on this side."""

    def news(self) -> Iterator[tuple[str, Step | Failure]]:
        """Yield the brokers whose connections have come about or have ended."""
        news, self._news = self._news, []
        for connection, what in news:
            if self._connections.get(connection.broker) is not connection:
                continue
            if isinstance(what, Failure) and connection.inward:
                self._tell(connection, what)  # behind what has come before
            else:
                yield connection.broker, what

    def frames(self, *, until_empty: bool = False) -> Iterator[tuple[str, bytes]]:
        """Yield all that has come, with the broker that it came from."""
        del until_empty
        readable, self._readable = self._readable, {}
        for connection in readable:
            frames = connection.inward
            while frames:
                yield connection.broker, frames.popleft()

    def unread(self) -> tuple[()]:
        """Return nothing: all that has come is read in each turn."""
        return ()

    def look_after(self) -> tuple[()]:
        """Return nothing: too much never waits."""
        return ()

    def look_closer(self, name: str | None = None) -> None:
        """Do nothing: `news` and `frames` know of everything."""

    # -- for listeners

    def on_arrival(self, connection: Connection) -> None:
        """Note that a connection has something to read."""
        if self._connections.get(connection.broker) is connection:
            self._readable[connection] = None
            self._wake()

    def on_failed(self, connection: Connection, failure: Failure) -> None:
        """Note that the broker has ended a connection."""
        if self._connections.get(connection.broker) is connection:
            self._tell(connection, failure)

    def _tell(self, connection: Connection, what: Step | Failure) -> None:
        self._news.append((connection, what))
        self._wake()


class MemoryHost:
    """What cores need of the process around them, as far as there is nothing to say: addresses are known at once."""

    def __init__(self) -> None:
        self._looked_up: list[tuple[str, list[str]]] = []

    def look_up(self, name: str, endpoints: tuple[str, ...]) -> None:
        """Know the addresses: they are the endpoints."""
        self._looked_up.append((name, list(endpoints)))

    def looked_up(self) -> list[tuple[str, list[str]]]:
        """Return the brokers whose addresses are known now."""
        found, self._looked_up = self._looked_up, []
        return found

    def on_stall(self, stalled_s: float) -> None:
        """Do nothing: the core knows what it means."""
