"""The options of every socket. libzmq's defaults are unsafe in several places; each deviation has its reason."""

import ctypes
import secrets
import socket as sockets
from collections.abc import Callable
from contextlib import suppress
from typing import Final, cast

import zmq

from braidmq.host.room import room
from braidmq.settings import Settings
from braidmq.wire.bundle import bundle_bytes_max
from braidmq.wire.limits import MESSAGE_BYTES_MAX, ROUTE_BYTES
from braidmq.zeromq.unread import COUNTED

_POLLIN: Final = int(zmq.POLLIN)

ZAP_DOMAIN: Final = b"braid"
"""Must not be empty: with an empty domain libzmq lets everyone in when no handler answers."""

FRAMES_MAX: Final = 256
"""High-water mark in frames of what is sent over each connection. With bundles of 64 KiB that is 16 MiB."""

SENT_FRAMES_MAX: Final = 64
"""High-water mark in frames for what is sent over a connection: 4 MiB of bundles, which leave within a millisecond or
two. What is more waits where its bytes are counted."""

BACKLOG: Final = 1_024
"""Connections that the kernel keeps until they are accepted: nodes that come back all at once."""

SOCKETS_MAX: Final = 4_096
"""Sockets of a context: each link to a broker takes three, and BROKERS_MAX links are allowed."""

CONTEXT_DESCRIPTORS: Final = 6
"""Descriptors of a context with one I/O thread, and of the socket with which it is started."""

CONTEXT_THREADS: Final = 2
"""Threads of such a context: one for I/O, one that ends sockets."""

CONNECTION_DESCRIPTORS: Final = 4
"""Descriptors of a connection to a broker: its socket, the two ends of its monitor, and TCP's."""

CONNECT_SLACK_MS: Final = 1_000
"""How much longer than handshake_s_max libzmq tries to connect: the core gives up first, and knows how far it came."""

ENVELOPE_BYTES_MAX: Final = 128 * 1024
"""Room for the envelope of a message: prefix, three names and the extension block."""


def new_context(what: str = "a node", *, descriptors: int = CONNECTION_DESCRIPTORS) -> zmq.Context[zmq.Socket[bytes]]:
    """Return a context with one I/O thread.

    libzmq draws routing ids of its own from `rand()`, which it never seeds; a peer that guesses the next one
    could end the process. So the C library's generator is seeded first.

    Args:
        what: whoever needs it, for the message.
        descriptors: how many more it needs to be of any use.

    Raises:
        NoRoom: this process may not have the descriptors or the threads.
    """
    ctypes.CDLL(None).srand(secrets.randbits(32))
    with room(what, descriptors=CONTEXT_DESCRIPTORS + descriptors, threads=CONTEXT_THREADS):
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(io_threads=1)
        context.set(zmq.MAX_SOCKETS, SOCKETS_MAX)
        context.socket(zmq.PAIR).close(0)  # the first socket starts the threads: now, while there is room for them
    return context


def new_router(context: zmq.Context[zmq.Socket[bytes]], settings: Settings, secret_key: bytes) -> zmq.Socket[bytes]:
    """Return a broker's socket, not yet bound."""
    socket = context.socket(zmq.ROUTER)
    _common(socket, settings)
    socket.setsockopt(zmq.MAXMSGSIZE, bundle_bytes_max(settings.payload_bytes_max + ENVELOPE_BYTES_MAX))
    socket.setsockopt(zmq.BACKLOG, BACKLOG)
    socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
    socket.setsockopt(zmq.ROUTER_HANDOVER, 0)
    socket.setsockopt(zmq.CURVE_SERVER, 1)
    socket.setsockopt(zmq.CURVE_SECRETKEY, secret_key)
    socket.setsockopt(zmq.ZAP_DOMAIN, ZAP_DOMAIN)
    socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
    return socket


def new_dealer(
    context: zmq.Context[zmq.Socket[bytes]],
    settings: Settings,
    *,
    public_key: bytes,
    secret_key: bytes,
    broker_key: bytes,
) -> zmq.Socket[bytes]:
    """Return a socket for one connection to one broker, not yet connected.

    It never reconnects by itself: after a refusal or an oversized frame libzmq would drop what is queued without
    a word, so the owner makes a new socket for each attempt.
    """
    socket = context.socket(zmq.DEALER)
    _common(socket, settings)
    socket.setsockopt(zmq.MAXMSGSIZE, MESSAGE_BYTES_MAX)
    socket.setsockopt(zmq.RECONNECT_IVL, -1)
    socket.setsockopt(zmq.CONNECT_TIMEOUT, int(settings.handshake_s_max * 1000) + CONNECT_SLACK_MS)
    socket.setsockopt(zmq.ROUTING_ID, new_route())
    socket.setsockopt(zmq.CURVE_PUBLICKEY, public_key)
    socket.setsockopt(zmq.CURVE_SECRETKEY, secret_key)
    socket.setsockopt(zmq.CURVE_SERVERKEY, broker_key)
    return socket


def connect(socket: zmq.Socket[bytes], endpoint: str) -> None:
    """Connect a new socket to ``tcp://ADDRESS:PORT``, written the way in which libzmq writes it.

    When a connection has ended, libzmq looks for its endpoint. If it finds none that is spelt as it would spell it, it
    asks the system for its network interfaces, and ends the process when it has no descriptor left for that.
    """
    if endpoint.startswith("tcp://["):
        host, _, port = endpoint.removeprefix("tcp://[").rpartition("]:")
        with suppress(OSError):  # it is no address, and libzmq will say so
            found = sockets.getaddrinfo(host, port, type=sockets.SOCK_STREAM, flags=sockets.AI_NUMERICHOST)
            host, _ = sockets.getnameinfo(found[0][4], sockets.NI_NUMERICHOST | sockets.NI_NUMERICSERV)
        endpoint = f"tcp://[{host}]:{port}"
    else:
        socket.setsockopt(zmq.IPV6, 0)  # else it would be spelt as an address of IPv6
    socket.connect(endpoint)


def new_route() -> bytes:
    """Return a routing id that nobody can guess; libzmq keeps those that begin with 0 for itself."""
    return bytes((1 + secrets.randbelow(255),)) + secrets.token_bytes(ROUTE_BYTES - 1)


def sending(socket: zmq.Socket[bytes]) -> Callable[[bytes, int], object]:
    """Return what sends a frame with some flags: pyzmq's own method, without its arguments for draft sockets.

    They cost half a microsecond for each frame.
    """
    return cast("Callable[[bytes, int], object]", super(zmq.Socket, socket).send)


def readable(socket: zmq.Socket[bytes]) -> bool:
    """Return whether a message has come. Asking is cheaper than an exception from `recv`, and dearer than a success.

    It consumes the edge of the socket's descriptor: read afterwards, or ask again. `zmq_poll` would do, too, but reads
    the time, and fails where a test has moved that beyond 2038.
    """
    return bool(int(socket.get(zmq.EVENTS)) & _POLLIN)


def _common(socket: zmq.Socket[bytes], settings: Settings) -> None:
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.SNDHWM, SENT_FRAMES_MAX)
    # No high-water mark for reading where unread.py can tell what waits. At it libzmq stops reading, and if such a
    # connection is reset, or shut down by this side, a PING among what it has read ends the process.
    socket.setsockopt(zmq.RCVHWM, 0 if COUNTED else FRAMES_MAX)
    socket.setsockopt(zmq.IPV6, 1)
    socket.setsockopt(zmq.HANDSHAKE_IVL, int(settings.handshake_s_max * 1000))
    # Not ZMTP's heartbeats: libzmq ends the process when one is due on a connection that was reset while reading stood
    # still at the high-water mark. TCP tells of hosts that have vanished, our own heartbeats of programs that hang.
    idle_s = max(1, round(settings.transport_heartbeat_s))
    socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
    socket.setsockopt(zmq.TCP_KEEPALIVE_IDLE, idle_s)
    socket.setsockopt(zmq.TCP_KEEPALIVE_INTVL, idle_s)
    socket.setsockopt(zmq.TCP_KEEPALIVE_CNT, max(1, round(settings.transport_timeout_s / idle_s)))
    socket.setsockopt(zmq.TCP_MAXRT, int(settings.transport_timeout_s * 1000))
