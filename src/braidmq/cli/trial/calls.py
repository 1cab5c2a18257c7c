"""The calls of a trial: one of a fixed rate, or with so many under way."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, NamedTuple

from braidmq.cli.trial.tally import Tally
from braidmq.errors import BraidError
from braidmq.host.clock import monotonic
from braidmq.host.loop_signals import LoopSignals
from braidmq.lab.pace import Pace
from braidmq.messages import Reply
from braidmq.node import Node

SETTLE_S_MAX: Final = 2.0
"""How long a broker may take to be connected or to fail before the first call."""

IN_FLIGHT_MAX: Final = 2_048
"""Calls under way at once: what brokers take from one key by default. What is due beyond is not begun, but counted."""

AFTER_ERROR_S: Final = 0.01
"""Pause of whoever has just got an error: what is refused at once would be asked for without end."""


class Call(NamedTuple):
    """What to call, and how.

    Attributes:
        service: its name.
        payload: of each call.
        timeout_s: see Node.request; so is `attempts`.
        via: returns the broker to use for the next call; None lets the node choose.
    """

    service: str
    payload: bytes
    timeout_s: float | None
    attempts: int | None
    via: Callable[[], str | None] = lambda: None


End = Reply | BraidError
"""How a call ends."""


class Calls:
    """Makes calls and counts how they end.

    Args:
        node: who calls.
        call: what.
        on_end: is told the number of a call, its end, and how long it took since it was due.

    Attributes:
        tally: what became of them.
        held_back: calls that were due, and did not begin, as too many were under way.
        seconds: how long calls were begun.
    """

    def __init__(self, node: Node, call: Call, on_end: Callable[[int, End, float], None] | None = None) -> None:
        self._node = node
        self._call = call
        self._on_end = on_end
        self.tally = Tally()
        self.held_back = 0
        self.seconds = 0.0
        self._began = self._half = self._until = monotonic()
        self._steady = 0
        self._runs: asyncio.Task[object] | None = None

    @property
    def per_s(self) -> float:
        """Replies per second, in the second half of the time: in the first one, connections, credit and queues settle.

        If it was ended before, in all of the time.
        """
        steady_s = self._began + self.seconds - self._half
        if steady_s > 0.0:
            return self._steady / steady_s
        return self.tally.answered / self.seconds if self.seconds > 0.0 else 0.0

    async def open(self, rate: float, count: int | None) -> None:
        """Begin `rate` calls each second, `count` in all (None: without end); latencies count from when one was due."""
        self._start(math.inf if count is None else count / rate)
        pace = Pace(self._began, rate, count)
        try:
            async with asyncio.TaskGroup() as tasks:
                while not pace.done:
                    for due_at in pace.take(monotonic()):
                        if self.tally.under_way < IN_FLIGHT_MAX:
                            self._begin(tasks, due_at)
                        else:
                            self.held_back += 1
                    if not pace.done:
                        await asyncio.sleep(pace.wait_s(monotonic()))
                self._stop()
        finally:
            self._stop()

    async def closed(self, in_flight: int, duration_s: float) -> None:
        """Keep `in_flight` calls under way; none begins after `duration_s`."""
        self._start(duration_s)
        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(in_flight):
                    tasks.create_task(self._go_on())
        finally:
            self._stop()

    def end(self) -> None:
        """End what goes on, by cancelling it: calls under way are not counted."""
        if self._runs is not None:
            self._runs.cancel()

    def _start(self, duration_s: float) -> None:
        self._runs = asyncio.current_task()
        self._began = monotonic()
        self._half = self._began + duration_s / 2
        self._until = self._began + duration_s

    def _stop(self) -> None:
        """Note that no further call begins."""
        self._until = min(self._until, monotonic())
        self.seconds = self._until - self._began

    async def _go_on(self) -> None:
        while (now := monotonic()) < self._until:
            self.tally.sent += 1
            if not await self._one(self.tally.sent, now):
                await asyncio.sleep(AFTER_ERROR_S)

    def _begin(self, tasks: asyncio.TaskGroup, due_at: float) -> None:
        self.tally.sent += 1
        tasks.create_task(self._one(self.tally.sent, due_at))

    async def _one(self, number: int, due_at: float) -> bool:
        """Make one call; return whether it was answered."""
        end = await self._end_of_call()
        now = monotonic()
        if isinstance(end, Reply):
            self.tally.on_reply(end, now - due_at)
            self._steady += self._half <= now <= self._until
        else:
            self.tally.on_error(end)
        if self._on_end is not None:
            self._on_end(number, end, now - due_at)
        return isinstance(end, Reply)

    async def _end_of_call(self) -> End:
        call = self._call
        try:
            return await self._node.request(
                call.service, call.payload, timeout=call.timeout_s, attempts=call.attempts, via=call.via()
            )
        except BraidError as error:
            return error


async def until_signal(node: Node, timeout_s: float, work: Callable[[], Awaitable[object]]) -> None:
    """Connect the node, and do the work, until it is done or SIGINT or SIGTERM comes; a second one ends the process.

    Raises:
        NotRegistered: every broker refuses this node's key.
        NoBroker: none could be reached within `timeout_s`.
    """
    task = asyncio.current_task()
    assert task is not None

    def cancel() -> None:
        task.cancel()

    with LoopSignals(asyncio.Event(), on_first=cancel), suppress(asyncio.CancelledError):
        async with node:
            await node.settled(min(SETTLE_S_MAX, timeout_s))
            await node.connected(timeout_s)
            await work()


class Rotation:
    """Takes the brokers that are up in turn."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._last = ""

    def __call__(self) -> str | None:
        """Return the next one; None if none is up."""
        up = [each.name for each in self._node.brokers if each.state == "up"]
        if not up:
            return None
        self._last = next((name for name in up if name > self._last), up[0])
        return self._last
