"""Runs several processes as one: starts them, starts again what ends by itself, and drains all of them at a signal.

It holds a lifeline to each (see `braidmq.host.lifeline`), so that none outlives it. Where a service manager watches
over it, it watches over them in the same way: one that hangs is ended, and started again.
"""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from braidmq.host.clock import monotonic
from braidmq.host.lifeline import ENDING_S_MAX
from braidmq.host.loggers import own_logger
from braidmq.host.loop_notify import LoopNotifier
from braidmq.host.loop_signals import LoopSignals
from braidmq.host.notify import VARIABLES
from braidmq.host.pauses import Pauses

KILLED_S_MAX: Final = 1.0
"""How long it is waited, before this process ends by a second signal, until those that were killed are gone."""

_HEARD_S_MAX: Final = 1.0
"""How long a word is waited for that a process has said right before its end."""

_WORDS_MAX: Final = 64
"""How many words of a process are read at a time: that they have come is all that they say."""

_FAILURE: Final = 1

_LOG = own_logger("braidmq.broker")


class Program(NamedTuple):
    """A process that is to run: what it is called, and its program with its arguments."""

    name: str
    command: tuple[str, ...]


class Supervisor:
    """The processes. Each must hold a `Lifeline`, and say by it that it is ready.

    Args:
        programs: what is to run, at least one.
        drain_s: how long each may drain.
    """

    def __init__(self, programs: Sequence[Program], drain_s: float) -> None:
        self._programs = programs
        self._patience_s = drain_s + ENDING_S_MAX

    async def run(self) -> int:
        """Run them until SIGTERM or SIGINT, drain them, and return an exit code. For the main thread.

        The first process is ready before the others are started, so that what is wrong with all is said once. One that
        ends before it was ever ready is wrong: all end. A second signal kills them, and ends this process.

        Returns:
            0 if all have drained; the code of the one that was not ready; 1 if a signal ended that, or if one has not
            ended in good order.
        """
        leaving = asyncio.Event()
        manager = LoopNotifier(lambda: f"{sum(life.runs for life in lives)} of {len(lives)} processes run")
        lives = [_Life(program, leaving, manager.watchdog_s) for program in self._programs]
        tasks: list[asyncio.Task[int]] = []

        async def kill() -> None:
            for life in lives:
                life.kill()
            await asyncio.wait(tasks, timeout=KILLED_S_MAX)

        def begin(life: _Life) -> None:
            task = asyncio.create_task(life.go_on())
            task.add_done_callback(lambda _: leaving.set())
            tasks.append(task)

        with manager, LoopSignals(leaving, on_first=self._tell, before_the_end=kill):
            begin(lives[0])
            await _any(lives[0].ready, leaving)
            if not leaving.is_set():
                for life in lives[1:]:
                    begin(life)
            for life in lives:
                await _any(life.ready, leaving)
            if not leaving.is_set():
                manager.ready()
            await leaving.wait()
            manager.stopping()
            for life in lives:
                life.drain()
            _, late = await asyncio.wait(tasks, timeout=self._patience_s)
            if late:
                for life in lives:
                    life.kill(f"has not ended {self._patience_s:g} s after it was told to drain: it is killed")
                await asyncio.wait(tasks)
        return next((code for code in (task.result() for task in tasks) if code), 0)

    def _tell(self) -> None:
        _LOG.info("all %d processes are told to drain", len(self._programs))


class _End(NamedTuple):
    """How a process has ended: its exit code, negative for a signal; in words; and whether it has said why itself."""

    code: int
    how: str
    told: bool


class _Life:
    """One process, and those that take its place.

    Attributes:
        ready: is set as soon as one of them was ready.
        runs: whether there is one that is ready now.

    Args:
        program: what is to run.
        leaving: is set when all are to end.
        silent_s_max: for how long one that is ready may say nothing before it is killed; None: without end.
    """

    def __init__(self, program: Program, leaving: asyncio.Event, silent_s_max: float | None) -> None:
        self.ready = asyncio.Event()
        self._name, self._command = program
        self._leaving = leaving
        self._process: asyncio.subprocess.Process | None = None
        self._lifeline: socket.socket | None = None
        self._silent_s_max = silent_s_max
        self.runs = False

    async def go_on(self) -> int:
        """Run it, again and again, until `leaving` is set or it has never been ready; return an exit code."""
        pauses = Pauses()
        while not self._leaving.is_set():
            began = monotonic()
            end = await self._run()
            if self._leaving.is_set():
                if end.code:
                    _LOG.warning("%s %s while it drained", self._name, end.how)
                return _FAILURE if end.code else 0
            if not self.ready.is_set():
                level = logging.INFO if end.told else logging.WARNING
                _LOG.log(level, "all end, as %s was never ready: it %s", self._name, end.how)
                return end.code if end.told else _FAILURE
            pause_s = pauses.after(monotonic() - began)
            _LOG.warning("%s %s: it is started again in %g s", self._name, end.how, pause_s)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._leaving.wait()
        return 0

    def drain(self) -> None:
        """Tell it to drain, if it runs."""
        if self._lifeline is not None:
            with suppress(OSError):  # it has just ended
                self._lifeline.shutdown(socket.SHUT_WR)

    def kill(self, why: str = "") -> None:
        """End it at once, if it runs; tell the log why."""
        if self._process is not None and self._process.returncode is None:
            if why:
                _LOG.warning("%s %s", self._name, why)
            with suppress(ProcessLookupError):
                self._process.kill()

    async def _run(self) -> _End:
        """Run it once."""
        try:
            ours, theirs = socket.socketpair()
        except OSError as error:
            return _not_begun(error)
        with ours:
            with theirs:
                try:
                    # In a session of its own, so that Ctrl-C reaches this process alone.
                    process = await asyncio.create_subprocess_exec(
                        *self._command, stdin=theirs.fileno(), start_new_session=True, env=_environment()
                    )
                except OSError as error:
                    return _not_begun(error)
            ours.setblocking(False)
            self._process, self._lifeline = process, ours
            if self._leaving.is_set():
                self.drain()
            _LOG.info("%s runs as process %d", self._name, process.pid)
            hearing = asyncio.create_task(self._hear(ours))
            try:
                code = await process.wait()
                await asyncio.wait((hearing,), timeout=_HEARD_S_MAX)
            finally:
                hearing.cancel()
                await asyncio.wait((hearing,))
                self._process = self._lifeline = None
                self.runs = False
        return _End(code, _how(code), told=code > 0)

    async def _hear(self, lifeline: socket.socket) -> None:
        """Hear it until it has ended, or is silent for too long."""
        loop = asyncio.get_running_loop()
        with suppress(ConnectionError):
            while True:
                try:
                    async with asyncio.timeout(self._silent_s_max if self.runs else None):
                        if not await loop.sock_recv(lifeline, _WORDS_MAX):
                            return
                except TimeoutError:
                    self.kill(f"has said nothing for {self._silent_s_max:g} s: it hangs, and is killed")
                    return
                self.runs = True
                self.ready.set()


async def _any(*events: asyncio.Event) -> None:
    """Wait until one of these is set."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()


def _environment() -> dict[str, str]:
    """Return what is in the environment for others than this process alone."""
    return {name: value for name, value in os.environ.items() if name not in VARIABLES}


def _not_begun(error: OSError) -> _End:
    return _End(_FAILURE, f"cannot be started ({error.strerror or error})", told=False)


def _how(code: int) -> str:
    """Return how a process has ended."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
