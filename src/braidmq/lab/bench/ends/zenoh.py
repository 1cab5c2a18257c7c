"""Zenoh's clients and workers; as a process, ``python -m braidmq.lab.bench.ends.zenoh ENDPOINT``, its router."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

import zenoh

from braidmq.lab.bench.ends.caller import Call, run, until_told_to_stop

_KEY: Final = "bench/echo"


@asynccontextmanager
async def connect(address: str) -> AsyncIterator[Call]:
    """See Ends. The address is the router's endpoint."""
    loop = asyncio.get_running_loop()
    with _session("client", connect=address) as session:
        querier = session.declare_querier(_KEY, timeout=5.0)

        def on_reply(future: asyncio.Future[bytes], reply: Any) -> None:
            loop.call_soon_threadsafe(_finish, future, reply.ok.payload.to_bytes())

        async def call(payload: bytes) -> bytes:
            future: asyncio.Future[bytes] = loop.create_future()
            querier.get(handler=partial(on_reply, future), payload=payload)
            return await asyncio.wait_for(future, 5.0)

        yield call


async def serve(address: str, ready: Callable[[], None]) -> None:
    """See Ends. Queries are answered in Zenoh's own threads, which costs less than to bring them into an event loop."""
    with _session("client", connect=address) as session:
        session.declare_queryable(_KEY, lambda query: query.reply(_KEY, query.payload), complete=True)
        ready()
        await until_told_to_stop()


def _finish(future: asyncio.Future[bytes], answer: bytes) -> None:
    if not future.done():
        future.set_result(answer)


def _session(mode: str, **where: str) -> Any:
    settings = {
        "mode": mode,
        "scouting": {"multicast": {"enabled": False}},
        **{how: {"endpoints": [endpoint]} for how, endpoint in where.items()},
    }
    return zenoh.open(zenoh.Config.from_json5(json.dumps(settings)))


async def _route(endpoint: str) -> None:
    with _session("router", listen=endpoint):
        await until_told_to_stop()


if __name__ == "__main__":
    run(_route(sys.argv[1]))
