"""Runs several processes as one: starts them, starts again what ends by itself, and drains all of them at a signal.

It holds a lifeline to each (see `braidmq.host.lifeline`), so that none outlives it.
"""

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, Protocol

from braidmq.host.clock import monotonic
from braidmq.host.loggers import own_logger
from braidmq.host.loop_notify import LoopNotifier
from braidmq.host.loop_signals import LoopSignals
from braidmq.host.orphans import Orphans
from braidmq.host.pauses import Pauses
from braidmq.host.supervised import FAILURE, Program, Supervised

KILLED_S_MAX: Final = 1.0
"""How long it is waited, before this process ends by a second signal, until those that were killed are gone."""

_LOG = own_logger("braidmq.processes")


class Life(Protocol):
    """What a supervisor keeps going: a process, and those that take its place.

    Attributes:
        ready: is set as soon as one of them is ready.
    """

    ready: asyncio.Event

    @property
    def processes(self) -> Sequence[Supervised]:
        """Those that run or are being started."""

    async def go_on(self, leaving: asyncio.Event) -> int:
        """Run until `leaving` is set or no process of it has ever been ready; return an exit code."""


class Supervisor:
    """The processes. Each must hold a `Lifeline`, and say by it that it is ready.

    Args:
        lives: what is to run, at least one.
    """

    def __init__(self, lives: Sequence[Life]) -> None:
        self._lives = lives

    async def run(self) -> int:
        """Run them until SIGTERM or SIGINT, drain them, and return an exit code. For the main thread.

        The first process is ready before the others are started, so that what is wrong with all is said once. One that
        ends before it was ever ready is wrong: all end. A second signal kills them, and ends this process.

        As process 1 of a container it also waits for what they leave behind.

        Returns:
            0 if all have drained; the code of the one that was not ready; 1 if a signal ended that, or if one has not
            ended in good order.
        """
        leaving = asyncio.Event()
        tasks: list[asyncio.Task[int]] = []

        async def kill() -> None:
            for process in self._processes():
                process.kill()
            await asyncio.wait(tasks, timeout=KILLED_S_MAX)

        def begin(life: Life) -> None:
            task = asyncio.create_task(life.go_on(leaving))
            task.add_done_callback(lambda _: leaving.set())
            tasks.append(task)

        if os.getpid() == 1:
            Orphans(self._numbers)
        with LoopNotifier(self._status) as manager, LoopSignals(leaving, on_first=self._tell, before_the_end=kill):
            begin(self._lives[0])
            await _any(self._lives[0].ready, leaving)
            if not leaving.is_set():
                for life in self._lives[1:]:
                    begin(life)
            for life in self._lives:
                await _any(life.ready, leaving)
            if not leaving.is_set():
                manager.ready()
            await leaving.wait()
            manager.stopping()
            await self._drain(tasks)
        return next((code for code in (task.result() for task in tasks) if code), 0)

    async def _drain(self, tasks: Sequence[asyncio.Task[int]]) -> None:
        """Let all processes drain, and kill those that take too long."""
        processes = self._processes()
        for process in processes:
            process.drain()
        patience_s = max((process.patience_s for process in processes), default=0.0)
        _, late = await asyncio.wait(tasks, timeout=patience_s)
        if late:
            for process in self._processes():
                process.kill(f"has not ended {patience_s:g} s after it was told to drain: it is killed")
            await asyncio.wait(tasks)

    def _status(self) -> str:
        running = sum(any(process.ready.is_set() for process in life.processes) for life in self._lives)
        return f"{running} of {len(self._lives)} processes run"

    def _processes(self) -> list[Supervised]:
        return [process for life in self._lives for process in life.processes]

    def _numbers(self) -> list[int] | None:
        """Return the numbers of the processes that asyncio waits for; None while one is being started."""
        processes = self._processes()
        if any(process.starting for process in processes):
            return None
        return [process.pid for process in processes if process.pid is not None]

    def _tell(self) -> None:
        if len(self._lives) > 1:
            _LOG.info("all %d processes are told to drain", len(self._lives))


class Restarted:
    """A process that is started again when it ends by itself; see `Life`."""

    def __init__(self, program: Program) -> None:
        self.ready = asyncio.Event()
        self._program = program
        self._process: Supervised | None = None

    @property
    def processes(self) -> Sequence[Supervised]:
        """See `Life`."""
        return () if self._process is None else (self._process,)

    async def go_on(self, leaving: asyncio.Event) -> int:
        """See `Life`."""
        pauses, name = Pauses(), self._program.name
        while not leaving.is_set():
            began = monotonic()
            self._process = Supervised(self._program, self.ready.set)
            end = await self._process.run()
            self._process = None
            if leaving.is_set():
                if end.code:
                    _LOG.warning("%s %s while it drained", name, end.how)
                return FAILURE if end.code else 0
            if not self.ready.is_set():
                _LOG.log(end.level, "all end, as %s was never ready: it %s", name, end.how)
                return end.exit_code
            pause_s = pauses.after(monotonic() - began)
            _LOG.warning("%s %s: it is started again in %g s", name, end.how, pause_s)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await leaving.wait()
        return 0


async def _any(*events: asyncio.Event) -> None:
    """Wait until one of these is set."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
