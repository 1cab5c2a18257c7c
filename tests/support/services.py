"""Services whose handlers a test holds or just answers, in nets of their own."""

import asyncio
from contextlib import asynccontextmanager

from braidmq.testing import TestNet


class Gate:
    """An `async def` handler that counts, and holds requests until it is opened."""

    def __init__(self, result=b"done"):
        self.result = result
        self.opened = asyncio.Event()
        self.started = []
        self.ended = 0
        self.cancelled = 0
        self.most = 0

    async def __call__(self, request):
        self.started.append(request)
        self.most = max(self.most, self.running)
        try:
            await self.opened.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.ended += 1
        return self.result

    @property
    def running(self):
        return len(self.started) - self.ended

    def serve(self, node, service="s", **options):
        @node.service(service, **options)
        async def handler(request):
            return await self(request)


@asynccontextmanager
async def one_service(handler, *, brokers=1, settings=None, client_settings=None, **options):
    """A net in which `worker` serves `handler` as s; yields the net and a client."""
    async with TestNet(brokers, settings=settings) as net:
        worker = net.node("worker")
        if isinstance(handler, Gate):
            handler.serve(worker, **options)
        else:
            worker.service("s", **options)(handler)
        async with worker, net.node("client", settings=client_settings) as client:
            await net.served("s")
            yield net, client


async def async_echo(request):
    return request.payload


def def_echo(request):
    return request.payload


def handler_that(act, blocking):
    """A handler, `def` or `async def`, that returns what `act` returns."""

    def handler(_request):
        return act()

    async def async_handler(_request):
        return act()

    return handler if blocking else async_handler
