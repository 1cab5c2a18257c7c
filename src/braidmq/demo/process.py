"""A process of the demo: started on a leash, signalled by its pid, and asked how it ended."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

from braidmq.demo import leash
from braidmq.errors import BraidError

DRAIN_S: Final = 15.0
"""Time to end after SIGTERM; a broker and a node drain for 5 s at most."""

LINE_BYTES_MAX: Final = 1024 * 1024
"""Longest line of a client's report; three full histograms take less than a tenth of it."""


class DemoFailed(BraidError):  # noqa: N818 - named like the other errors of BraidMQ
    """The demo could not be run; the message says what went wrong."""


class Child:
    """One process.

    Attributes:
        name: the member that it runs.
        ordered: whether the demo has told it to end.
    """

    def __init__(self, name: str, process: Process, log: Path) -> None:
        self.name = name
        self.ordered = False
        self._process = process
        self._log = log

    @classmethod
    async def start(cls, name: str, arguments: Sequence[str], log: Path, *, piped: bool = False) -> Self:
        """Start ``python ARGUMENTS...`` in a session of its own, so that Ctrl-C reaches only the demo.

        Args:
            name: the member that it runs.
            arguments: of the interpreter.
            log: the file that its stderr is added to, and its stdout unless `piped`.
            piped: whether the demo talks to it over its stdin and stdout.
        """
        command = [sys.executable, "-I", "-S", leash.__file__, str(os.getpid()), sys.executable, "-P", *arguments]
        with log.open("ab") as sink:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=PIPE if piped else DEVNULL,
                stdout=PIPE if piped else sink,
                stderr=sink,
                start_new_session=True,
                limit=LINE_BYTES_MAX,
            )
        return cls(name, process, log)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

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
        """End it with SIGKILL, and wait until it is gone."""
        self.ordered = True
        self._signal(signal.SIGKILL)
        await self._process.wait()

    async def drain(self) -> str | None:
        """End it with SIGTERM, and return what is wrong with the way it ended."""
        if self._process.returncode is not None:
            return self.why_it_ended()
        self.ordered = True
        self._signal(signal.SIGTERM)
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
        last = self.last_words()
        return f"{self.name} {how}{': ' if last else ''}{last}"

    def last_words(self) -> str:
        """Return the last line of its log."""
        try:
            lines = self._log.read_text(errors="replace").split("\n")
        except OSError:
            return ""
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def _signal(self, number: signal.Signals) -> None:
        try:
            self._process.send_signal(number)
        except ProcessLookupError:
            return  # it has just ended by itself
