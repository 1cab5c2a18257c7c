"""Descriptors of libzmq's connections that a forked child has inherited."""

import socket
from contextlib import suppress
from ipaddress import ip_address
from typing import Final

_TCP: Final = "tcp://"


def close_copy(descriptor: int, endpoint: str) -> None:
    """Close a descriptor if it is a connection to ``tcp://ADDRESS:PORT``.

    libzmq may have closed the connection before it was told here, and the number may stand for something else.
    """
    host, _, port = endpoint.removeprefix(_TCP).rpartition(":")
    with suppress(OSError):  # it is closed, or no connection
        copy = socket.socket(fileno=descriptor)
        if _is_at(copy, host.strip("[]"), int(port)):
            copy.close()
        else:
            copy.detach()


def _is_at(connection: socket.socket, host: str, port: int) -> bool:
    try:
        peer = connection.getpeername()
        return bool(peer[1] == port and ip_address(peer[0]) == ip_address(host))
    except (OSError, ValueError, IndexError):  # it is not connected, or no connection over IP
        return False
