"""Where a thread opens and seals the frames of all its connections, one after the other."""

from typing import Final

from braidmq.carrier.large_packets import Doubts
from braidmq.wire.limits import BUNDLE_BYTES
from braidmq.zmtp.engine import HEAD_BYTES
from braidmq.zmtp.sodium import Room

READ_BYTES: Final = 128 * 1024
"""Bytes read at one go: two bundles. More would keep other connections waiting, less would cost more calls."""

KEPT_BYTES_MAX: Final = BUNDLE_BYTES + 1024
"""Bytes of the beginning of a frame that are kept to be completed. Of a longer one, which holds a single large message,
the rest is read into room of its own."""

ROOM_BYTES_MAX: Final = 1024 * 1024
"""Room for one frame that is kept for the next one. What a larger one needs is given back after it."""


class Rooms:
    """The rooms of one thread.

    Attributes:
        inbox: for what is read at one go, behind what was kept before.
        outbox: for one frame that leaves; see `outbox_for`.
        doubts: which of its connections may lose large packets.
    """

    def __init__(self) -> None:
        self.doubts: Final = Doubts()
        self.inbox: Final = Room(KEPT_BYTES_MAX + READ_BYTES)
        self.outbox = Room(HEAD_BYTES + BUNDLE_BYTES)

    def outbox_for(self, size: int) -> Room:
        """Return room for a frame of so many bytes."""
        if HEAD_BYTES + size <= self.outbox.size:
            return self.outbox
        if HEAD_BYTES + size > ROOM_BYTES_MAX:
            return Room(HEAD_BYTES + size)
        self.outbox = Room(min(ROOM_BYTES_MAX, 2 * (HEAD_BYTES + size)))
        return self.outbox
