"""Paths that lose large packets and say nothing: who notices, and what follows.

A tunnel or a VPN takes smaller packets than the machines at its ends send, and a firewall keeps back the ICMP that
would say so. Handshakes and small messages come through. The first full packet of a large message never does, and TCP
sends it again and again, ahead of all that follows: the connection is stuck in that direction until it is given up.

Whoever sends sees it first (`Transit.is_stuck`): nothing is acknowledged, while the other side is heard. It ends the
connection at once, and sees to it that the next one has small packets, which both sides of TCP agree on when they
connect: whoever dials asks for them (`SmallPackets`), whoever listens tells so to all who come (`shrink`).

Only Linux tells enough of a connection. Elsewhere nobody notices, and such a connection ends by silence.
"""

import math
import socket as sockets
import struct
import sys
from collections.abc import Iterator
from itertools import islice
from typing import Final, NamedTuple, Protocol

from braidmq.host.loggers import own_logger

SEGMENT_BYTES: Final = 1_200
"""What a small packet carries at most. With the headers of IPv6 it has no more than 1,280 bytes, which every network
has to take that carries IPv6; with those of IPv4 it fits what tunnels in tunnels leave."""

JUMBO_BYTES: Final = 8_948
"""A frame that was as long and has arrived was in packets as large as any that leave a machine: 9,000 bytes."""

RETRANSMITS_MIN: Final = 2
"""How often TCP must have waited in vain for anything to be acknowledged: 0.6 s, where a round trip takes little. With
one packet of 100 lost it happens to one connection of 100,000, for which to be made anew is no harm."""

LOOK_S: Final = 0.25
"""How often connections are looked at that are in doubt: less than a second is lost of the time that calls have."""

LOOKS_MAX: Final = 256
"""Connections that are looked at in one go, half a millisecond of work. The others are next."""

KNOWN_S: Final = 3_600.0
"""How long it is remembered that a path loses large packets. To forget it costs a stall of a second or two; to believe
it in vain costs some percent of what the path could carry."""

PATHS_MAX: Final = 1_024
"""Paths that are remembered; the oldest go first. A node is connected to far fewer brokers."""

_TCP_INFO: Final = getattr(sockets, "TCP_INFO", None) if sys.platform == "linux" else None
_LAYOUT: Final = struct.Struct("=2xB5xI4xI4xI24xII60xQ")
"""What is read of struct tcp_info in linux/tcp.h, which only ever grows at its end."""

LOST_HERE: Final = (
    "does not get large packets, which are lost on the way there, and nothing says so; from now on, all new "
    f"connections use packets of {SEGMENT_BYTES} bytes"
)
"""Why a broker has ended a connection that was made to it."""

_LOG = own_logger("braidmq.connections")


class Transit(NamedTuple):
    """What the system tells of a connection's packets.

    Attributes:
        retransmits: how often in a row it has waited in vain for an acknowledgement.
        wait_us: how long it waits for the next one; twice as long each time.
        segment_bytes: what a packet carries at most.
        unacked: packets that are under way.
        data_ms: how long ago anything has come from the other side.
        ack_ms: how long ago it has last acknowledged anything.
        acked_bytes: how much it has acknowledged in all.
    """

    retransmits: int
    wait_us: int
    segment_bytes: int
    unacked: int
    data_ms: int
    ack_ms: int
    acked_bytes: int

    @property
    def is_stuck(self) -> bool:
        """Whether large packets seem to be lost: nothing gets through any more, and the other side was heard since.

        The waits so far are as long as the next one, nearly: half of that ago is within them.
        """
        if not self.unacked or self.retransmits < RETRANSMITS_MIN or self.segment_bytes <= SEGMENT_BYTES:
            return False
        return 1_000 * min(self.data_ms, self.ack_ms) < self.wait_us // 2


def transit_of(socket: sockets.socket) -> Transit | None:
    """Return what the system tells of a connection; None if it does not tell, as of a Unix socket."""
    if _TCP_INFO is None or socket.family not in (sockets.AF_INET, sockets.AF_INET6):
        return None
    try:
        told = socket.getsockopt(sockets.IPPROTO_TCP, _TCP_INFO, _LAYOUT.size)
    except OSError:
        return None  # it has ended
    return Transit(*_LAYOUT.unpack(told)) if len(told) == _LAYOUT.size else None  # Linux before 4.1 tells less


def shrink(socket: sockets.socket) -> None:
    """Let a connection that is not made yet have small packets in both directions, or all that come to a listener."""
    if socket.family in (sockets.AF_INET, sockets.AF_INET6):
        socket.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_MAXSEG, SEGMENT_BYTES)


class Sender(Protocol):
    """A connection.

    Attributes:
        descriptor: the system's.
        proven: whether large packets are known to arrive over it, or nothing can be known of that.
    """

    descriptor: int
    proven: bool

    def transit(self) -> Transit | None:
        """Return what the system tells of its packets."""

    def held_bytes(self) -> int:
        """Return how much the system has of it that is not acknowledged."""


class Doubts:
    """The connections of a thread that have sent a large frame, of which it is not known whether it arrives.

    A connection is in doubt once: after one large frame has arrived it is `proven`.
    """

    def __init__(self) -> None:
        self._doubts: dict[Sender, tuple[int, int]] = {}  # the length of the frame; what is acknowledged when it is
        self._lost: dict[Sender, None] = {}  # those that `stuck` has told of, until they have ended
        self._due = -math.inf

    def __bool__(self) -> bool:
        return bool(self._doubts)

    def __contains__(self, sender: Sender) -> bool:
        """Whether a large frame was sent over a connection, of which it is not known that it arrives."""
        return sender in self._doubts or sender in self._lost

    def note(self, sender: Sender, size: int) -> None:
        """Note that a frame longer than SEGMENT_BYTES was sent over a connection that is not proven."""
        known = self._doubts.get(sender)
        if known is None or known[0] < size:
            self._doubts[sender] = (size, -1)

    def leave(self, sender: Sender) -> None:
        """Note that a connection has ended."""
        self._doubts.pop(sender, None)
        self._lost.pop(sender, None)

    def next_deadline(self) -> float:
        """Return when `stuck` is due; infinity if no connection is in doubt."""
        return self._due if self._doubts else math.inf

    def stuck(self, now: float) -> Iterator[Sender]:
        """Yield the connections whose large packets are lost, if it is time to look; they are to be ended."""
        if not self._doubts or now < self._due:
            return
        self._due = now + LOOK_S
        for sender in list(islice(self._doubts, LOOKS_MAX)):
            size, goal = self._doubts.pop(sender)
            transit = sender.transit()
            if transit is None or transit.segment_bytes <= SEGMENT_BYTES:
                sender.proven = True
                continue
            if transit.is_stuck:
                self._lost[sender] = None
                yield sender
                continue
            if goal < 0:
                goal = transit.acked_bytes + sender.held_bytes()
            if transit.acked_bytes < goal:
                self._doubts[sender] = (size, goal)  # behind the others
            elif size >= min(transit.segment_bytes, JUMBO_BYTES):
                sender.proven = True


class SmallPackets:
    """The paths to brokers that are known to lose large packets, each by its endpoint."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def wanted(self, endpoint: str, now: float) -> bool:
        """Whether a new connection to an endpoint is to have small packets."""
        return now < self._until.get(endpoint, -math.inf)

    def learn(self, name: str, endpoint: str, now: float) -> None:
        """Note that the path to a broker loses large packets, and tell the operator."""
        self._until.pop(endpoint, None)
        self._until[endpoint] = now + KNOWN_S
        if len(self._until) > PATHS_MAX:
            del self._until[next(iter(self._until))]
        _LOG.warning(
            "%s at %s: large packets are lost on the way there, and nothing says so; for %g s, new connections to it "
            "use packets of %d bytes; let ICMP's `too big` through, or set this machine's MTU to that of the path",
            name,
            endpoint,
            KNOWN_S,
            SEGMENT_BYTES,
        )
