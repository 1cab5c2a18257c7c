"""Connections of ZeroMQ between foreign programs and a bridge of the same machine, on a bad day.

A program's socket connects by itself, again and again, and keeps what it is given until then. Within one connection
nothing is reordered; what is on its way when it ends may be lost, from some point on. The bridge learns of that end
after what has come. What a program does not read waits, up to a mark; beyond it nothing more leaves for it.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

from braidmq.bridges.port import Peer

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from braidmq.lab.simulation.world import World

RECONNECT_S: Final = 0.1
"""How often a socket tries to connect: libzmq's default."""

DELAY_S: Final = (0.00005, 0.001)
"""What a message takes on the way, at least and at most."""

HANDSHAKE: Final = 6
"""Ways that a connection takes to come about: those of TCP, and of ZMTP's greeting and READY."""

UNSENT_MAX: Final = 1_000
"""Messages that a socket keeps while it is not connected: libzmq's default. What is more is dropped."""

Frames = list[bytes]


class Door(Protocol):
    """Where a bridge listens."""

    @property
    def opens(self) -> bool:
        """Whether somebody takes connections there."""

    def on_come(self, peer: Peer, frames: Frames) -> None:
        """Note that a message has come; it is read in a turn."""

    def on_end(self, peer: Peer) -> None:
        """Note that a connection has ended, behind what has come over it."""


class Listener(Protocol):
    """Whoever holds a socket."""

    def on_arrival(self) -> None:
        """Note that something has come, or that the socket has been connected anew."""


class Line:
    """A program's socket, and its present connection.

    Attributes:
        connections: how many it has had.
        arrived: what the program has not read.

    Args:
        unread_max: what may wait for the program to read it.
    """

    def __init__(
        self, world: World, door: Door, listener: Listener, name: str, *, rng: random.Random, unread_max: int
    ) -> None:
        self.connections = 0
        self.arrived: deque[Frames] = deque()
        self._world = world
        self._door = door
        self._listener = listener
        self._name = name
        self._rng = rng
        self._unread_max = unread_max
        self._unsent: deque[Frames] = deque()
        self._peer: Peer | None = None
        self._ways: dict[bool, list[object]] = {True: [], False: []}
        self._last_at = {True: 0.0, False: 0.0}
        self._closed = False
        self._connect_after(0.0)

    @property
    def connected(self) -> bool:
        """Whether there is a connection."""
        return self._peer is not None

    # -- for the program

    def say(self, *frames: bytes) -> None:
        """Send a message, or keep it until there is a connection."""
        if self._peer is not None:
            self._send_in(self._peer, list(frames))
        elif len(self._unsent) < UNSENT_MAX:
            self._unsent.append(list(frames))

    def close(self) -> None:
        """Close the socket, for good: what has not left may be lost."""
        self._closed = True
        self.arrived.clear()
        self.break_off()

    # -- for faults

    def break_off(self) -> None:
        """End the connection, if there is one: the socket connects anew unless it is closed."""
        peer, self._peer = self._peer, None
        if peer is None:
            return
        self._lose_some(inward=True)
        self._lose_some(inward=False)
        at = max(self._last_at[True], self._world.now + self._delay())
        self._world.at(at, lambda: self._door.on_end(peer))
        if not self._closed:
            self._connect_after(RECONNECT_S)

    # -- for the bridge

    def is_of(self, peer: Peer) -> bool:
        """Whether that is its present connection."""
        return peer is self._peer

    def tell(self, peer: Peer, frames: Sequence[bytes]) -> bool:
        """Send a message to the program; return whether it has left."""
        if peer is not self._peer or len(self.arrived) >= self._unread_max:
            return False
        self._send(list(frames), inward=False, peer=peer)
        return True

    def on_bridge_end(self) -> None:
        """Note that the bridge's process has ended."""
        if self._peer is not None:
            self._peer = None
            self._ways[True].clear()
            self._lose_some(inward=False)
            self._connect_after(RECONNECT_S)

    # -- inner

    def _connect_after(self, pause_s: float) -> None:
        self._world.later(pause_s + sum(self._delay() for _ in range(HANDSHAKE)), self._connect)

    def _connect(self) -> None:
        if self._closed or self._peer is not None:
            return
        if not self._door.opens:
            self._connect_after(RECONNECT_S)
            return
        self.connections += 1
        peer = self._peer = Peer(f"{self._name}/{self.connections}".encode(), "127.0.0.1")
        self._ways = {True: [], False: []}
        self._last_at = dict.fromkeys(self._last_at, self._world.now)
        while self._unsent:
            self._send_in(peer, self._unsent.popleft())
        self._listener.on_arrival()

    def _send_in(self, peer: Peer, frames: Frames) -> None:
        self._send(frames, inward=True, peer=peer)

    def _send(self, frames: Frames, *, inward: bool, peer: Peer) -> None:
        way, passage = self._ways[inward], object()
        way.append(passage)
        at = self._last_at[inward] = max(self._last_at[inward], self._world.now + self._delay())

        def arrive() -> None:
            if passage not in way:
                return  # it was lost with its connection
            way.remove(passage)
            self._note(frames, "arrives" if inward else "is told", peer)
            if inward:
                self._door.on_come(peer, frames)
            elif not self._closed:
                self.arrived.append(frames)
                self._listener.on_arrival()

        self._world.at(at, arrive)

    def _lose_some(self, *, inward: bool) -> None:
        """Lose what is on its way, from some point on."""
        way = self._ways[inward]
        del way[self._rng.randint(0, len(way)) :]

    def _delay(self) -> float:
        return self._rng.uniform(*DELAY_S)

    def _note(self, frames: Frames, what: str, peer: Peer) -> None:
        told = " ".join(frame[:40].decode("ascii", "backslashreplace") or "-" for frame in frames)
        self._world.trace.note(
            self._world.now, f"{peer.route.decode()} {what}: {told.encode('unicode_escape').decode()}"
        )
