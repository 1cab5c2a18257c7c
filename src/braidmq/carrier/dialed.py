"""A connection to a broker, as a client of its handshake: how far it has come, and why it has failed."""

import errno
import math
import socket as sockets
import struct
from typing import Final

from braidmq.carrier.rooms import Rooms
from braidmq.carrier.stream import End, Stream
from braidmq.core.links.link import Failure, Open, Step
from braidmq.members import Standing
from braidmq.zmtp.greeting import GREETING_BYTES
from braidmq.zmtp.handshake import ClientHandshake
from braidmq.zmtp.violation import OTHER_KEY, OTHER_NET, ForeignProtocol, Misdeed, Refusal, SpeaksHttp

_NO_LINGER: Final = struct.pack("ii", 1, 0)


class Near:
    """An attempt at a broker's own socket.

    Attributes:
        target: what was asked for, which is left to try.
        path: where the socket is.
        give_up_at: when the handshake must be complete.
    """

    __slots__ = ("give_up_at", "path", "target")

    def __init__(self, target: Open, path: str, give_up_at: float) -> None:
        self.target = target
        self.path = path
        self.give_up_at = give_up_at


class Broker(Stream):
    """A node's or broker's end of a connection to a broker.

    Attributes:
        name: the broker's.
        endpoint: where it was looked for.
        near: the attempt at its own socket, while the handshake there is not complete.
        reached: whether the system has connected it.
        waits_to_write: whether the event loop was asked to tell when it can be written.
        told: the newest step or failure that was told.
        unread_before: how many bytes waited to be read when that was told last.
        followed_bytes: how much of large messages had come when it was looked last whether they go on.
        pings_at: since when commands are counted, and pings_before: how many had come by then.
    """

    __slots__ = (
        "_connecting",
        "_unmet",
        "endpoint",
        "followed_bytes",
        "name",
        "near",
        "pings_at",
        "pings_before",
        "reached",
        "told",
        "unread_before",
        "waits_to_write",
    )

    def __init__(
        self,
        socket: sockets.socket,
        handshake: ClientHandshake,
        message_bytes_max: int,
        rooms: Rooms,
        target: Open,
        *,
        passed_bytes_max: int,
    ) -> None:
        super().__init__(socket, handshake, message_bytes_max, rooms, passed_bytes_max)
        self.name = target.name
        self.endpoint = target.endpoint
        self.near: Near | None = None
        self.reached = False
        self.waits_to_write = False
        self.told: Step | Failure | None = None
        self.pings_at = -math.inf
        self.pings_before = 0
        self.unread_before = 0
        self.followed_bytes = 0
        self._connecting = socket
        self._unmet: Failure | None = None

    def look(self) -> None:
        """See whether it is connected by now; the system has told of something."""
        if self.reached or self._unmet is not None:
            return
        error = self._connecting.getsockopt(sockets.SOL_SOCKET, sockets.SO_ERROR)
        if error in _WAS_CONNECTED:  # and something has reset it before anybody looked
            self.reached = True
            self.end = End.RESET
            return
        if error:
            self._unmet = Failure.NO_ANSWER if error == errno.ETIMEDOUT else Failure.UNREACHABLE
            return
        try:
            near, far = self._connecting.getsockname(), self._connecting.getpeername()
        except OSError:
            return  # not yet
        if near == far and near:  # a port of this machine that nothing listens at was given to the connection itself
            self._connecting.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, _NO_LINGER)
            self._unmet = Failure.UNREACHABLE
        else:
            self.reached = True

    def host_has_all(self) -> bool:
        """Whether the broker's host has all that was sent: of a Unix socket it is this one, and has it."""
        return self._connecting.family == sockets.AF_UNIX or (not self.blocked and self.has_arrived())

    def failure(self) -> Failure | None:
        """Return why it could not be made, or has ended; None while it goes on."""
        end = self.end
        if end is None or self._unmet is not None:
            return self._unmet
        if isinstance(end, End):
            if self.open:
                return Failure.CLOSED
            in_its_greeting = 0 < self.came_bytes < GREETING_BYTES
            return Failure.FOREIGN if in_its_greeting else _CUT_OFF[end]  # so libzmq does where it expects no CURVE
        if isinstance(end, Refusal):
            for_a_while = end.status in ("300", "500")
            return _REFUSED.get(end.why) or (Failure.HUNG_UP if for_a_while else Failure.NOT_REGISTERED)
        if self.open:
            return Failure.NONSENSE if isinstance(end, Misdeed) else Failure.CHANGED
        if isinstance(end, SpeaksHttp):
            return Failure.HTTP
        return Failure.FOREIGN if isinstance(end, ForeignProtocol) else Failure.NOT_THIS_BROKER


_WAS_CONNECTED: Final = (errno.ECONNRESET, errno.EPIPE)
_CUT_OFF: Final = {End.CLOSED: Failure.HUNG_UP, End.RESET: Failure.RESET, End.LOST: Failure.UNREACHABLE}
_REFUSED: Final = {
    Standing.REMOVED.value: Failure.REMOVED,
    Standing.REVOKED.value: Failure.REVOKED,
    Standing.EXPIRED.value: Failure.EXPIRED,
    OTHER_KEY: Failure.OTHER_KEY,
    OTHER_NET: Failure.OTHER_NET,
    "barred": Failure.BARRED,
    "early": Failure.EARLY,
    "throng": Failure.THRONG,
    "unjudged": Failure.UNJUDGED,
}
"""What a broker's reason means, by its word; without a word, or with one that is not known, its status counts."""
