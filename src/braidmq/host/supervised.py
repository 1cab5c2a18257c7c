"""One process that a supervisor looks after: it is run once, and hears of its end by a lifeline.

See `braidmq.host.lifeline` for the other end. Where a service manager watches over the supervisor, that watches over
its processes in the same way: one that hangs is ended.
"""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NamedTuple

from braidmq.host.lifeline import ENDING_S_MAX, READY
from braidmq.host.loggers import own_logger
from braidmq.host.notify import VARIABLES, watchdog_s

FAILURE: Final = 1
"""The exit code of a supervisor whose processes have not ended in good order."""

_HEARD_S_MAX: Final = 1.0
"""How long a word is waited for that a process has said right before its end."""

_WORDS_MAX: Final = 64
"""How many words of a process are read at a time: that they have come is all that they say."""

_LOG = own_logger("braidmq.processes")


class Program(NamedTuple):
    """A process that is to run: what it is called, and its program with its arguments."""

    name: str
    command: tuple[str, ...]


class End(NamedTuple):
    """How a process has ended: its exit code, negative for a signal; in words; and whether it has said why itself."""

    code: int
    how: str
    told: bool

    @property
    def level(self) -> int:
        """How loud a line about it has to be, where the process should have said why."""
        return logging.INFO if self.told else logging.WARNING

    @property
    def exit_code(self) -> int:
        """What becomes of it as the exit code of another process, if it should not have ended."""
        return self.code if self.told else FAILURE


class Supervised:
    """A process that must hold a `Lifeline`. Make it in a running event loop, and then call `run`, once.

    Args:
        program: what it runs.
        on_ready: called when it says that it is ready.

    Attributes:
        name: what it is called.
        ready: set when it has said so.
        starting: whether it is about to have a number.
        pid: its number; None before it has one, and when it has ended.
        patience_s: how long it may take to end once it was told to drain.
    """

    def __init__(self, program: Program, on_ready: Callable[[], object] | None = None) -> None:
        self.name, self._command = program
        self._on_ready = on_ready
        self.ready = asyncio.Event()
        self.starting = True
        self.pid: int | None = None
        self.patience_s = ENDING_S_MAX
        self._process: asyncio.subprocess.Process | None = None
        self._lifeline: socket.socket | None = None
        self._leaving = False
        self._silent_s_max = watchdog_s()

    def drain(self) -> None:
        """Tell it to drain; one that is not ready ends at once."""
        self._leaving = True
        if self._lifeline is not None:
            with suppress(OSError):  # it has just ended
                self._lifeline.shutdown(socket.SHUT_WR)

    def kill(self, why: str = "") -> None:
        """End it at once, if it runs; tell the log why."""
        if self._process is not None and self._process.returncode is None:
            if why:
                _LOG.warning("%s %s", self.name, why)
            with suppress(ProcessLookupError):
                self._process.kill()

    async def run(self) -> End:
        """Run it until it has ended."""
        try:
            return await self._run()
        except OSError as error:
            return End(FAILURE, f"cannot be started ({error.strerror or error})", told=False)
        finally:
            self.starting = False
            self.pid = self._process = self._lifeline = None

    async def _run(self) -> End:
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                # In a session of its own, so that Ctrl-C reaches this process alone.
                process = await asyncio.create_subprocess_exec(
                    *self._command, stdin=theirs.fileno(), start_new_session=True, env=_environment()
                )
            ours.setblocking(False)
            self._process, self._lifeline, self.pid = process, ours, process.pid
            self.starting = False
            if self._leaving:
                self.drain()
            _LOG.info("%s runs as process %d", self.name, process.pid)
            hearing = asyncio.create_task(self._hear(ours))
            try:
                code = await process.wait()
                await asyncio.wait((hearing,), timeout=_HEARD_S_MAX)
            finally:
                hearing.cancel()
                await asyncio.wait((hearing,))
        return End(code, _how(code), told=code > 0)

    async def _hear(self, lifeline: socket.socket) -> None:
        """Hear it until it has ended, or says nothing for too long after it was ready."""
        loop = asyncio.get_running_loop()
        with suppress(ConnectionError):
            said = await loop.sock_recv(lifeline, READY.size)
            if len(said) < READY.size:
                return
            self.patience_s = READY.unpack(said)[0] + ENDING_S_MAX
            self.ready.set()
            if self._on_ready is not None:
                self._on_ready()
            try:
                while said:
                    async with asyncio.timeout(self._silent_s_max):
                        said = await loop.sock_recv(lifeline, _WORDS_MAX)
            except TimeoutError:
                self.kill(f"has said nothing for {self._silent_s_max:g} s: it hangs, and is killed")


def _environment() -> dict[str, str]:
    """Return what is in the environment for others than this process alone."""
    return {name: value for name, value in os.environ.items() if name not in VARIABLES}


def _how(code: int) -> str:
    """Return how a process has ended."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
