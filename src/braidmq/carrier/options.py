"""The options of every connection."""

import socket as sockets
from typing import Final, cast

from braidmq.settings import Settings
from braidmq.wire.bundle import bundle_bytes_max

ENVELOPE_BYTES_MAX: Final = 128 * 1024
"""Room for the envelope of a message: prefix, three names and the extension block."""

PROBES_MAX: Final = 127
"""Probes of TCP at most, in Linux. Where TCP_USER_TIMEOUT is known, it decides when the connection is given up."""

NOTSENT_BYTES: Final = 128 * 1024
"""What the system may keep of a connection that has not gone out, two bundles: enough for it to be busy until we are
asked for more. What waits beyond that waits here, where small messages get in between the fragments of large ones."""

SEND_BYTES: Final = 1024 * 1024
"""What a Unix socket may hold that was sent and not read, as far as the system allows it. With little, large messages
go in many pieces, each of which wakes both sides."""

_NOTSENT: Final = getattr(sockets, "TCP_NOTSENT_LOWAT", None)
_KEEPALIVE: Final = getattr(sockets, "TCP_KEEPIDLE", None)
_USER_TIMEOUT: Final = getattr(sockets, "TCP_USER_TIMEOUT", None)


def prepare(socket: sockets.socket, settings: Settings) -> None:
    """Set the options of a connection, new or accepted.

    Small frames leave at once. TCP tells of hosts that have vanished, within transport_timeout_s; of programs that hang
    heartbeats tell.
    """
    socket.setblocking(False)
    if socket.family not in (sockets.AF_INET, sockets.AF_INET6):
        socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_SNDBUF, SEND_BYTES)
        return
    socket.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_NODELAY, 1)
    idle_s = max(1, round(settings.transport_heartbeat_s))
    socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_KEEPALIVE, 1)
    if _KEEPALIVE is not None:  # not everywhere
        socket.setsockopt(sockets.IPPROTO_TCP, _KEEPALIVE, idle_s)
        socket.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_KEEPINTVL, idle_s)
        count = max(1, round(settings.transport_timeout_s / idle_s))
        socket.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_KEEPCNT, min(count, PROBES_MAX))
    if _NOTSENT is not None:
        socket.setsockopt(sockets.IPPROTO_TCP, _NOTSENT, NOTSENT_BYTES)
    if _USER_TIMEOUT is not None:
        socket.setsockopt(sockets.IPPROTO_TCP, _USER_TIMEOUT, int(settings.transport_timeout_s * 1000))


def frame_bytes_max(settings: Settings) -> int:
    """Return how long a frame may be that comes from a member."""
    return bundle_bytes_max(settings.payload_bytes_max + ENVELOPE_BYTES_MAX)


def address_of(endpoint: str) -> tuple[int, tuple[str | int, ...]]:
    """Return the family and the socket address of ``tcp://ADDRESS:PORT``. Raises OSError."""
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    found = sockets.getaddrinfo(
        host.strip("[]"), int(port), type=sockets.SOCK_STREAM, flags=sockets.AI_NUMERICHOST | sockets.AI_NUMERICSERV
    )
    return found[0][0], cast("tuple[str | int, ...]", found[0][4])
