"""The signals that end a program with an event loop of asyncio: the first one drains, a second one ends it at once."""

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from braidmq.host.signals import STOP_SIGNALS, end_by_signal


class LoopSignals:
    """Handles SIGINT and SIGTERM in the running event loop while its block lasts. For the main thread.

    Args:
        leaving: is set by the first signal. One that comes when it is set, by whatever, ends the process.
        on_first: called right before the first signal sets it.
        before_the_end: awaited before a second signal ends the process.
    """

    def __init__(
        self,
        leaving: asyncio.Event,
        *,
        on_first: Callable[[], None],
        before_the_end: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._leaving = leaving
        self._on_first = on_first
        self._before_the_end = before_the_end
        self._loop = asyncio.get_running_loop()
        self._endings: list[asyncio.Task[None]] = []

    def __enter__(self) -> Self:
        for number in STOP_SIGNALS:
            self._loop.add_signal_handler(number, self._on_signal, number)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number in STOP_SIGNALS:
            self._loop.remove_signal_handler(number)

    def _on_signal(self, number: int) -> None:
        if self._leaving.is_set():
            self._endings.append(self._loop.create_task(self._end(number)))  # the loop alone would not keep it
        else:
            self._on_first()
            self._leaving.set()

    async def _end(self, number: int) -> None:
        if self._before_the_end is not None:
            await self._before_the_end()
        end_by_signal(number)
