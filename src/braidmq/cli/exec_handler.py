"""A service whose handler is a command: a process per request, the payload on stdin, the reply from stdout."""

import asyncio
import contextlib
import logging
import os
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Collection, Mapping
from typing import Final, cast

from braidmq.errors import ConfigError, ServiceError
from braidmq.host import process_tree
from braidmq.host.clock import monotonic
from braidmq.host.loggers import own_logger
from braidmq.host.notify import VARIABLES
from braidmq.host.orphans import Orphans, inherit_orphans, inherits_orphans
from braidmq.host.process_tree import Process
from braidmq.host.repeats import Repeats
from braidmq.messages import Request

STDERR_BYTES_MAX: Final = 4 * 1024
"""How much of the end of stderr is kept."""

TOLD_S: Final = 10.0
"""In so long the log has the stderr of `repeats.LINES_MAX` commands: nobody can fill a log by his calls. Others are
counted."""

COMPLAINT_LINES_MAX: Final = 3
"""How many of its last lines the caller gets to see."""

COMPLAINT_CHARS_MAX: Final = 500
"""And how many characters of them."""

CANCEL_S_MAX: Final = 1.0
"""How long, at the deadline, the caller's own end of the request is awaited: an answer would only race with it."""

_LOG = own_logger("braidmq.node")

_STDIN, _STDOUT, _STDERR = 0, 1, 2


class ExecHandler:
    """Runs a command; give its method `run` to `Node.service`.

    Args:
        command: split as a shell would split it (`shlex`), but no shell runs it.
        output_bytes_max: how many bytes it may write to stdout.
        time_s_max: how long it may run, if its caller waits longer.

    Raises:
        ConfigError: there is no such command.

    The command's environment is this process's, but for what a service manager says to that, with BRAIDMQ_SERVICE,
    BRAIDMQ_SENDER, BRAIDMQ_ID (hex), BRAIDMQ_POSSIBLE_DUPLICATE (0 or 1), BRAIDMQ_RETRY_COUNT and BRAIDMQ_REMAINING
    (seconds). It leads a session of its own. It is killed at the request's deadline and at its own, when the caller
    gives up, and when it writes too much, and so is all that it has started, on Linux also what is in another session.
    The answer is complete when it has ended and nobody holds its stdout and stderr any more. The end of its stderr goes
    to the log.

    The caller gets a ServiceError with the code EXIT_STATUS when its exit status is not 0, KILLED when a signal ended
    it, RESULT_TOO_LARGE, DEADLINE_EXCEEDED, TIME_LIMIT, or CANNOT_START.
    """

    def __init__(self, command: str, output_bytes_max: int, time_s_max: float | None = None) -> None:
        self.arguments = _split(command)
        self._output_bytes_max = output_bytes_max
        self._time_s_max = time_s_max
        self._repeats = Repeats(TOLD_S)
        self._starts: set[asyncio.Task[_Command]] = set()
        self._orphans: Orphans | None = None
        self._mark = f"BRAIDMQ_TREE={secrets.token_hex(16)}"
        self._warden: subprocess.Popen[bytes] | None = None
        self._owns_all = False

    def own_process(self) -> None:
        """Let no command outlive this process. Linux only; elsewhere it does nothing.

        What commands leave behind becomes this process's child, and `close` kills it; if this process is killed, a
        warden does, which is started here. Children that this process had before are spared.
        """
        if os.getpid() == 1 or not inherit_orphans():  # nothing outlives process 1
            return
        self._owns_all = len(process_tree.tree(os.getpid(), process_tree.processes())) == 1
        program = [sys.executable, "-I", "-S", process_tree.__file__, self._mark]
        quiet = subprocess.DEVNULL
        with contextlib.suppress(OSError):  # it is only for an end that should not be
            self._warden = subprocess.Popen(  # noqa: S603 - the program is our own
                program, stdin=subprocess.PIPE, stdout=quiet, stderr=quiet, start_new_session=True
            )

    def close(self) -> None:
        """Kill what commands have left behind, and end the warden."""
        process_tree.kill(self._rest)
        if self._warden is not None:
            with self._warden:  # it closes the pipe that the warden listens to, and waits
                pass

    async def run(self, request: Request) -> bytes:
        """Run the command for `request` and return what it wrote to stdout."""
        if self._orphans is None and inherits_orphans():
            self._orphans = Orphans(self._processes)
        start = asyncio.create_task(self._start(request))
        self._starts.add(start)
        try:
            process = await asyncio.shield(start)  # cancelled half-way, it would lose sight of the process
            try:
                await self._wait(process, request)
                return self._result(process)
            finally:
                _tell_stderr(self.arguments[0], process, request, self._repeats, monotonic())
        finally:
            await asyncio.shield(asyncio.create_task(self._end(start)))

    async def kill_all(self) -> None:
        """Kill every process that runs or is about to: for a program that ends at once."""
        for start in list(self._starts):
            with contextlib.suppress(ServiceError):
                (await start).kill()
        process_tree.kill(self._rest)

    def _rest(self, among: list[Process]) -> list[Process]:
        """Return what commands have left behind.

        Without a mark nothing is known of who has left a process behind, so it counts only if it can be no other's.
        """
        found = process_tree.marked([self._mark], among)
        if self._owns_all:
            spared = {os.getpid(), self._warden.pid if self._warden is not None else 0}
            found += [each for each in process_tree.tree(os.getpid(), among) if each.id not in spared]
        return found

    def _processes(self) -> list[int] | None:
        """Return the ids of the processes that run; None while one is being started."""
        if not all(start.done() for start in self._starts):
            return None
        return [start.result().id for start in self._starts if start.exception() is None]

    async def _start(self, request: Request) -> "_Command":
        told = _metadata(request)
        name, _, value = self._mark.partition("=")
        inherited = {each: text for each, text in os.environ.items() if each not in VARIABLES}
        environment = {**inherited, **told, name: value}
        marks = (self._mark, f"BRAIDMQ_ID={told['BRAIDMQ_ID']}")
        try:
            _, process = await asyncio.get_running_loop().subprocess_exec(
                lambda: _Command(self._output_bytes_max, marks),
                *self.arguments,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            raise ServiceError("CANNOT_START", f"{self.arguments[0]}: {error.strerror or error}") from None
        return process

    async def _wait(self, process: "_Command", request: Request) -> None:
        remaining_s = request.remaining
        limit_s = remaining_s if self._time_s_max is None else self._time_s_max
        try:
            async with asyncio.timeout(min(limit_s, remaining_s)):
                await process.run(request.payload)
        except TimeoutError:
            process.kill()
            if limit_s < remaining_s:
                raise ServiceError(
                    "TIME_LIMIT", f"{self.arguments[0]} was killed: it may take {limit_s:g} s here"
                ) from None
            await asyncio.sleep(CANCEL_S_MAX)
            raise ServiceError(
                "DEADLINE_EXCEEDED", f"{self.arguments[0]} was killed at the request's deadline"
            ) from None

    async def _end(self, start: "asyncio.Task[_Command]") -> None:
        with contextlib.suppress(ServiceError):
            await (await start).end()
        self._starts.discard(start)

    def _result(self, process: "_Command") -> bytes:
        if process.overflowed:
            raise ServiceError(
                "RESULT_TOO_LARGE", f"{self.arguments[0]} wrote more than {self._output_bytes_max} bytes"
            )
        status = process.status
        if status == 0:
            return bytes(process.output)
        complaint = process.complaint()
        if status < 0:
            raise ServiceError("KILLED", f"{self.arguments[0]} was ended by {_signal_name(-status)}{complaint}")
        raise ServiceError("EXIT_STATUS", f"{self.arguments[0]} ended with exit status {status}{complaint}", status)


class _Command(asyncio.SubprocessProtocol):
    """One process, from its start to the end of its output; what it starts inherits `marks` in its environment."""

    def __init__(self, output_bytes_max: int, marks: Collection[str]) -> None:
        self.output = bytearray()
        self.overflowed = False
        self._output_bytes_max = output_bytes_max
        self._marks = marks
        self._stderr = bytearray()
        self._open = {_STDOUT, _STDERR}
        self._ended = asyncio.get_running_loop().create_future()
        self._exited = asyncio.Event()

    @property
    def id(self) -> int:
        """Its process id."""
        return self._transport.get_pid()

    @property
    def status(self) -> int:
        """Its exit status, negative if a signal ended it; once `run` has returned."""
        status = self._transport.get_returncode()
        assert status is not None
        return status

    async def run(self, payload: bytes) -> None:
        """Feed it and wait until it has ended, or has written too much."""
        stdin = cast("asyncio.WriteTransport", self._transport.get_pipe_transport(_STDIN))
        stdin.write(payload)
        stdin.write_eof()
        await self._ended

    async def end(self) -> None:
        """Kill what is left of it, and release its pipes once it has ended."""
        self.kill()
        await self._exited.wait()  # before close, which would race for the exit status
        self._transport.close()

    def kill(self) -> None:
        """Kill it and what it has started, unless all of it has ended already."""
        exited = self._exited.is_set()
        if exited and not self._open:
            return
        process_tree.kill(self._tree)
        if not exited or sys.platform != "linux":  # else its number may be another one's
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.id, signal.SIGKILL)

    def _tree(self, among: list[Process]) -> list[Process]:
        found = process_tree.marked(self._marks, among)
        return found if self._exited.is_set() else found + process_tree.tree(self.id, among)

    @property
    def failed(self) -> bool:
        """Whether it has not ended, or not with exit status 0."""
        return self._transport.get_returncode() != 0

    def lines(self) -> list[str]:
        """Return the last lines that it wrote to stderr."""
        lines = self._stderr.decode(errors="replace").split("\n")
        return [line.strip() for line in lines if line.strip()]

    def complaint(self) -> str:
        """Return some of them, ready to follow a sentence."""
        text = "; ".join(self.lines()[-COMPLAINT_LINES_MAX:])
        return f": {text[-COMPLAINT_CHARS_MAX:]}" if text else ""

    # -- what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.SubprocessTransport", transport)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == _STDERR:
            self._stderr += data
            del self._stderr[:-STDERR_BYTES_MAX]
        elif not self.overflowed:
            self.output += data
            if len(self.output) > self._output_bytes_max:
                self.overflowed = True
                self.output.clear()
                self._end()

    def pipe_connection_lost(self, fd: int, _exc: Exception | None) -> None:
        self._open.discard(fd)
        self._end_if_complete()

    def process_exited(self) -> None:
        self._exited.set()
        self._end_if_complete()

    def _end_if_complete(self) -> None:
        if self._exited.is_set() and not self._open:
            self._end()

    def _end(self) -> None:
        if not self._ended.done():
            self._ended.set_result(None)


def _tell_stderr(program: str, command: _Command, request: Request, repeats: Repeats, now: float) -> None:
    """Tell the log what a command has written to stderr, unless `repeats` only counts it."""
    lines = command.lines()
    untold = repeats.admit(program, now) if lines else None
    if untold is None:
        return
    more = f" (and {untold:,} more commands since this was told last)" if untold else ""
    level = logging.WARNING if command.failed else logging.INFO
    what = f"{request.service}, request {request.id.hex()} of {request.sender}"
    _LOG.log(level, "%s: %s wrote to stderr%s: %s", what, program, more, "; ".join(lines))


def _split(command: str) -> list[str]:
    try:
        arguments = shlex.split(command)
    except ValueError as error:
        raise ConfigError(f"{command!r} is not a command: {error}") from None
    if not arguments:
        raise ConfigError("the command is empty: name a program, e.g. --exec 'tr a-z A-Z'")
    if shutil.which(arguments[0]) is None:
        raise ConfigError(f"there is no command {arguments[0]!r}: check its spelling, $PATH and its x permission")
    return arguments


def _metadata(request: Request) -> Mapping[str, str]:
    return {
        "BRAIDMQ_SERVICE": request.service,
        "BRAIDMQ_SENDER": request.sender,
        "BRAIDMQ_ID": request.id.hex(),
        "BRAIDMQ_POSSIBLE_DUPLICATE": str(int(request.possible_duplicate)),
        "BRAIDMQ_RETRY_COUNT": str(request.retry_count),
        "BRAIDMQ_REMAINING": f"{request.remaining:.3f}",
    }


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
