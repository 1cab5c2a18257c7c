"""A connection before it is one of HTTP: it has its place from its first moment on, and its TLS handshake to make."""

import asyncio
import ssl
from typing import Protocol, cast

from braidmq.bridges.http.connection import Connection


class Receiving(Protocol):
    """What takes in handshakes."""

    request_s_max: float

    def on_handshake(self, handshake: "Handshake") -> None:
        """Take in a new connection, whose handshake begins."""

    def on_handshake_end(self, handshake: "Handshake") -> None:
        """Note that a handshake is over; if it was made, its connection is taken in at once after this."""


class Handshake(asyncio.Protocol):
    """The TLS handshake of one connection, in its time.

    Event loops that listen with TLS tell of a connection only when its handshake is made: those of silent strangers
    would be in no count, and nobody could cut them.

    Args:
        receiving: takes it in.
        connection: is given the transport once the handshake is made, and all that comes from then on.
        tls: what proves who the gateway is.
        loop: in which it was made.
    """

    def __init__(
        self, receiving: Receiving, connection: Connection, tls: ssl.SSLContext, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._receiving = receiving
        self._connection = connection
        self._tls = tls
        self._loop = loop
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)
        self._task: asyncio.Task[None] | None = None
        self._first = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self._receiving.on_handshake(self)
        self._task = self._loop.create_task(self._make())

    def data_received(self, data: bytes) -> None:
        """Keep what comes before TLS reads: event loops may read once before the handshake's task begins."""
        self._first += data

    def shut(self) -> None:
        """End: nothing is under way yet."""
        self._transport.abort()

    def cut(self) -> None:
        """End at once."""
        self._transport.abort()

    async def _make(self) -> None:
        early = _Early()
        made: asyncio.Transport | None = None
        try:
            making = self._loop.create_task(self._start(early))
            await asyncio.sleep(0)  # until it has begun: it has stopped the reading, and the next turn starts TLS
            if self._first:
                self._loop.call_soon(self._hand_on)
            made = await making
        except OSError:  # whoever speaks no TLS, is not to be trusted, or too slow, is gone: strangers fill no log
            self._transport.abort()
        finally:
            self._receiving.on_handshake_end(self)
        if made is None or made.is_closing():  # it was cut; event loops differ in what they return then
            return
        made.set_protocol(self._connection)
        self._connection.connection_made(made)
        if early.data:
            self._connection.data_received(bytes(early.data))

    async def _start(self, early: "_Early") -> asyncio.Transport | None:
        if self._transport.is_closing():
            return None
        return await self._loop.start_tls(
            self._transport,
            early,
            self._tls,
            server_side=True,
            ssl_handshake_timeout=self._receiving.request_s_max,
        )

    def _hand_on(self) -> None:
        """Give TLS what came before it."""
        tls = cast("asyncio.BufferedProtocol", self._transport.get_protocol())
        while self._first and not self._transport.is_closing():
            buffer = memoryview(tls.get_buffer(len(self._first)))
            taken = min(len(buffer), len(self._first))
            buffer[:taken] = self._first[:taken]
            del self._first[:taken]
            tls.buffer_updated(taken)


class _Early(asyncio.Protocol):
    """Keeps what has come with the end of the handshake, until its connection is told of that in the loop's next turn.

    It is what one turn reads, 256 KiB at most.
    """

    def __init__(self) -> None:
        self.data = bytearray()

    def data_received(self, data: bytes) -> None:
        self.data += data
