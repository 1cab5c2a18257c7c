"""What the processes of a benchmark ask of a system's module, and the event loop that all of them use."""

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

Call = Callable[[bytes], Awaitable[bytes]]
"""Makes one call: a payload in, the same payload back. Raises what its system raises."""


class Ends(Protocol):
    """The module of a system."""

    def connect(self, address: str) -> AbstractAsyncContextManager[Call]:
        """Connect a client."""

    async def serve(self, address: str, ready: Callable[[], None]) -> None:
        """Be a worker that answers each request with its payload, until SIGTERM; call `ready` once it can be called."""


async def until_told_to_stop() -> None:
    """Wait for SIGTERM."""
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    await told.wait()


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine, on uvloop where it is installed: for every system alike."""
    with contextlib.suppress(ImportError):
        import uvloop

        return uvloop.run(main)
    return asyncio.run(main)
