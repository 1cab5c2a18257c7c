"""Threads for handlers that block."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Generic, TypeVar

A = TypeVar("A")
R = TypeVar("R")


class DaemonThreads(Generic[A, R]):
    """Runs functions in up to `threads_max` threads, which are made when they are needed.

    Unlike those of `concurrent.futures`, the threads never keep a process from ending: a handler that hangs must
    not make its node immortal.
    """

    def __init__(self, threads_max: int, name: str) -> None:
        self._threads_max = threads_max
        self._name = name
        self._threads = 0
        self._idle = threading.Semaphore(0)
        self._work: SimpleQueue[tuple[Future[R], Callable[[A], R], A] | None] = SimpleQueue()

    def submit(self, function: Callable[[A], R], argument: A) -> Future[R]:
        """Run `function(argument)` as soon as a thread is free. Call it from one thread only."""
        future: Future[R] = Future()
        self._work.put((future, function, argument))
        if not self._idle.acquire(blocking=False) and self._threads < self._threads_max:
            self._threads += 1
            threading.Thread(target=self._serve, name=f"{self._name}-{self._threads}", daemon=True).start()
        return future

    def close(self) -> None:
        """Let the threads end once they have run what was submitted."""
        for _ in range(self._threads):
            self._work.put(None)

    def _serve(self) -> None:
        while (item := self._work.get()) is not None:
            future, function, argument = item
            if future.set_running_or_notify_cancel():
                try:
                    result = function(argument)
                except BaseException as error:  # noqa: BLE001 - it is raised again where the future is awaited
                    future.set_exception(error)
                else:
                    future.set_result(result)
            self._idle.release()
