"""A process of a demo or a benchmark: started on a leash, signalled by its pid, and asked how it ended."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from braidmq.lab.processes import die_with_parent

DRAIN_S: Final = 15.0
"""Time to end after SIGTERM; a broker and a node drain for 5 s at most."""

LINE_BYTES_MAX: Final = 1024 * 1024
"""Longest line of a child's report; three full histograms take less than a tenth of it."""


def python(*arguments: str, bare: bool = False) -> list[str]:
    """Return the command that runs this interpreter; a `bare` one imports nothing but what its program asks for."""
    return [sys.executable, *(("-I", "-S") if bare else ("-P",)), *arguments]


class Child:
    """One process, and those that it starts.

    Attributes:
        name: the member that it runs.
        ordered: whether it was told to end.
    """

    def __init__(self, name: str, process: Process, log: Path) -> None:
        self.name = name
        self.ordered = False
        self._process = process
        self._log = log

    @classmethod
    async def start(
        cls,
        name: str,
        command: Sequence[str],
        log: Path,
        *,
        piped: bool = False,
        env: Mapping[str, str] | None = None,
    ) -> Self:
        """Start a command in a session of its own, so that Ctrl-C reaches only its parent.

        Args:
            name: the member that it runs.
            command: the program, by its path, and its arguments; see `python`.
            log: the file that its stderr is added to, and its stdout unless `piped`.
            piped: whether its parent talks to it over its stdin and stdout.
            env: what its environment has besides this process's.
        """
        with log.open("ab") as sink:
            process = await asyncio.create_subprocess_exec(
                *python(die_with_parent.__file__, str(os.getpid()), *command, bare=True),
                stdin=PIPE if piped else DEVNULL,
                stdout=PIPE if piped else sink,
                stderr=sink,
                start_new_session=True,
                limit=LINE_BYTES_MAX,
                env={**os.environ, **(env or {})},
            )
        return cls(name, process, log)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether it has ended, by itself or not."""
        return self._process.returncode is not None

    @property
    def reports(self) -> asyncio.StreamReader:
        """What it writes to its stdout, if it is piped."""
        assert self._process.stdout is not None
        return self._process.stdout

    def tell(self, command: str) -> None:
        """Write a line to its stdin, if it is piped and still there."""
        if self._process.stdin is not None and not self._process.stdin.is_closing():
            self._process.stdin.write(f"{command}\n".encode())

    async def kill(self) -> None:
        """End it and what it has started with SIGKILL, and wait until it is gone."""
        self.ordered = True
        with suppress(ProcessLookupError):  # it has just ended by itself
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()

    async def drain(self) -> str | None:
        """End it with SIGTERM, and return what is wrong with the way it ended."""
        if self.has_ended:
            return self.why_it_ended()
        self.ordered = True
        with suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(DRAIN_S):
                await self._process.wait()
        except TimeoutError:
            await self.kill()
            return f"{self.name} had not ended {DRAIN_S:g} s after SIGTERM"
        return self.why_it_ended() if self._process.returncode else None

    async def ended(self) -> None:
        """Wait until it has ended, by itself or not."""
        await self._process.wait()

    def why_it_ended(self) -> str:
        """Return one line on its exit code and the last thing that it said."""
        code = self._process.returncode or 0
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        last = self.last_log_line()
        return f"{self.name} {how}{': ' if last else ''}{last}"

    def last_log_line(self) -> str:
        """Return the last line of its log."""
        try:
            lines = self._log.read_text(errors="replace").split("\n")
        except OSError:
            return ""
        return next((line.strip() for line in reversed(lines) if line.strip()), "")
