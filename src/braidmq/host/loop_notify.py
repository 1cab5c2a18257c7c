"""Tells the service manager of a program with an event loop of asyncio, from that loop: if it hangs, all is silent."""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self

from braidmq.host.clock import monotonic
from braidmq.host.lifeline import LIFE_S, Lifeline
from braidmq.host.notify import Notifier


class LoopNotifier:
    """Talks to the service manager, if there is one, while its block lasts. Use it in the loop that does the work.

    Args:
        status: see Notifier.
        lifeline: that of a supervised process, whose supervisor hears that it lives.
    """

    def __init__(self, status: Callable[[], str], lifeline: Lifeline | None = None) -> None:
        self._notifier = Notifier(status)
        self._lifeline = lifeline
        self._beat_s = self._notifier.beat_s if lifeline is None else LIFE_S
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._serves = False

    def __enter__(self) -> Self:
        self._wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._notifier.close()

    def ready(self) -> None:
        """See Notifier."""
        self._serves = True
        self._notifier.ready(monotonic())

    def stopping(self) -> None:
        """See Notifier."""
        self._notifier.stopping(monotonic())

    def _wait(self) -> None:
        if self._beat_s is not None:
            self._timer = self._loop.call_later(self._beat_s, self._on_time)

    def _on_time(self) -> None:
        now = monotonic()
        self._notifier.on_time(now)
        if self._lifeline is not None and self._serves:
            self._lifeline.beat(now)
        self._wait()
