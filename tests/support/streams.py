"""Connections over loopback: both ends of one as streams, or one of them as a plain socket."""

import os
import socket
import struct
from contextlib import suppress

from braidmq.carrier.fragments import UNDERSTANDS
from braidmq.carrier.rooms import Rooms
from braidmq.carrier.stream import Stream
from braidmq.lab.processes.waiting import wait_until
from braidmq.wire.limits import MESSAGE_BYTES_MAX
from braidmq.zmtp.handshake import ClientHandshake, KeyPair, ServerHandshake
from braidmq.zmtp.sodium import public_key

NO_LINGER = struct.pack("ii", 1, 0)

NOTHING: dict[bytes, bytes] = {}
"""What a peer tells that knows nothing of fragments."""

TIGHT = 16 * 1024
"""Buffers of the system's so small that few messages fit into them."""


def new_pair() -> KeyPair:
    secret = os.urandom(32)
    return KeyPair(public_key(secret), secret)


SERVER, CLIENT = new_pair(), new_pair()


def admit(key: bytes) -> str:
    return key.hex()


def sockets(*, buffer_bytes: int = 0) -> tuple[socket.socket, socket.socket]:
    """Return both ends of a connection: the server's, and the client's."""
    with socket.socket() as listener:
        client = socket.socket()
        for each in (listener, client) if buffer_bytes else ():
            each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_bytes)
            each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        client.connect(listener.getsockname())
        server, _ = listener.accept()
    return server, client


def as_server(
    end: socket.socket, *, keys: KeyPair = SERVER, authorise=admit, frame_bytes_max=MESSAGE_BYTES_MAX, tells=UNDERSTANDS
) -> Stream:
    """Return a stream that is the server on a socket."""
    end.setblocking(False)
    return Stream(end, ServerHandshake(keys, authorise, os.urandom, tells), frame_bytes_max, Rooms())


def as_client(end: socket.socket, *, keys: KeyPair = CLIENT, to: bytes = SERVER.public, tells=UNDERSTANDS) -> Stream:
    """Return a stream that is the client on a socket."""
    end.setblocking(False)
    return Stream(end, ClientHandshake(keys, to, os.urandom, properties=tells), MESSAGE_BYTES_MAX, Rooms())


def shake_hands(*streams: Stream) -> None:
    """Let both sides complete their handshake."""
    found: list[bytes] = []

    def both_are_open() -> bool:
        for each in streams:
            each.flush()
            each.read(found)
        return all(each.open for each in streams)

    wait_until(both_are_open, "the handshake is complete", poll_s=0.0005)
    assert found == []


def streams(*, tells=UNDERSTANDS, **options) -> tuple[Stream, Stream]:
    """Return both ends of a connection whose handshake is complete: the server's, and the client's, which `tells`."""
    server, client = sockets(**options)
    pair = as_server(server), as_client(client, tells=tells)
    shake_hands(*pair)
    return pair


def read_to_the_end(stream: Stream) -> list[bytes]:
    """Return all that comes until the connection ends."""
    found: list[bytes] = []

    def has_ended() -> bool:
        stream.read(found)
        return stream.end is not None

    wait_until(has_ended, "it ends", poll_s=0.0005)
    return found


def reset(end: socket.socket) -> None:
    """Close a socket so that its peer sees a reset."""
    with suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
    end.close()
