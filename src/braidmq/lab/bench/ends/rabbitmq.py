"""RabbitMQ's clients and workers: aio-pika, messages that are neither stored nor confirmed, and no acknowledgements."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from typing import Any, Final

import aio_pika

from braidmq.lab.bench.ends.caller import Call, until_told_to_stop

_QUEUE: Final = "echo"
_REPLY_TO: Final = "amq.rabbitmq.reply-to"


@asynccontextmanager
async def connect(address: str) -> AsyncIterator[Call]:
    """See Ends. The address is a URL."""
    loop = asyncio.get_running_loop()
    numbers = count()
    futures: dict[str, asyncio.Future[bytes]] = {}

    def on_reply(message: Any) -> None:
        future = futures.pop(message.correlation_id, None)
        if future is not None and not future.done():
            future.set_result(message.body)

    async with await aio_pika.connect(address) as connection:
        channel = await connection.channel(publisher_confirms=False)
        replies = await channel.get_queue(_REPLY_TO, ensure=False)
        await replies.consume(on_reply, no_ack=True)
        exchange = channel.default_exchange

        async def call(payload: bytes) -> bytes:
            number = str(next(numbers))
            future = futures[number] = loop.create_future()
            message = aio_pika.Message(payload, correlation_id=number, reply_to=_REPLY_TO)
            await exchange.publish(message, routing_key=_QUEUE)
            return await asyncio.wait_for(future, 5.0)

        yield call


async def serve(address: str, ready: Callable[[], None]) -> None:
    """See Ends."""
    async with await aio_pika.connect(address) as connection:
        channel = await connection.channel(publisher_confirms=False)
        queue = await channel.declare_queue(_QUEUE)
        exchange = channel.default_exchange

        async def on_request(message: Any) -> None:
            answer = aio_pika.Message(message.body, correlation_id=message.correlation_id)
            await exchange.publish(answer, routing_key=message.reply_to)

        await queue.consume(on_request, no_ack=True)
        ready()
        await until_told_to_stop()
