"""Keeps a connection from meeting itself, at a port of this machine that the system gives to connections, too.

While nothing listens at such a port, the system gives it once in some ten thousand times to a connection to that very
port, which is then connected to itself. The broker that it waits for cannot have the port, neither meanwhile nor for
the minute that the kernel remembers it. No connection is given a port that a socket was bound to by name; and one that
does not listen, and allows others, is in no broker's way.
"""

import socket
from typing import Final

from braidmq.host.ports import is_ephemeral

_TCP: Final = "tcp://"


def guard_port(endpoint: str) -> socket.socket | None:
    """Return what keeps connections from being given the port of `endpoint`, until it is closed.

    None where it is not needed: at an address of another machine, at a port that no connection is given, or where
    something listens. And where there is no descriptor for it: the guard is against a rare mishap.

    Args:
        endpoint: ``tcp://ADDRESS:PORT``, without a name to look up.
    """
    host, _, port = endpoint.removeprefix(_TCP).rpartition(":")
    if not port.isdigit() or not is_ephemeral(int(port)):
        return None
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        family, kind, protocol, _name, where = found[0]
        guard = socket.socket(family, kind, protocol)
    except OSError:
        return None
    try:
        guard.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        guard.bind(where)
    except OSError:
        guard.close()
        return None
    return guard
