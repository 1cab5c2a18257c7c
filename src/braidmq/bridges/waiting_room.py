"""Where calls wait for their turn that are made by a task each."""

import asyncio
from collections.abc import Hashable

from braidmq.bridges.turns import Turns
from braidmq.errors import Overloaded
from braidmq.host.clock import TIMER_SLACK_S, monotonic
from braidmq.settings import Settings


class WaitingRoom:
    """Gives calls their turns, see Turns. Create it inside a running event loop, to which all of it belongs.

    Args:
        settings: of the node.
    """

    def __init__(self, settings: Settings) -> None:
        self._loop = asyncio.get_running_loop()
        self._turns: Turns[int] = Turns(settings)
        self._waiting: dict[int, asyncio.Future[float]] = {}
        self._numbers = 0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = 0.0

    def enter(
        self, owner: Hashable, line: Hashable, size: int, timeout_s: float
    ) -> tuple[int, asyncio.Future[float] | None]:
        """Take a call, see Turns.enter; `leave` is to follow, also where it waits in vain.

        Returns:
            what names it, and None if it is on its way now; else what to wait for: it ends with how many seconds the
            call has left, or with Overloaded if it has waited for all of its time.

        Raises:
            Overloaded: too many wait already.
        """
        self._numbers += 1
        number = self._numbers
        if self._turns.enter(number, owner, line, size, monotonic() + timeout_s):
            return number, None
        place = self._waiting[number] = self._loop.create_future()
        self._set_timer()
        return number, place

    def leave(self, number: int) -> None:
        """Note that a call has ended, or that nobody waits for it any more; others may go on."""
        self._waiting.pop(number, None)
        self._turns.leave(number)
        for each, left_s in self._turns.take(monotonic()):
            place = self._waiting.pop(each)
            if not place.done():  # else its task has been cancelled, and leaves as soon as it learns of it
                place.set_result(left_s)

    def _set_timer(self) -> None:
        due = self._turns.next_deadline()
        if due is None or (self._timer is not None and self._timer_due <= due):
            return  # it looks again when it comes
        if self._timer is not None:
            self._timer.cancel()
        self._timer_due = due
        self._timer = self._loop.call_later(max(0.0, due - monotonic()) + TIMER_SLACK_S, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        for number in self._turns.take_late(monotonic()):
            place = self._waiting.pop(number)
            if not place.done():
                place.set_exception(Overloaded("no place was free among the calls of all callers"))
        self._set_timer()
