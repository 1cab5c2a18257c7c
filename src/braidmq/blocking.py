"""The node without asyncio: the same calls, from any thread."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import CancelledError, Future
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from braidmq.errors import NodeClosed
from braidmq.handler import H
from braidmq.messages import Reply
from braidmq.node import BrokerInfo
from braidmq.node import Node as AsyncNode
from braidmq.services import Services
from braidmq.settings import Settings
from braidmq.trust.joinfile import JoinFile
from braidmq.wire.control import Report

T = TypeVar("T")


class Node:
    """A node whose event loop runs in a thread of its own. Arguments, results and errors are those of `braidmq.Node`.

    Use it as a context manager, or call `start` and `close`. `request` may be called from any thread but the
    node's own: handlers that are `async def` run there, and handlers that are `def` run in threads of the pool.
    """

    def __init__(
        self,
        join: JoinFile | Path | str,
        *,
        settings: Settings | None = None,
        services: Services | None = None,
        state: Path | str | None = None,
    ) -> None:
        self._node = AsyncNode(join, settings=settings, services=services, state=state)
        self.name = self._node.name
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._gate = threading.Lock()

    def service(self, name: str, *, concurrency: int = 64) -> Callable[[H], H]:
        """See `braidmq.Node.service`."""
        return self._node.service(name, concurrency=concurrency)

    @property
    def brokers(self) -> list[BrokerInfo]:
        """See `braidmq.Node.brokers`."""

        async def brokers() -> list[BrokerInfo]:
            return self._node.brokers

        return [] if self._loop is None else self._run(brokers())

    def start(self) -> None:
        """See `braidmq.Node.start`."""
        if self._thread is not None:
            raise NodeClosed("a node is started once")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name=f"braidmq-{self.name}", daemon=True)
        self._thread.start()
        try:
            self._run(self._node.start())
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """See `braidmq.Node.close`."""
        loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return
        self._run(self._node.close())
        with self._gate:
            self._loop = None
        loop.call_soon_threadsafe(loop.stop)
        thread.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def request(
        self,
        service: str,
        payload: bytes | bytearray | memoryview = b"",
        *,
        timeout: float | None = None,
        attempts: int | None = None,
        via: str | None = None,
        headers: Mapping[str, str] | None = None,
        wait: bool | None = None,
    ) -> Reply:
        """See `braidmq.Node.request`."""
        return self._run(
            self._node.request(
                service, payload, timeout=timeout, attempts=attempts, via=via, headers=headers, wait=wait
            )
        )

    def connected(self) -> None:
        """See `braidmq.Node.connected`."""
        self._run(self._node.connected())

    def observe(self, timeout: float = 2.0) -> dict[str, Report]:
        """See `braidmq.Node.observe`."""
        return self._run(self._node.observe(timeout))

    def _serve(self) -> None:
        loop = self._loop
        assert loop is not None
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
        finally:
            loop.run_until_complete(_end_tasks())
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        if threading.current_thread() is self._thread:
            work.close()
            raise RuntimeError("a blocking call in the node's own thread would wait for itself: use a 'def' handler")
        with self._gate:  # what is handed in before the loop is told to stop comes to an end in `_end_tasks`
            if self._loop is None:
                work.close()
                raise NodeClosed("the node is not running: use 'with node', or 'node.start()'")
            future: Future[T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except CancelledError:
            raise NodeClosed("the node was closed before the answer came") from None
        except BaseException:
            future.cancel()
            raise


async def _end_tasks() -> None:
    """End the calls that came when the node had been closed: nobody else would ever run them."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
