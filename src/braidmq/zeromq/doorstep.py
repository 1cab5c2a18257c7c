"""The connections to a broker that libzmq has accepted: who is still at the door, and how one is cut.

libzmq keeps up to a whole message of each connection whose handshake is under way, whoever makes it. So few from one
address may stand at the door at one time, and none for long: not behind the handshake either, without a word.

The kernel gives the lowest descriptor that is free. A connection with one of the highest is one too many.
"""

import ipaddress
import resource
import socket as sockets
from collections import Counter
from collections.abc import Collection
from typing import Final

from braidmq.host.loggers import own_logger
from braidmq.zeromq.unread import FIRST_WORD_BYTES_MAX, LOOK_S, received

_LOG = own_logger("braidmq.broker")

ADDRESS_CONNECTIONS_MAX: Final = 128
"""Connections from one address that may not have said anything yet. A handshake takes a millisecond, so that many more
nodes of one host come back within seconds; each may hold a message of memory meanwhile."""

STALE_S: Final = 1.0
"""How old one of them must be to give way to a new one: far more than an honest handshake takes."""

IPV6_PREFIX: Final = 64
"""Bits of an address of IPv6 that count: the rest is its owner's choice."""

LISTENERS_GRACE_S: Final = 1.0
"""How much longer than its handshake a connection may last without a word."""

RESERVE_DESCRIPTORS: Final = 32
"""Descriptors that no member gets: for links to other brokers, the join file and lookups. And libzmq's I/O thread spins
when it finds none for a connection."""

RESERVE_SHARE_MAX: Final = 4
"""The reserve is at most a fourth of all descriptors, so that a low limit leaves room for members."""

TOLD_S: Final = 60.0
"""How often it is told that connections are turned away."""


class _Accepted:
    """A connection.

    Attributes:
        peer: the address and port at its other end.
        origin: what its limit counts for.
        at: when it was accepted.
    """

    __slots__ = ("at", "origin", "peer")

    def __init__(self, peer: tuple[str, int], origin: str, at: float) -> None:
        self.peer = peer
        self.origin = origin
        self.at = at


class Doorstep:
    """Counts who is at the door, and cuts who is one too many or there for too long.

    `on_accepted`, `on_word` and `on_closed` follow each connection, a descriptor of libzmq's; `on_timer` is due at
    `next_deadline`. Connections that are not TCP's are let be.

    Args:
        handshake_s_max: how long a handshake may take.
    """

    def __init__(self, handshake_s_max: float) -> None:
        self.turned_away = 0
        self._silent_s_max = handshake_s_max + LISTENERS_GRACE_S
        self._waiting: dict[int, _Accepted] = {}
        self._known: dict[int, tuple[str, int]] = {}
        self._count: Counter[str] = Counter()
        self._descriptors_max = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self._crowded_at = self._besieged_at = self._look_at = 0.0
        self._ports: set[int] = set()

    def listen(self, port: int) -> None:
        """Note that the broker listens at a port."""
        self._ports.add(port)

    def on_accepted(self, fd: int, now: float) -> None:
        """Handle a new connection, or end it at once."""
        self.on_closed(fd)  # its end may not have been told yet
        peer = self._peer_of(fd)
        if peer is None:
            return
        if self._is_too_many(fd):
            self._tell_of_crowd(now)
            self._shut(fd, peer)
            return
        origin = _origin_of(peer[0])
        if self._count[origin] >= ADDRESS_CONNECTIONS_MAX and not self._make_room(origin, now):
            self._tell_of_siege(origin, now)
            self._shut(fd, peer)
            return
        self._known[fd] = peer
        self._waiting[fd] = _Accepted(peer, origin, now)
        self._count[origin] += 1

    def on_word(self, fd: int) -> None:
        """Note that a connection has said something: its handshake is complete."""
        self._leave(fd)

    def on_closed(self, fd: int) -> None:
        """Note that a connection has ended."""
        self._leave(fd)
        self._known.pop(fd, None)

    def on_timer(self, spoken: Collection[int], now: float) -> None:
        """End the connections that have said nothing for too long, or too much before their handshake was complete.

        Args:
            spoken: those that have: their first word may have been read before they were known to be accepted.
            now: the time.
        """
        self._look_at = now + LOOK_S
        for fd, accepted in list(self._waiting.items()):
            if now - accepted.at > self._silent_s_max or received(fd) > FIRST_WORD_BYTES_MAX:
                self._leave(fd)
                if fd not in spoken:
                    self._shut(fd, accepted.peer)

    def next_deadline(self) -> float | None:
        """Return when `on_timer` is due."""
        return self._look_at if self._waiting else None

    def cut(self, fd: int) -> None:
        """End a connection. libzmq notices that, and tells of its end as of any other."""
        peer = self._known.get(fd)
        if peer is not None:
            self._shut(fd, peer)

    def _leave(self, fd: int) -> None:
        accepted = self._waiting.pop(fd, None)
        if accepted is not None:
            self._count[accepted.origin] -= 1
            if not self._count[accepted.origin]:
                del self._count[accepted.origin]

    def _make_room(self, origin: str, now: float) -> bool:
        """End the oldest connection of an origin, if it is at the door for too long already."""
        for fd, accepted in self._waiting.items():
            if accepted.origin == origin:
                if now - accepted.at <= STALE_S:
                    return False
                self._leave(fd)
                self._shut(fd, accepted.peer)
                return True
        return False

    def _shut(self, fd: int, peer: tuple[str, int]) -> None:
        """End a connection, if the descriptor still is its own: they are reused at once."""
        self.turned_away += 1
        try:
            connection = sockets.socket(fileno=fd)
        except OSError:
            return  # it is no socket any more
        try:
            if connection.getpeername()[:2] == peer:
                connection.shutdown(sockets.SHUT_RDWR)
        except OSError:
            return  # it has ended already
        finally:
            connection.detach()

    def _peer_of(self, fd: int) -> tuple[str, int] | None:
        """Return the address and port at the other end of a connection; None if it is not one of TCP, or is gone."""
        try:
            connection = sockets.socket(fileno=fd)
        except OSError:
            return None
        try:
            near, far = connection.getsockname(), connection.getpeername()
        except OSError:
            return None
        finally:
            connection.detach()
        if not isinstance(near, tuple) or near[1] not in self._ports:
            return None  # the descriptor is another one's by now
        return far[0], far[1]

    def _is_too_many(self, fd: int) -> bool:
        most = self._descriptors_max
        return most != resource.RLIM_INFINITY and fd >= most - min(RESERVE_DESCRIPTORS, most // RESERVE_SHARE_MAX)

    def _tell_of_crowd(self, now: float) -> None:
        if now >= self._crowded_at:
            self._crowded_at = now + TOLD_S
            _LOG.warning(
                "connections are turned away: this broker may open %d files, and all but its reserve are in use; "
                "raise the limit (`ulimit -n`, LimitNOFILE=), or add brokers",
                self._descriptors_max,
            )

    def _tell_of_siege(self, origin: str, now: float) -> None:
        if now >= self._besieged_at:
            self._besieged_at = now + TOLD_S
            _LOG.warning(
                "connections from %s are turned away: %d are open from there that have not completed their handshake; "
                "members there will try again",
                origin,
                ADDRESS_CONNECTIONS_MAX,
            )


def _origin_of(address: str) -> str:
    """Return what connections are counted for: the address, or the part of it that is not its owner's choice."""
    if ":" not in address:
        return address
    found = ipaddress.IPv6Address(address.partition("%")[0])
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.IPv6Network((found, IPV6_PREFIX), strict=False))
