"""Requests of HTTP to an application of ASGI in this process, without a socket."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Answer:
    """What an application has answered."""

    def __init__(self, messages):
        start = messages[0]
        self.status = start["status"]
        self.fields = {name.decode().lower(): value.decode() for name, value in start["headers"]}
        self.body = b"".join(message.get("body", b"") for message in messages[1:])

    def json(self):
        return json.loads(self.body)


def _scope(method, target, fields):
    path, _, query = target.partition("?")
    given = [(name.lower().encode(), value.encode()) for name, value in fields]
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": given,
        "client": ("127.0.0.1", 50_000),
        "server": ("127.0.0.1", 8088),
    }


async def abandon(app, target, method="POST", *, fields=()):
    """Begin a request, and leave before its body has come; return what was answered."""
    coming = [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]
    messages = []

    async def receive():
        return coming.pop(0)

    async def send(message):
        messages.append(message)

    await app(_scope(method, target, [("host", "127.0.0.1:8088"), *fields]), receive, send)
    return messages


async def ask(app, target, method="GET", *, fields=(), body=b"", host="127.0.0.1:8088"):
    """Return the answer to a request whose body comes in two parts."""
    hosts = [] if host is None else [("host", host)]
    half = len(body) // 2
    coming = [
        {"type": "http.request", "body": body[:half], "more_body": True},
        {"type": "http.request", "body": body[half:], "more_body": False},
    ]
    messages = []

    async def receive():
        return coming.pop(0) if coming else await asyncio.Event().wait()

    async def send(message):
        messages.append(message)

    await app(_scope(method, target, [*hosts, *fields]), receive, send)
    return Answer(messages)


async def post(app, target, value, fields=(), **more):
    """Return the answer to a JSON object."""
    kind = [("content-type", "application/json")]
    return await ask(app, target, "POST", fields=[*kind, *fields], body=json.dumps(value).encode(), **more)


class Stream:
    """A stream of server-sent events that is under way."""

    def __init__(self):
        self.gone = asyncio.Event()
        self.messages = asyncio.Queue()

    async def next(self):
        """Return the next chunk."""
        async with asyncio.timeout(10):
            return (await self.messages.get())["body"].decode()


@asynccontextmanager
async def streaming(app, target="/api/stream", fields=()) -> AsyncIterator[Stream]:
    """Open a stream; it is left at the end of the block, and has to end then."""
    stream = Stream()

    async def receive():
        await stream.gone.wait()
        return {"type": "http.disconnect"}

    async def send(message):
        stream.messages.put_nowait(message)

    task = asyncio.create_task(app(_scope("GET", target, [("host", "127.0.0.1:8088"), *fields]), receive, send))
    try:
        async with asyncio.timeout(10):
            start = await stream.messages.get()
        assert start["status"] == 200, start
        yield stream
    finally:
        stream.gone.set()
        async with asyncio.timeout(10):
            await task
