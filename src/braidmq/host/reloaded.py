"""A process that gives way to one with newer code when files change: that one is ready before the old one drains."""

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from braidmq.host.loggers import own_logger
from braidmq.host.supervised import FAILURE, End, Program, Supervised
from braidmq.host.watched_files import FILES_MAX, State, WatchedFiles, changed

LOOK_S: Final = 0.3
"""From one look at the files to the next. What was still changing at one look is not taken at it: editors and version
control write many files, one after the other."""

_NAMED_MAX: Final = 3
"""How many of the files that have changed are named."""

_LOG = own_logger("braidmq.processes")


class _Run:
    """A process that runs."""

    def __init__(self, program: Program) -> None:
        self.process = Supervised(program)
        self.end = asyncio.create_task(self.process.run())
        self.ready = asyncio.create_task(self.process.ready.wait())
        self.end.add_done_callback(lambda _: self.ready.cancel())

    @property
    def pid(self) -> int | None:
        return self.process.pid


class Reloaded:
    """A process that is started anew when files have changed; see `braidmq.host.supervisor.Life`.

    What runs goes on until the new one is ready. If that ends before, it goes on still. One that has ended by itself is
    started again at the next change.

    Args:
        program: what it runs.
        files: those of its source.
    """

    def __init__(self, program: Program, files: WatchedFiles) -> None:
        self.ready = asyncio.Event()
        self._program = program
        self._files = files
        self._seen: State = {}
        self._changed: set[str] = set()
        self._runs: list[_Run] = []

    @property
    def processes(self) -> Sequence[Supervised]:
        """See `Life`."""
        return [run.process for run in self._runs]

    async def go_on(self, leaving: asyncio.Event) -> int:
        """See `Life`."""
        self._seen = await asyncio.to_thread(self._files.look)
        if len(self._seen) >= FILES_MAX:
            _LOG.warning("only the first %d Python files below this directory are watched", FILES_MAX)
        left = asyncio.create_task(leaving.wait())
        try:
            run = self._begin()
            await _first(run.ready, run.end, left)
            if not leaving.is_set() and run.process.ready.is_set():
                self.ready.set()
                await self._replace(run, left)
        finally:
            left.cancel()
        if not self.ready.is_set() and not leaving.is_set():
            end = await run.end
            _LOG.log(end.level, "%s was never ready: it %s", self._program.name, end.how)
            return end.exit_code
        for run in self._runs:
            run.process.drain()  # one may have been started after all were told to
        return max([await self._ended(each) for each in list(self._runs)], default=0)

    async def _replace(self, current: _Run, left: "asyncio.Task[bool]") -> None:
        """Let newer code take the place of what runs, again and again, until it is time to leave."""
        told = False
        while True:
            await self._change((left, *(() if current.end.done() else (current.end,))))
            if left.done():
                return
            if current.end.done() and not told:
                told = True
                _LOG.warning(
                    "%s %s: it is started again when a file changes", self._program.name, current.end.result().how
                )
            if self._changed:
                newer = await self._try(current, left)
                if newer is not None:
                    current, told = newer, False

    async def _try(self, current: _Run, left: "asyncio.Task[bool]") -> _Run | None:
        """Start the newer code, and let the older one drain when it is ready; return its process if it is."""
        _LOG.info("%s: the new code is started", _named(self._changed))
        self._changed.clear()
        newer = self._begin()
        await self._change((left, newer.ready, newer.end))
        if left.done():
            return None
        if newer.process.ready.is_set():
            _LOG.info("%s: the new code serves, as process %s", self._program.name, newer.pid)
            await self._let_go(current, left)
            return newer
        if not newer.end.done():  # files have changed meanwhile, and it may wait for ever
            newer.process.kill()
        end = await newer.end
        self._forget(newer)
        if not self._changed:
            goes_on = "nothing serves" if current.end.done() else f"process {current.pid} serves the old one"
            _LOG.warning("%s: the new code was never ready (it %s): %s", self._program.name, end.how, goes_on)
        return None

    async def _let_go(self, run: _Run, left: "asyncio.Task[bool]") -> None:
        """Let a process drain, and wait until it has ended."""
        run.process.drain()
        await asyncio.wait((run.end, left), timeout=run.process.patience_s, return_when=asyncio.FIRST_COMPLETED)
        if left.done():
            return
        if not run.end.done():
            run.process.kill(f"has not ended {run.process.patience_s:g} s after it was told to drain: it is killed")
        await run.end
        self._forget(run)

    async def _change(self, until: Iterable["asyncio.Task[bool] | asyncio.Task[End]"]) -> None:
        """Wait until files have changed and then stay as they are for a moment, or one of these is done."""
        waited = set(until)
        while True:
            done, _ = await asyncio.wait(waited, timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED)
            if done:
                return
            now = await asyncio.to_thread(self._files.look)
            news, self._seen = changed(self._seen, now), now
            if self._changed and not news:
                return
            self._changed |= news

    async def _ended(self, run: _Run) -> int:
        """Wait until a process has ended that was told to drain; return an exit code."""
        had_ended = run.end.done()
        end = await run.end
        self._forget(run)
        if end.code and not had_ended:
            _LOG.warning("%s %s while it drained", self._program.name, end.how)
        return FAILURE if end.code and not had_ended else 0

    def _begin(self) -> _Run:
        run = _Run(self._program)
        self._runs.append(run)
        return run

    def _forget(self, run: _Run) -> None:
        self._runs.remove(run)


async def _first(*tasks: "asyncio.Task[bool] | asyncio.Task[End]") -> None:
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)


def _named(paths: Iterable[str]) -> str:
    """Return what has changed, as the beginning of a sentence."""
    names = sorted({Path(path).name for path in paths})
    more = f" and {len(names) - _NAMED_MAX} more" if len(names) > _NAMED_MAX else ""
    return f"{', '.join(names[:_NAMED_MAX])}{more} changed"
