"""An event loop in a thread of its own, for callers in any other thread."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future
from typing import Any, Final, TypeVar

from braidmq.errors import NodeClosed, WrongLoop
from braidmq.host.loggers import own_logger
from braidmq.host.room import room, start

T = TypeVar("T")

LOOP_DESCRIPTORS: Final = 3
"""Descriptors of an event loop: its selector, and the two ends by which other threads wake it. One that lacks the last
of them leaves the others behind."""

TASKS_END_S_MAX: Final = 1.0
"""Time that tasks have to take in that their loop ends. A daemon thread may be left with those that do not."""

_LOG = own_logger("braidmq.node")


class LoopThread:
    """An event loop that any thread may hand work to, while it runs its `main`: in a new thread, or in the caller's.

    A new thread is a daemon: it never keeps a process from ending.

    Raises:
        NoRoom: this process may not have the descriptors of an event loop.
    """

    def __init__(self) -> None:
        self._gate = threading.RLock()  # a signal handler may hand in work while its thread does so
        self._open = True
        self._over = threading.Event()
        self._ident = 0
        self._thread: threading.Thread | None = None
        with room("a node", LOOP_DESCRIPTORS):
            self._loop = asyncio.new_event_loop()

    def start(self, main: Coroutine[Any, Any, None], name: str) -> None:
        """Run `main` in a new thread, which ends when it does.

        Raises:
            NoRoom: this process may not have the thread; nothing is left then.
        """
        self._thread = threading.Thread(target=self.serve, args=(main,), name=name, daemon=True)
        try:
            start(self._thread, "a node")
        except BaseException:
            main.close()
            self._end()
            raise

    def serve(self, main: Coroutine[Any, Any, None]) -> None:
        """Run `main` in this thread."""
        loop = self._loop
        self._ident = threading.get_ident()
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(main)
        finally:
            with self._gate:
                self._open = False
            try:
                loop.run_until_complete(_end_tasks())
            finally:
                asyncio.set_event_loop(None)
                self._end()

    def _end(self) -> None:
        self._open = False
        self._loop.close()
        self._over.set()

    @property
    def here(self) -> bool:
        """Whether the caller runs in the thread of the event loop."""
        return threading.get_ident() == self._ident and not self._over.is_set()

    def call(self, function: Callable[[], None]) -> None:
        """Call a function in the event loop soon, if that has not ended."""
        with self._gate:
            if self._open:
                self._loop.call_soon_threadsafe(function)

    def run(self, work: Coroutine[Any, Any, T], timeout_s: float | None = None) -> T:
        """Run a coroutine to its end, and return its result.

        Raises:
            WrongLoop: the caller runs in the thread of the event loop.
            NodeClosed: the event loop has ended, or ends before the coroutine does.
            TimeoutError: that took longer than `timeout_s`.
        """
        if self.here:
            work.close()
            raise WrongLoop("a blocking call in the node's own thread would wait for itself: use a 'def' handler")
        with self._gate:  # what is handed in before the gate is closed comes to an end in `_end_tasks`
            if not self._open:
                work.close()
                raise NodeClosed("the node was closed")
            future: Future[T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(timeout_s)
        except CancelledError:
            raise NodeClosed("the node was closed before the answer came") from None
        except BaseException:
            future.cancel()
            raise

    def join(self, timeout_s: float) -> bool:
        """Wait until all has ended; return whether it has. In the thread of the event loop there is no waiting."""
        if not self.here:
            self._over.wait(timeout_s)
            if self._over.is_set() and self._thread is not None and self._thread.ident is not None:
                self._thread.join()
        return self._over.is_set()


async def _end_tasks() -> None:
    """End the calls that came when the node had been closed: nobody else would ever run them."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    if left:
        _, left = await asyncio.wait(left, timeout=TASKS_END_S_MAX)
    if left:
        _LOG.warning("%d tasks go on after the end of their event loop: they do not heed their cancellation", len(left))
    try:
        async with asyncio.timeout(TASKS_END_S_MAX):
            await asyncio.get_running_loop().shutdown_asyncgens()
    except TimeoutError:
        _LOG.warning("asynchronous generators go on after the end of their event loop")
