"""A process that stays until it is told to end, and conditions to wait for.

Its stderr is read all the time: `wait_for_line` waits for a line of it. A child that `talks` reads lines from its
stdin and writes lines to its stdout: `tell` and `hear`.
"""

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from subprocess import DEVNULL, PIPE
from time import monotonic, sleep
from typing import Any, Final, TypeVar

T = TypeVar("T")

BRAIDMQ: Final = (sys.executable, "-m", "braidmq")

WAIT_S_MAX: Final = 30.0
"""How long a condition may take to come true: far more than any of them takes."""

POLL_S: Final = 0.01


def environment(**changes: str) -> dict[str, str]:
    """Return this process's environment without BraidMQ's own variables, with `changes`."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("BRAIDMQ_")}
    return {**own, **changes}


def wait_until(condition: Callable[[], T], what: str, timeout: float = WAIT_S_MAX, poll_s: float = POLL_S) -> T:
    """Wait until `condition()` is true, and return its value; fail with `what` after `timeout` seconds."""
    give_up_at = monotonic() + timeout
    while not (value := condition()):
        assert monotonic() < give_up_at, f"not within {timeout:g} s: {what}"
        sleep(poll_s)
    return value


class Child:
    """A process, known by its pid.

    Args:
        command: the program and its arguments.
        cwd: its directory.
        env: changes of its environment.
        talks: whether its stdin and stdout are pipes to this process.
    """

    def __init__(
        self,
        command: Sequence[object],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        talks: bool = False,
    ) -> None:
        self.ordered = False
        self._reads = threading.Event()
        self._reads.set()
        self._process = subprocess.Popen(
            [str(each) for each in command],
            stdin=PIPE if talks else DEVNULL,
            stdout=PIPE if talks else DEVNULL,
            stderr=PIPE,
            cwd=cwd,
            env=environment(**env or {}),
            text=True,
            errors="replace",
        )
        self._lines: list[str] = []
        self._heard: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._news = threading.Condition()
        self._closed = False
        self._readers = [threading.Thread(target=self._read, args=(self._process.stderr, self._on_log))]
        if talks:
            self._readers.append(threading.Thread(target=self._read, args=(self._process.stdout, self._heard.put)))
        for reader in self._readers:
            reader.start()

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

    @property
    def log(self) -> str:
        """What it has written to stderr so far."""
        with self._news:
            return "".join(self._lines)

    def wait_for_line(self, text: str, timeout: float = WAIT_S_MAX) -> str:
        """Wait for a line of stderr that holds `text`, and return the first one."""

        def found() -> str | None:
            return next((line for line in self._lines if text in line), None)

        with self._news:
            self._news.wait_for(lambda: found() or self._closed, timeout)
            line = found()
            assert line is not None, f"no line with {text!r} in:\n{''.join(self._lines)}"
            return line

    def tell(self, line: str) -> None:
        """Write a line to its stdin."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def hear(self, timeout: float = WAIT_S_MAX) -> str:
        """Wait for the next line of its stdout, and return it."""
        try:
            return self._heard.get(timeout=timeout)
        except queue.Empty:
            raise AssertionError(f"it said nothing for {timeout:g} s; its log:\n{self.log}") from None

    def stop_reading(self) -> None:
        """Read no more of its stderr, which then fills up, until `read_on`."""
        self._reads.clear()

    def read_on(self) -> None:
        """Read its stderr again."""
        self._reads.set()

    def send_signal(self, number: int) -> None:
        """Send it a signal."""
        self.ordered = self.ordered or number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
        self._process.send_signal(number)

    def wait(self, timeout: float = WAIT_S_MAX) -> int:
        """Wait until it has ended and all of its stderr is in `log`; return its exit code, negative for a signal."""
        code = self._process.wait(timeout)
        for reader in self._readers:
            reader.join(timeout)
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
        if self._process.stdin is not None:
            with suppress(BrokenPipeError):
                self._process.stdin.close()

    def _read(self, pipe: Any, on_line: Callable[[str], None]) -> None:
        with pipe:
            for line in pipe:
                on_line(line)
        with self._news:
            self._closed = True
            self._news.notify_all()

    def _on_log(self, line: str) -> None:
        self._reads.wait()
        with self._news:
            self._lines.append(line)
            self._news.notify_all()
