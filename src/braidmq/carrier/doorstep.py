"""The connections to a broker whose handshake is not complete: how many there may be, and for how long.

Each costs some hundred bytes, a descriptor, and half a millisecond of work if it goes on; and whoever can reach the
broker can make one. So few from one address may stand at the door at one time, and none for long.
"""

import ipaddress
from collections import Counter
from typing import Final

from braidmq.carrier.deadlines import Deadlines

ADDRESS_CONNECTIONS_MAX: Final = 128
"""Connections from one address whose handshake is not complete. One takes a millisecond, so that many more nodes of one
host come back within seconds."""

CONNECTIONS_MAX: Final = 4_096
"""The same from all addresses together, at most: some MiB of memory."""

STALE_S: Final = 1.0
"""How old one of them must be to give way to a new one of its address: far more than an honest handshake takes."""

IPV6_PREFIX: Final = 64
"""Bits of an address of IPv6 that count: the rest is its owner's choice."""


class Guest:
    """A connection at the door.

    Attributes:
        key: what the broker knows it by.
        origin: what its limit counts for.
        at: when it came.
    """

    __slots__ = ("at", "key", "origin")

    def __init__(self, key: int, origin: str, at: float) -> None:
        self.key = key
        self.origin = origin
        self.at = at


class Doorstep:
    """Counts who is at the door. `come`, then `leave` when its handshake is complete or it has ended.

    Args:
        handshake_s_max: how long a handshake may take.
        connections_max: how many may be at the door, if fewer than CONNECTIONS_MAX.
    """

    def __init__(self, handshake_s_max: float, connections_max: int = CONNECTIONS_MAX) -> None:
        self._connections_max = min(connections_max, CONNECTIONS_MAX)
        self._handshakes = Deadlines(handshake_s_max)
        self._guests: dict[int, Guest] = {}  # in the order in which they came
        self._count: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._guests)

    def come(self, key: int, origin: str, now: float) -> int | None:
        """Note a new connection; return which one has to go for it: another one, or itself; None if none has to."""
        leaving: int | None = None
        if self._count[origin] >= ADDRESS_CONNECTIONS_MAX:
            leaving = self._stale(origin, now)
        elif len(self._guests) >= self._connections_max:
            leaving = self._stale("", now)
        else:
            self._enter(key, origin, now)
            return None
        if leaving is None:
            if not self._count[origin]:
                del self._count[origin]
            return key
        self.leave(leaving)
        self._enter(key, origin, now)
        return leaving

    def leave(self, key: int) -> None:
        """Note that a connection is not at the door any more, if it was."""
        guest = self._guests.pop(key, None)
        if guest is not None:
            self._handshakes.leave(key)
            self._count[guest.origin] -= 1
            if not self._count[guest.origin]:
                del self._count[guest.origin]

    def overdue(self, now: float) -> list[int]:
        """Return the connections whose handshake takes too long; they are to be ended."""
        return self._handshakes.overdue(now)

    def next_deadline(self) -> float:
        """Return when there will be one in `overdue`, if none leaves; infinity if nobody is at the door."""
        return self._handshakes.next_deadline()

    def _enter(self, key: int, origin: str, now: float) -> None:
        self._guests[key] = Guest(key, origin, now)
        self._handshakes.begin(key, now)
        self._count[origin] += 1

    def _stale(self, origin: str, now: float) -> int | None:
        """Return the oldest connection of an origin, or of all, if it is at the door for too long already."""
        for guest in self._guests.values():
            if not origin or guest.origin == origin:
                return guest.key if now - guest.at > STALE_S else None
        return None


def origin_of(address: str) -> str:
    """Return what connections are counted for: the address, or the part of it that is not its owner's choice."""
    if ":" not in address:
        return address
    found = ipaddress.IPv6Address(address.partition("%")[0])
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.IPv6Network((found, IPV6_PREFIX), strict=False))
