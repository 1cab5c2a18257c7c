"""Threads for what blocks."""

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

R = TypeVar("R")

_Work = tuple[Callable[[], Any], Callable[[Any], None]]


class NoThreadError(Exception):
    """The system lets this process have no further thread."""


class DaemonThreads:
    """Runs functions in up to `threads_max` threads, which are made when they are needed.

    Unlike those of `concurrent.futures`, the threads never keep a process from ending: a handler that hangs must
    not make its node immortal.
    """

    def __init__(self, threads_max: int, name: str) -> None:
        self._threads_max = threads_max
        self._name = name
        self._threads = 0
        self._idle = threading.Semaphore(0)
        self._work: SimpleQueue[_Work | None] = SimpleQueue()

    def submit(self, function: Callable[[], R], done: Callable[[R], None]) -> None:
        """Run `function` as soon as a thread is free, and then give what it returns to `done`, in that thread.

        Neither may raise. When `done` is called, the thread counts as free. Call it from one thread only.

        Raises:
            NoThreadError: no thread is free, and none can be started; `function` will not run.
        """
        if not self._idle.acquire(blocking=False) and self._threads < self._threads_max:
            self._start()
        self._work.put((function, done))

    def allow(self, threads_max: int) -> None:
        """Let there be more threads if need be. Those that there are stay; call it from the thread of `submit`."""
        self._threads_max = max(self._threads, threads_max)

    def close(self) -> None:
        """Let the threads end once they have run what was submitted."""
        for _ in range(self._threads):
            self._work.put(None)

    def _start(self) -> None:
        name = f"{self._name}-{self._threads + 1}"
        try:
            threading.Thread(target=self._serve, name=name, daemon=True).start()
        except (RuntimeError, MemoryError) as error:
            raise NoThreadError(str(error)) from None
        self._threads += 1

    def _serve(self) -> None:
        while (work := self._work.get()) is not None:
            function, done = work
            result = function()
            self._idle.release()
            done(result)
            del work, function, done, result  # an idle thread keeps no request alive
