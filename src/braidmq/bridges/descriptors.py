"""Connections of libzmq as the system has them: what they have received, and how one is ended that it cannot end."""

import os
import socket
import struct
import sys
from collections.abc import Iterable
from contextlib import suppress
from mmap import PAGESIZE
from pathlib import Path
from typing import Final

_RECEIVED: Final = struct.Struct("=Q")
_RECEIVED_AT: Final = 128
"""Where `tcpi_bytes_received` stands in Linux's `struct tcp_info`."""

_MEMORY: Final = Path("/proc/self/statm")

COUNTS: Final = sys.platform == "linux"
"""Whether the system tells how much a connection has received: only Linux does, and only of TCP."""


def resident_bytes() -> int:
    """Return how much memory this process has. Only for Linux."""
    return int(_MEMORY.read_bytes().split()[1]) * PAGESIZE


def received(descriptor: int) -> int:
    """Return how many bytes a connection has received since its beginning; 0 if nothing tells it."""
    size = _RECEIVED_AT + _RECEIVED.size
    try:
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fileno=descriptor)
    except OSError:  # it has ended
        return 0
    try:
        told = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, size)
    except OSError:  # it has ended, or is none of TCP
        return 0
    finally:
        connection.detach()
    return int(_RECEIVED.unpack_from(told, _RECEIVED_AT)[0]) if len(told) == size else 0


def end(descriptor: int, places: Iterable[object]) -> None:
    """End a connection: libzmq finds it closed by its peer, and lets go of all that it has of it.

    Args:
        descriptor: of the connection, or of another one if it has just ended.
        places: the names of the sockets that it may have come by: no other connection is ended.
    """
    with suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as connection:  # which may have ended
        if name(connection.getsockname()) in places:
            connection.shutdown(socket.SHUT_RDWR)


def name(address: object) -> object:
    """Return what the connections of a listening socket have in common: a port, or the name of a Unix socket."""
    return address[1] if isinstance(address, tuple) else address
