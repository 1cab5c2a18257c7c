"""How much of a connection libzmq has read that nobody has taken.

libzmq reads all that comes (sockets.py says why), so that nothing holds up who sends faster than can be read. But the
kernel counts the bytes of each connection, and what lies between them and those that were taken waits in this process.
"""

import socket as sockets
import sys
from typing import Final

COUNTED: Final = sys.platform == "linux"
"""Whether the kernel tells how much a connection has received."""

FRAME_BYTES: Final = 42
"""What ZMTP and CURVE put around a frame at most. Less of it counts as unread: 7 bytes for each small frame."""

UNREAD_BYTES_MAX: Final = 16 * 1024 * 1024
"""What may be unread of one key at a broker, or of one broker at a node, beyond the payloads that it may have under way
(in_flight_bytes_max). It is a moment's work of libzmq, and far more than honest members can cause. Tiny frames take
about four times as much memory as they have bytes on the wire."""

SUSPICIOUS_BYTES: Final = 1024 * 1024
"""With so much unread of one connection, all others of its key are looked at as well."""

FIRST_WORD_BYTES_MAX: Final = 256 * 1024
"""What may come over a connection before its first frame is read. A handshake has less than a KiB, and a member says
HELLO and waits; libzmq keeps whatever else comes, whoever sends it."""

LOOK_S: Final = 0.05
"""How often it is looked at while there is more to read than can be: some tens of MB may come in that time."""

_TCP_INFO_BYTES: Final = 136
_RECEIVED: Final = slice(128, 136)
"""Where `struct tcp_info` has `tcpi_bytes_received` (Linux 4.1 and newer)."""


def received(fd: int) -> int:
    """Return how many bytes a connection has received since it began; 0 if that cannot be told."""
    if not COUNTED or fd < 0:
        return 0
    try:
        connection = sockets.socket(fileno=fd)
    except OSError:
        return 0  # it has ended
    try:
        info = connection.getsockopt(sockets.IPPROTO_TCP, sockets.TCP_INFO, _TCP_INFO_BYTES)
    except OSError:
        return 0
    finally:
        connection.detach()
    return int.from_bytes(info[_RECEIVED], sys.byteorder)
