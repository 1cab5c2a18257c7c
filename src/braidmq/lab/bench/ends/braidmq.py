"""BraidMQ's clients and workers."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from braidmq.lab.bench.broker import SETTINGS
from braidmq.lab.bench.ends.caller import Call, until_told_to_stop
from braidmq.lab.bench.systems.braidmq import SERVICE
from braidmq.messages import Request
from braidmq.node import Node


@asynccontextmanager
async def connect(address: str) -> AsyncIterator[Call]:
    """See Ends. The address is a join file."""
    async with Node(address, settings=SETTINGS) as node:
        await node.settled()

        async def call(payload: bytes) -> bytes:
            return (await node.request(SERVICE, payload)).payload

        yield call


async def serve(address: str, ready: Callable[[], None]) -> None:
    """See Ends."""
    node = Node(address, settings=SETTINGS)

    @node.service(SERVICE, concurrency=SETTINGS.in_flight_max)
    async def echo(request: Request) -> bytes:
        return request.payload

    async with node:
        await node.settled()
        ready()
        await until_told_to_stop()
