"""A connection that somebody has made to a broker, and what its listener knows of it."""

import math
import socket as sockets

from braidmq.carrier.keys import KeyUse
from braidmq.carrier.rooms import READ_BYTES, Rooms
from braidmq.carrier.stream import Stream
from braidmq.zmtp.handshake import ServerHandshake


class Peer(Stream):
    """The broker's end of a connection.

    Attributes:
        route: what the core knows it by.
        address: where it comes from.
        use: what its key has, once the handshake is complete.
        cut_at: when it has to be gone, once it was cut.
        waits_to_write: whether the poller was asked to tell when it can be written.
        reads: whether it was asked to tell when it can be read.
        held: how many bytes that wait for it are counted for its key.
        joining: how many bytes of a large message that is not complete are.
        followed_bytes: how much of large messages had come when that was counted.
        waits: whether it is not read, as its key has begun too many large messages (crowding.py).
        portion_bytes: how much is read of it at one go.
    """

    __slots__ = (
        "address", "cut_at", "followed_bytes", "held", "joining", "portion_bytes", "reads", "route", "use",
        "waits", "waits_to_write",
    )  # fmt: skip

    def __init__(
        self,
        socket: sockets.socket,
        handshake: ServerHandshake,
        bytes_max: int,
        rooms: Rooms,
        *,
        route: bytes,
        address: str,
    ) -> None:
        super().__init__(socket, handshake, bytes_max, rooms)
        self.route = route
        self.address = address
        self.use: KeyUse | None = None
        self.cut_at = math.inf
        self.waits = False
        self.waits_to_write = False
        self.reads = True
        self.held = 0
        self.joining = 0
        self.followed_bytes = 0
        self.portion_bytes = READ_BYTES
