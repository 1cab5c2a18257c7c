"""Workers and callers of a net of real brokers, all in one thread of this process."""

import asyncio
import threading
from contextlib import AsyncExitStack, suppress

from braidmq import Node, RequestError, Services
from braidmq.settings import Settings

PAUSE_S = 0.02
"""Between two calls of a caller."""


class Calls:
    """Nodes that serve and call for as long as it is entered.

    Args:
        net: has their join files.
        serving: the services of each worker.
        calling: the services that each caller calls in turn.
    """

    def __init__(self, net, serving, calling):
        self._net = net
        self._serving = serving
        self._calling = calling
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop
        self._ended: asyncio.Event

    def __enter__(self):
        self._thread.start()
        self._ready.wait()

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()

    async def _run(self):
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        settings = Settings(reconnect_s_max=0.5)
        async with AsyncExitStack() as stack:
            for name, offered in self._serving.items():
                services = Services()
                for service in offered:
                    services.service(service)(_echo)
                await stack.enter_async_context(Node(self._net.join(name), services=services, settings=settings))
            callers = []
            for name, called in self._calling.items():
                node = Node(self._net.join(name), settings=settings)
                callers.append(self._call(await stack.enter_async_context(node), called))
            self._ready.set()
            await asyncio.gather(*callers)

    async def _call(self, node, called):
        turn = 0
        while not self._ended.is_set():
            turn += 1
            with suppress(RequestError):  # brokers are killed under it
                await node.request(called[turn % len(called)], b"hello", timeout=5.0, wait=True)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), PAUSE_S)


async def _echo(request):
    return request.payload
