"""The simulated network's Dialer (turn/ports.py): one connection per broker, with what a full pipe did not take."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from braidmq.core.links.link import Failure, Open, Step
from braidmq.lab.simulation.network import Connection, Network
from braidmq.turn.unsent import Unsent
from braidmq.wire.bundle import join
from braidmq.wire.limits import ROUTE_BYTES

if TYPE_CHECKING:
    from braidmq.lab.simulation.process import Process
    from braidmq.lab.simulation.routes import Routes


class Dealers:
    """The connections that a process has made.

    Args:
        find: returns the router of a broker.
        principal: the key of the process.
        outbox_bytes_max: what may wait for a broker that reads too slowly.
    """

    def __init__(
        self,
        process: Process,
        network: Network,
        find: Callable[[str], Routes],
        *,
        principal: str,
        outbox_bytes_max: int,
        rng: random.Random,
    ) -> None:
        self.process = process
        self._network = network
        self._find = find
        self._principal = principal
        self._outbox_bytes_max = outbox_bytes_max
        self._rng = rng
        self._connections: dict[str, Connection] = {}
        self._backlogs: dict[str, Unsent] = {}
        self._news: list[tuple[Connection, Step | Failure]] = []
        self._readable: dict[Connection, None] = {}

    def open(self, action: Open) -> None:
        """Begin to connect to a broker, which never fails at once here."""
        route = bytes((1 + self._rng.randrange(255),)) + self._rng.randbytes(ROUTE_BYTES - 1)
        self.open_as(action.name, route)

    def open_as(self, name: str, route: bytes) -> Connection:
        """Begin to connect to a broker under a given routing id."""
        self._backlogs[name] = Unsent()
        found = self._network.open(self, self._find(name), route, self._principal)
        self._connections[name] = found
        return found

    def close(self, name: str, *, lossless: bool = False) -> list[bytes]:
        """End the connection to a broker, if there is one; return what never left."""
        connection = self._connections.pop(name, None)
        if connection is None:
            return []
        self._readable.pop(connection, None)
        self._network.close(connection, by_dealer=True, lossless=lossless)
        return self._backlogs.pop(name).take()

    def close_all(self, *, lossless: bool = False) -> None:
        """End all connections."""
        for name in list(self._connections):
            self.close(name, lossless=lossless)

    def route(self, name: str) -> bytes | None:
        """Return the routing id of the connection to a broker, if there is one."""
        connection = self._connections.get(name)
        return None if connection is None else connection.route

    def send(self, name: str, messages: list[bytes]) -> tuple[()]:
        """Send messages as bundles; what the pipe does not take is kept for `flush`, and none is dropped."""
        connection = self._connections.get(name)
        if connection is None:
            return ()
        backlog = self._backlogs[name]
        if backlog:
            backlog.add(messages)
            return ()
        sent = 0
        for bundle, count in join(messages):
            if not self._network.send(connection, connection.outward, bundle):
                backlog.add(messages[sent:])
                break
            sent += count
        return ()

    def flush(self) -> None:
        """Send what waits."""
        for name, backlog in self._backlogs.items():
            if backlog:
                self.send(name, backlog.take())

    def has_arrived(self, name: str) -> bool:
        """Whether a broker's process has all that was sent; see turn/ports.py."""
        return False

    def look_after(self) -> list[tuple[str, Failure]]:
        """Return the brokers that read so slowly that their connections must be given up."""
        limit = self._outbox_bytes_max
        return [(name, Failure.TOO_SLOW) for name, backlog in self._backlogs.items() if backlog.bytes > limit]

    def unread(self) -> tuple[()]:
        """Return nothing: the network holds what is not read."""
        return ()

    def look_closer(self, name: str | None = None) -> None:
        """Do nothing: the network tells of everything."""

    def news(self, *, deaf: bool = False) -> Iterator[tuple[str, Step | Failure]]:
        """Yield the brokers whose connections have come about, or have ended, with the reason.

        Args:
            deaf: whether what has arrived is never read, so that ends are told all the same.
        """
        news, self._news = self._news, []
        for connection, what in news:
            name = connection.router.process.name
            if self._connections.get(name) is not connection:
                continue
            if isinstance(what, Failure) and connection.inward.arrived and not deaf:
                self._tell(connection, what)  # behind what has arrived before
            else:
                yield name, what

    def frames(self, *, until_empty: bool = False) -> Iterator[tuple[str, bytes]]:
        """Yield what has arrived, with the broker that it came from; some of it, or all."""
        readable, self._readable = self._readable, {}
        for connection in readable:
            yield from self._frames_of(connection, until_empty=until_empty)
            if connection.inward.arrived:
                self.on_arrival(connection)

    def _frames_of(self, connection: Connection, *, until_empty: bool) -> Iterator[tuple[str, bytes]]:
        """Yield what has arrived over one connection, as long as it is this process's."""
        name = connection.router.process.name
        for frame in self._network.take(connection, connection.inward, until_empty=until_empty):
            if self._connections.get(name) is not connection:
                return
            yield name, frame
            self.process.note_read(1)

    # -- for the network

    def on_open(self, connection: Connection) -> None:
        """Note that a handshake is complete."""
        self._tell(connection, Step.GREETED)

    def on_end(self, connection: Connection, failure: Failure) -> None:
        """Note that a connection did not come about, or has ended."""
        self._tell(connection, failure)

    def on_arrival(self, connection: Connection) -> None:
        """Note that a frame can be read."""
        if self._connections.get(connection.router.process.name) is connection:
            self._readable[connection] = None
            self.process.wake()

    def _tell(self, connection: Connection, what: Step | Failure) -> None:
        if self._connections.get(connection.router.process.name) is connection:
            self._news.append((connection, what))
            self.process.wake()
