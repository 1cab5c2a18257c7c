"""NATS's clients and workers: nats-py with settings that somebody who runs it in earnest would choose."""

import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

from braidmq.lab.bench.certificates import client_context
from braidmq.lab.bench.ends.caller import Call, until_told_to_stop
from braidmq.lab.bench.systems.nats import QUEUE, SUBJECT, Address
from braidmq.settings import Settings


async def connect_to(
    urls: Iterable[str], name: str, *, tls: Path | None, errors: Counter[str] | None = None, shuffled: bool = False
) -> Client:
    """Connect to one of the servers; nats-py tries for ever, now and whenever the connection is lost.

    What has a counterpart among our settings has the same value: pauses of 0.1 s between attempts to connect, and a
    silent server is given up after three seconds. While there is no connection, nats-py keeps up to 2 MiB of messages
    and sends them later.

    Args:
        urls: of the servers.
        name: of this client.
        tls: the directory with the certificates, if connections are encrypted.
        errors: counts each kind of error that is met on the connection, apart from any call.
        shuffled: whether to begin with any of the servers, and not with the first.
    """
    counted = Counter[str]() if errors is None else errors

    async def on_error(error: Exception) -> None:
        counted[type(error).__name__] += 1

    if tls is not None:
        logging.getLogger("asyncio").addFilter(_is_news)
    return await nats.connect(
        list(urls),
        name=name,
        error_cb=on_error,
        allow_reconnect=True,
        reconnect_time_wait=Settings().reconnect_s,
        max_reconnect_attempts=-1,
        connect_timeout=2,
        ping_interval=1,
        max_outstanding_pings=2,
        flush_timeout=1.0,  # without it, a publisher can wait for ever for a connection that has gone
        dont_randomize=not shuffled,
        tls=None if tls is None else client_context(tls),
    )


@asynccontextmanager
async def connect(address: str) -> AsyncIterator[Call]:
    """See Ends. The address is an Address in JSON."""
    client = await _connected(address, "client")

    async def call(payload: bytes) -> bytes:
        return (await client.request(SUBJECT, payload, timeout=5.0)).data

    try:
        yield call
    finally:
        await client.close()


async def serve(address: str, ready: Callable[[], None]) -> None:
    """See Ends."""
    client = await _connected(address, "worker")

    async def on_message(message: Msg) -> None:
        await message.respond(message.data)

    await client.subscribe(SUBJECT, queue=QUEUE, cb=on_message)
    await client.flush()
    ready()
    await until_told_to_stop()
    await client.close()


async def _connected(address: str, name: str) -> Client:
    to = msgspec.json.decode(address, type=Address)
    return await connect_to(to.urls, name, tls=Path(to.tls) if to.tls else None)


def _is_news(record: logging.LogRecord) -> bool:
    """Pass over what asyncio says, without consequence, whenever nats-py ends a connection with TLS."""
    return "eof_received" not in record.getMessage()
