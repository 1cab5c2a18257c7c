"""The simulated network's Listener (turn/ports.py): who is connected to a broker, and what full pipes did not take.

Whoever is gone is noticed when something is sent to it, or some time after its end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from braidmq.core.links.link import Failure
from braidmq.lab.simulation.network import Connection, Network
from braidmq.turn.unsent import Unsent
from braidmq.wire.bundle import join

if TYPE_CHECKING:
    from braidmq.lab.simulation.process import Process

MONITOR_S_MAX: Final = 0.02
"""How long after a connection's end a busy loop may hear of it: its routing id may have a new owner by then."""


class Routes:
    """The connections that others have made to a broker.

    Args:
        refusal: says why a key is not let in, as its holder sees it; None if it is let in.
        outbox_bytes_max: what may wait for a peer that reads too slowly.
    """

    def __init__(
        self, process: Process, network: Network, refusal: Callable[[str], Failure | None], *, outbox_bytes_max: int
    ) -> None:
        self.process = process
        self.refusal = refusal
        self._network = network
        self._outbox_bytes_max = outbox_bytes_max
        self._rng = network.world.chance(f"monitor of {process.name}")
        self._connections: dict[bytes, Connection] = {}
        self._backlogs: dict[bytes, Unsent] = {}
        self._readable: dict[Connection, None] = {}
        self._ended: list[Connection] = []
        self._gone: list[tuple[bytes, list[bytes]]] = []

    def attach(self, connection: Connection) -> bool:
        """Take a connection in; False if its routing id is in use."""
        if connection.route in self._connections:
            return False
        self._connections[connection.route] = connection
        return True

    def frames(self, now: float) -> Iterator[tuple[bytes, str, bytes]]:
        """Yield what has arrived: the route, the principal of its key, and the frame."""
        del now
        readable, self._readable = self._readable, {}
        for connection in readable:
            for frame in self._network.take(connection, connection.outward):
                yield connection.route, connection.principal, frame
            if connection.outward.arrived:
                self.on_arrival(connection)

    def send(self, sends: dict[bytes, list[bytes]]) -> tuple[()]:
        """Send messages to routes as bundles, and drop none. Who turns out to be gone comes out of `take_gone`."""
        for route, messages in sends.items():
            waiting = self._backlogs.get(route)
            if waiting is None:
                self._send(route, messages)
            else:
                waiting.add(messages)
                if waiting.bytes > self._outbox_bytes_max:
                    self._disconnect(route)
        return ()

    def principal_of(self, route: bytes) -> str:
        """Return the principal at the other end of a connection; empty for nobody."""
        connection = self._connections.get(route)
        return "" if connection is None else connection.principal

    def breaches(self) -> tuple[()]:
        """Return nothing: the network carries frames, each of which is a message."""
        return ()

    def next_deadline(self) -> None:
        """Return None: whatever happens here wakes the process."""

    def flush(self, now: float) -> None:
        """Try the full pipes again, and look who is said to be gone."""
        del now
        backlogs, self._backlogs = self._backlogs, {}
        for route, backlog in backlogs.items():
            self._send(route, backlog.take())
        ended, self._ended = self._ended, []
        for connection in ended:
            if self._connections.get(connection.route) in (None, connection):
                self._gone.append((connection.route, []))

    def take_gone(self, now: float) -> list[tuple[bytes, list[bytes]]]:
        """Return the routes that are gone, each with the messages that certainly did not reach its pipe."""
        del now
        gone, self._gone = self._gone, []
        return gone

    def close_all(self, *, lossless: bool) -> None:
        """End all connections: this broker ends."""
        for connection in list(self._connections.values()):
            self._network.close(connection, by_dealer=False, lossless=lossless)
        self._connections.clear()
        self._backlogs.clear()
        self._readable.clear()
        self._ended.clear()
        self._gone.clear()

    def review(self) -> None:
        """Cut those who would not be let in any more."""
        for route, connection in list(self._connections.items()):
            if self.refusal(connection.principal) is not None:
                self.cut(route)

    def cut(self, route: bytes) -> None:
        """End a connection, behind all that was sent over it."""
        self._backlogs.pop(route, None)
        connection = self._connections.pop(route, None)
        if connection is not None:
            self._network.close(connection, by_dealer=False, lossless=True)

    # -- for the network

    def on_end(self, connection: Connection) -> None:
        """Note that a connection has ended: its routing id is free, and a moment later the monitor says so."""
        if self._connections.get(connection.route) is not connection:
            return
        del self._connections[connection.route]

        def say() -> None:
            self._ended.append(connection)

        self.process.later(self._rng.uniform(0.0, MONITOR_S_MAX), say)

    def on_arrival(self, connection: Connection) -> None:
        """Note that a frame can be read, unless it was for an earlier life of this broker."""
        if self._connections.get(connection.route) is connection:
            self._readable[connection] = None
            self.process.wake()

    # -- inner

    def _send(self, route: bytes, messages: list[bytes]) -> None:
        connection = self._connections.get(route)
        if connection is None:
            self._gone.append((route, messages))
            return
        sent = 0
        for bundle, count in join(messages):
            if not self._network.send(connection, connection.inward, bundle):
                self._backlogs[route] = Unsent(messages[sent:])
                return
            sent += count

    def _disconnect(self, route: bytes) -> None:
        self._gone.append((route, self._backlogs.pop(route).take()))
