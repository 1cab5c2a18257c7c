"""How much libzmq holds of what was sent over a connection.

libzmq's own limit counts frames, each of which may be as large as a payload. The kernel knows how many bytes were
written to a connection: those that its peer has acknowledged, and those that it has not. What was handed to libzmq
beyond them waits in this process.
"""

import socket as sockets
import sys
from fcntl import ioctl
from termios import TIOCOUTQ
from typing import Final

from braidmq.wire.limits import BUNDLE_BYTES
from braidmq.zeromq.sockets import SENT_FRAMES_MAX
from braidmq.zeromq.unread import COUNTED

SENT_BYTES_MAX: Final = SENT_FRAMES_MAX * BUNDLE_BYTES
"""What libzmq may hold of a connection before it is handed another frame: as much as of bundles. On a link that is not
the bottleneck it leaves sooner than a full pipe is tried again."""

_TCP_INFO_BYTES: Final = 128
_ACKNOWLEDGED: Final = slice(120, 128)
"""Where `struct tcp_info` has `tcpi_bytes_acked` (Linux 4.1 and newer)."""

_COUNT_BYTES: Final = 4
"""Size of the number that TIOCOUTQ returns."""


class Pipe:
    """What was handed to libzmq for one connection.

    Attributes:
        handed: bytes of the frames. What the transport puts around them is not counted: as no more is counted than is
            written, the count never runs away, and `is_full` sets it right when all has left.
        look_at: how many there must be for `is_full` to be asked: asking the kernel takes microseconds.
    """

    __slots__ = ("handed", "look_at")

    def __init__(self, fd: int) -> None:
        self.handed = written(fd) or 0
        self.look_at = self.handed + SENT_BYTES_MAX

    def is_full(self, fd: int) -> bool:
        """Whether libzmq holds so much that it is to be handed no more now; `fd` is the connection's descriptor."""
        left = written(fd)
        if left is None:
            return False
        self.handed = max(self.handed, left)
        self.look_at = left + SENT_BYTES_MAX
        return self.handed >= self.look_at


def written(fd: int) -> int | None:
    """Return how many bytes were written to a connection since it began; None if that cannot be told."""
    if not COUNTED or fd < 0:
        return None
    try:
        connection = sockets.socket(fileno=fd)
    except OSError:
        return None  # it has ended
    try:
        info = connection.getsockopt(sockets.IPPROTO_TCP, sockets.TCP_INFO, _TCP_INFO_BYTES)
        # Second: what is acknowledged between the two counts not at all rather than twice.
        unacknowledged = ioctl(fd, TIOCOUTQ, bytes(_COUNT_BYTES))
    except OSError:
        return None
    finally:
        connection.detach()
    return int.from_bytes(info[_ACKNOWLEDGED], sys.byteorder) + int.from_bytes(unacknowledged, sys.byteorder)
