"""The endpoint of a bridge without the bridge, and peers of it by hand."""

import asyncio
import contextlib
import socket

from braidmq.bridges.router import Router
from tests.support.async_tests import until

PAYLOAD_BYTES_MAX = 10_000


class Behind:
    """Keeps what comes."""

    def __init__(self):
        self.come, self.gone, self.news, self.reads = [], [], [], []

    def on_message(self, peer, frames):
        self.come.append((peer, frames))
        self.news.append(frames[-1])

    def on_gone(self, peer):
        assert peer.gone
        self.gone.append(peer)
        self.news.append(peer)

    def on_read(self):
        self.reads.append(len(self.come))

    @property
    def frames(self):
        return [frames for _, frames in self.come]


@contextlib.asynccontextmanager
async def listening(behind=None, **options):
    behind = behind or Behind()
    listener = Router(behind, payload_bytes_max=PAYLOAD_BYTES_MAX, **options)
    try:
        listener.bind(["tcp://127.0.0.1:*"])
        yield listener, behind
    finally:
        await listener.close()


async def heard(peer):
    await until(lambda: peer.poll(0) > 0)
    return peer.recv_multipart()


@contextlib.contextmanager
def by_hand(listener):
    """Yield a socket to the endpoint, over which the handshake of a DEALER has been said without waiting."""
    with socket.create_connection(("127.0.0.1", port_of(listener))) as raw:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        raw.sendall(shaking_hands())
        yield raw


def shaking_hands():
    """Return what a DEALER of ZMTP 3 says first, without authentication."""
    greeting = b"\xff" + bytes(8) + b"\x7f\3\0" + b"NULL".ljust(20, b"\0") + bytes(32)
    ready = b"\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER"
    return greeting + bytes((4, len(ready))) + ready


def port_of(listener):
    return int(listener.endpoints[0].rpartition(":")[2])


def say(connection, text):
    connection.sendall(bytes([0, len(text)]) + text)


async def block(listener, peer):
    """Send to a peer that does not read until something waits here."""
    while not listener._connections.link(peer).blocked:
        assert listener.send(peer, [b"x" * 60_000])
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def spoken_with():
    """Yield an endpoint, what stands behind it, a socket that has said hello, and its peer."""
    async with listening() as (listener, behind):
        with by_hand(listener) as raw:
            say(raw, b"hello")
            await until(lambda: len(behind.come) == 1)
            yield listener, behind, raw, behind.come[0][0]
