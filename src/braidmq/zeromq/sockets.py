"""The options of every socket. libzmq's defaults are unsafe in several places; each deviation has its reason."""

import ctypes
import secrets
from collections.abc import Callable
from typing import Final, cast

import zmq

from braidmq.settings import Settings
from braidmq.wire.bundle import bundle_bytes_max
from braidmq.wire.limits import MESSAGE_BYTES_MAX, ROUTE_BYTES

_POLLIN: Final = int(zmq.POLLIN)

ZAP_DOMAIN: Final = b"braid"
"""Must not be empty: with an empty domain libzmq lets everyone in when no handler answers."""

FRAMES_MAX: Final = 256
"""High-water mark in frames for each direction of each connection. With bundles of 64 KiB that is 16 MiB."""

BACKLOG: Final = 1_024
"""Connections that the kernel keeps until they are accepted: nodes that come back all at once."""

SOCKETS_MAX: Final = 4_096
"""Sockets of a context: each link to a broker takes three, and BROKERS_MAX links are allowed."""

ENVELOPE_BYTES_MAX: Final = 128 * 1024
"""Room for the envelope of a message: prefix, three names and the extension block."""


def new_context() -> zmq.Context[zmq.Socket[bytes]]:
    """Return a context with one I/O thread.

    libzmq draws routing ids of its own from `rand()`, which it never seeds; a peer that guesses the next one
    could end the process. So the C library's generator is seeded first.
    """
    ctypes.CDLL(None).srand(secrets.randbits(32))
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(io_threads=1)
    context.set(zmq.MAX_SOCKETS, SOCKETS_MAX)
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
    socket.setsockopt(zmq.CONNECT_TIMEOUT, int(settings.handshake_s_max * 1000))
    socket.setsockopt(zmq.ROUTING_ID, new_route())
    socket.setsockopt(zmq.CURVE_PUBLICKEY, public_key)
    socket.setsockopt(zmq.CURVE_SECRETKEY, secret_key)
    socket.setsockopt(zmq.CURVE_SERVERKEY, broker_key)
    return socket


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

    It consumes the edge of the socket's descriptor: read afterwards, or ask again.
    """
    return bool(zmq.zmq_poll([(socket, _POLLIN)], 0))


def _common(socket: zmq.Socket[bytes], settings: Settings) -> None:
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.SNDHWM, FRAMES_MAX)
    socket.setsockopt(zmq.RCVHWM, FRAMES_MAX)
    socket.setsockopt(zmq.IPV6, 1)
    socket.setsockopt(zmq.HANDSHAKE_IVL, int(settings.handshake_s_max * 1000))
    socket.setsockopt(zmq.HEARTBEAT_IVL, int(settings.transport_heartbeat_s * 1000))
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, int(settings.transport_timeout_s * 1000))
    socket.setsockopt(zmq.HEARTBEAT_TTL, min(65_000, int(settings.transport_timeout_s * 2000)))
