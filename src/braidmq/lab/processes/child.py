"""A process that stays until it is told to end: signalled by its pid, listened to, and asked how it ended.

One that is started by `Child(...)` is read all the time: `wait_for_line` waits for a line of its stderr. One that is
started by `Child.leashed(...)` cannot outlive this process, and writes to a file; who starts it runs an event loop, and
awaits `ended`, `report`, `kill` and `drain`. A child that `talks` reads lines from its stdin and writes lines to its
stdout: `tell` and `hear`, or `report`.
"""

import asyncio
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import IO, Any, Final, Self, TypeVar

from braidmq.lab.processes import die_with_parent
from braidmq.lab.processes.waiting import WAIT_S_MAX

T = TypeVar("T")

BRAIDMQ: Final = (sys.executable, "-m", "braidmq")

DRAIN_S: Final = 15.0
"""Time to end after SIGTERM; a broker and a node drain for 5 s at most."""

_ENDING: Final = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


def python(*arguments: str, bare: bool = False) -> list[str]:
    """Return the command that runs this interpreter; a `bare` one imports nothing but what its program asks for."""
    return [sys.executable, *(("-I", "-S") if bare else ("-P",)), *arguments]


def environment(**changes: str) -> dict[str, str]:
    """Return this process's environment without BraidMQ's own variables, with `changes`."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("BRAIDMQ_")}
    return {**own, **changes}


class Child:
    """A process, and those that it starts if it is leashed.

    Attributes:
        name: the member that it runs, if it was told.
        ordered: whether it was told to end.

    Args:
        command: the program and its arguments.
        name: the member that it runs.
        cwd: its directory.
        env: changes of its environment.
        talks: whether its stdin and stdout are pipes to this process.
        log: the file that its stderr is added to, and its stdout unless it talks; without one, its stderr is read.
    """

    def __init__(
        self,
        command: Sequence[object],
        *,
        name: str = "",
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        talks: bool = False,
        log: Path | None = None,
    ) -> None:
        self.name = name
        self.ordered = False
        self._path = log
        self._reads = threading.Event()
        self._reads.set()
        with ExitStack() as stack:
            sink = None if log is None else stack.enter_context(log.open("ab"))
            self._process = subprocess.Popen(  # noqa: S603 - the command comes from this process itself
                [str(each) for each in command],
                stdin=PIPE if talks else DEVNULL,
                stdout=PIPE if talks else sink or DEVNULL,
                stderr=sink or PIPE,
                cwd=cwd,
                env=environment(**env or {}),
                text=True,
                errors="replace",
                start_new_session=log is not None,
            )
        self._lines: list[str] = []
        self._heard: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._news = threading.Condition()
        self._listeners: set[Callable[[], object]] = set()
        self._closed = False
        self._threads: list[threading.Thread] = []
        if talks:
            self._begin(self._read_reports, leashed=log is not None)
        if log is None:
            self._begin(self._read_log, leashed=False)
        else:
            self._begin(self._await_end, leashed=True)

    @classmethod
    def leashed(
        cls, name: str, command: Sequence[str], log: Path, *, talks: bool = False, env: Mapping[str, str] | None = None
    ) -> Self:
        """Start a command that ends with this process, in a session of its own, so that Ctrl-C reaches only its parent.

        Args:
            name: the member that it runs.
            command: the program, by its path, and its arguments; see `python`.
            log: see Child.
            talks: see Child.
            env: what its environment has besides all of this process's.
        """
        leash = python(die_with_parent.__file__, str(os.getpid()), *command, bare=True)
        return cls(leash, name=name, env={**os.environ, **(env or {})}, talks=talks, log=log)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def rss_bytes(self) -> int:
        """The memory that it has resident."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    # -- what it says

    @property
    def log(self) -> str:
        """What it has written to stderr so far."""
        if self._path is not None:
            with suppress(OSError):
                return self._path.read_text(errors="replace")
            return ""
        with self._news:
            return "".join(self._lines)

    def last_log_line(self) -> str:
        """Return the last line of its log."""
        return next((line.strip() for line in reversed(self.log.split("\n")) if line.strip()), "")

    def why_it_ended(self) -> str:
        """Return one line on its exit code and the last thing that it said."""
        code = self._process.returncode or 0
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        last = self.last_log_line()
        return f"{self.name} {how}{': ' if last else ''}{last}"

    def wait_for_line(self, text: str, timeout: float = WAIT_S_MAX) -> str:
        """Wait for a line of stderr that holds `text`, and return the first one."""

        def found() -> str | None:
            return next((line for line in self._lines if text in line), None)

        with self._news:
            self._news.wait_for(lambda: found() or self._closed, timeout)
            line = found()
            assert line is not None, f"no line with {text!r} in:\n{''.join(self._lines)}"
            return line

    def stop_reading(self) -> None:
        """Read no more of its stderr, which then fills up, until `read_on`."""
        self._reads.clear()

    def read_on(self) -> None:
        """Read its stderr again."""
        self._reads.set()

    # -- what it is told

    def tell(self, line: str) -> None:
        """Write a line to its stdin, if it is still there."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()

    def hear(self, timeout: float = WAIT_S_MAX) -> str:
        """Wait for the next line of its stdout, and return it."""
        try:
            line = self._heard.get(timeout=timeout)
        except queue.Empty:
            raise AssertionError(f"it said nothing for {timeout:g} s; its log:\n{self.log}") from None
        if not line:
            self._heard.put(line)
            raise AssertionError(f"it says nothing any more; its log:\n{self.log}")
        return line

    def send_signal(self, number: int) -> None:
        """Send it a signal."""
        self.ordered = self.ordered or number in _ENDING
        self._process.send_signal(number)

    def wait(self, timeout: float = WAIT_S_MAX) -> int:
        """Wait until it has ended and all of its stderr is in `log`; return its exit code, negative for a signal."""
        code = self._process.wait(timeout)
        for thread in self._threads:
            thread.join(timeout)
        return code

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send it a signal and return its exit code."""
        self.send_signal(number)
        return self.wait()

    def close(self) -> None:
        """End it, whatever it does, and release what it held."""
        self.ordered = True
        self.read_on()
        self._process.kill()
        self._process.send_signal(signal.SIGCONT)
        self.wait()
        self._release()

    # -- for an event loop

    async def report(self) -> str:
        """Wait for the next line of its stdout, and return it; empty if there will be none any more."""

        def heard() -> list[str]:
            with suppress(queue.Empty):
                return [self._heard.get_nowait()]
            return []

        (line,) = await self._until(heard)
        if not line:
            self._heard.put(line)
        return line

    async def ended(self) -> None:
        """Wait until it has ended, by itself or not."""
        await self._until(lambda: not self.running)

    async def kill(self) -> None:
        """End it and what it has started with SIGKILL, and wait until it is gone."""
        self.ordered = True
        with suppress(ProcessLookupError):  # it has just ended by itself
            os.killpg(self.pid, signal.SIGKILL)
        await self.ended()
        self._release()

    async def drain(self) -> str | None:
        """End it with SIGTERM, and return what is wrong with the way it ended."""
        if not self.running:
            return self.why_it_ended()
        self.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(DRAIN_S):
                await self.ended()
        except TimeoutError:
            await self.kill()
            return f"{self.name} had not ended {DRAIN_S:g} s after SIGTERM"
        return self.why_it_ended() if self._process.returncode else None

    async def _until(self, condition: Callable[[], T]) -> T:
        """Wait until a condition is true, which can only be so after news of this process; return its value."""
        loop, event = asyncio.get_running_loop(), asyncio.Event()

        def listener() -> None:
            with suppress(RuntimeError):  # the loop was closed meanwhile
                loop.call_soon_threadsafe(event.set)

        with self._news:
            self._listeners.add(listener)
        try:
            while not (value := condition()):
                await event.wait()
                event.clear()
            return value
        finally:
            with self._news:
                self._listeners.discard(listener)

    # -- its threads

    def _begin(self, work: Callable[[], None], *, leashed: bool) -> None:
        """Begin a thread; those of a leashed child must not keep this process, which keeps the child."""
        thread = threading.Thread(target=work, daemon=leashed)
        self._threads.append(thread)
        thread.start()

    def _read_log(self) -> None:
        def keep(line: str) -> None:
            self._reads.wait()
            with self._news:
                self._lines.append(line)

        self._read(self._process.stderr, keep)

    def _read_reports(self) -> None:
        self._read(self._process.stdout, self._heard.put)
        self._heard.put("")
        self._tell_listeners()

    def _await_end(self) -> None:
        self._process.wait()
        self._tell_listeners()

    def _read(self, pipe: "IO[str] | Any", on_line: Callable[[str], None]) -> None:
        with pipe:
            for line in pipe:
                on_line(line)
                self._tell_listeners()
        self._closed = True
        self._tell_listeners()

    def _tell_listeners(self) -> None:
        with self._news:
            self._news.notify_all()
            for listener in self._listeners:
                listener()

    def _release(self) -> None:
        if self._process.stdin is not None:
            with suppress(BrokenPipeError):
                self._process.stdin.close()
