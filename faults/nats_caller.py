"""Clients of the rival: nats-py with settings that somebody who runs it in earnest would choose.

`plain` is what nats-py gives: one `request()` with the whole timeout. What was under way through a server that dies
is lost, and its caller learns of it when the time is up.

`retrying` is what a careful user writes around it: attempts as our own client makes them by default, each with a
timeout of its own. Nothing in NATS tells a second copy from the first one, so that a request may be run more than once.

A message of NATS names no sender and no request: `Reply.sender`, `Reply.original_id` and `Reply.broker` stay empty,
and the checker of right answers has only the payload to go by.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Final

import msgspec
import nats
from nats.aio.client import Client
from nats.errors import (
    ConnectionClosedError,
    ConnectionDrainingError,
    NoRespondersError,
    OutboundBufferLimitError,
)

from braidmq.lab.bench.ends.nats import connect_to
from braidmq.lab.bench.systems.nats import SUBJECT
from braidmq.lab.simulation.payload import key_of_answer
from braidmq.lab.simulation.record import Error, Reply
from braidmq.settings import Settings
from faults.nats_cluster import NatsCluster

_OURS: Final = Settings()

_NOT_RUN: Final = (NoRespondersError, OutboundBufferLimitError, ConnectionClosedError, ConnectionDrainingError)
"""The server had nobody to give it to, or it never left this process."""


class Connection:
    """A connection of nats-py to one server at a time, and to another one when that is lost.

    Attributes:
        client: of nats-py.
        errors: how often each kind of error was met on the connection, apart from any call.
    """

    def __init__(self, client: Client, errors: Counter[str]) -> None:
        self.client = client
        self.errors = errors

    @property
    def reconnects(self) -> int:
        """How often it was lost and made anew."""
        return self.client.stats["reconnects"]

    @property
    def url(self) -> str:
        """Of the server that it leads to."""
        return self.client.connected_url.geturl() if self.client.connected_url else ""

    async def close(self) -> None:
        """Close it; what waits for an answer gets none."""
        await self.client.close()


async def connect(urls: Iterable[str], name: str, *, tls: Path | None = None) -> Connection:
    """Connect to one of the servers, chosen at random by nats-py: see `connect_to`."""
    errors: Counter[str] = Counter()
    return Connection(await connect_to(urls, name, tls=tls, errors=errors, shuffled=True), errors)


class PlainCaller:
    """See the module."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    async def call(self, key: str, payload: bytes, timeout_s: float) -> Reply | Error:
        """Make the request once."""
        del key  # the payload begins with it
        try:
            answer = await self.connection.client.request(SUBJECT, payload, timeout=timeout_s)
        except (nats.errors.Error, OSError) as error:
            return _error(error, 1, maybe_executed=not isinstance(error, _NOT_RUN))
        return _reply(answer.data, retries=0, possible_duplicate=False)


class RetryingCaller:
    """See the module. The attempts, their timeout and the pauses are those of our own default settings."""

    def __init__(self, connection: Connection, settings: Settings = _OURS) -> None:
        self.connection = connection
        self._settings = settings

    async def call(self, key: str, payload: bytes, timeout_s: float) -> Reply | Error:
        """Make the request, again if need be; an attempt that failed at once is followed by a pause."""
        del key  # the payload begins with it
        deadline = monotonic() + timeout_s
        maybe_executed = False
        attempt = 0
        while True:
            attempt += 1
            left_s = min(self._settings.exchange_timeout_s, deadline - monotonic())
            try:
                answer = await self.connection.client.request(SUBJECT, payload, timeout=left_s)
            except (nats.errors.Error, OSError) as error:
                maybe_executed |= not isinstance(error, _NOT_RUN)
                pause_s = self._pause_s(attempt, error)
                if attempt == self._settings.attempts or monotonic() + pause_s >= deadline:
                    return _error(error, attempt, maybe_executed=maybe_executed)
            else:
                return _reply(answer.data, retries=attempt - 1, possible_duplicate=maybe_executed)
            await asyncio.sleep(pause_s)

    def _pause_s(self, attempt: int, error: Exception) -> float:
        """Return a pause with full jitter, that doubles; none after a timeout, which was long enough."""
        if isinstance(error, nats.errors.TimeoutError):
            return 0.0
        return random.uniform(0, min(self._settings.backoff_s * 2 ** (attempt - 1), self._settings.backoff_s_max))


class Address(msgspec.Struct):
    """How a client in another process reaches the cluster. `tls` is a directory, or empty."""

    name: str
    urls: list[str]
    tls: str = ""


def address(cluster: NatsCluster, name: str) -> str:
    """Return the argument of `plain` and `retrying` that stands for the client `name`."""
    return msgspec.json.encode(Address(name, list(cluster.urls.values()), str(cluster.tls or ""))).decode()


@asynccontextmanager
async def plain(addresses: Sequence[str]) -> AsyncIterator[Sequence[PlainCaller]]:
    """Connect a client for each address."""
    async with _connections(addresses) as connections:
        yield [PlainCaller(each) for each in connections]


@asynccontextmanager
async def retrying(addresses: Sequence[str]) -> AsyncIterator[Sequence[RetryingCaller]]:
    """Connect a client for each address."""
    async with _connections(addresses) as connections:
        yield [RetryingCaller(each) for each in connections]


@asynccontextmanager
async def _connections(addresses: Sequence[str]) -> AsyncIterator[Sequence[Connection]]:
    async with AsyncExitStack() as stack:
        connections = []
        for each in addresses:
            to = msgspec.json.decode(each, type=Address)
            connections.append(await connect(to.urls, to.name, tls=Path(to.tls) if to.tls else None))
            stack.push_async_callback(connections[-1].close)
        yield connections


def _reply(answer: bytes, *, retries: int, possible_duplicate: bool) -> Reply:
    return Reply(
        key=key_of_answer(answer),
        sender="",
        original_id=b"",
        possible_duplicate=possible_duplicate,
        retry_count=retries,
    )


def _error(error: Exception, attempts: int, *, maybe_executed: bool) -> Error:
    return Error(type(error).__name__, attempts, maybe_executed, str(error))
