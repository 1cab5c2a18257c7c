"""``--processes N``: a process for each broker, or several of one worker, and one that looks after them."""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from braidmq.cli import SUPERVISED
from braidmq.cli.loading import source_of
from braidmq.errors import ConfigError
from braidmq.host.loggers import own_logger
from braidmq.host.reloaded import Reloaded
from braidmq.host.supervised import Program
from braidmq.host.supervisor import Restarted, Supervisor
from braidmq.host.watched_files import WatchedFiles
from braidmq.trust.endpoint import count_up
from braidmq.trust.numbered import join_files

_LOG = own_logger("braidmq.processes")


def broker_programs(first: Path, count: int, binds: Sequence[str], options: Sequence[str]) -> list[Program]:
    """Return what is to run for several brokers.

    Args:
        first: the join file of the first broker (see `join_files`).
        count: how many there are.
        binds: where the first one listens, if not at its endpoints; the ports of the others count up from there.
        options: of `braidmq broker`, the same for all; one says that a process has a lifeline.

    Raises:
        ConfigError: a join file is missing or wrong, or there are not so many ports.
    """
    # -P: what lies in the current directory is not to take the place of a module.
    command = (sys.executable, "-P", "-m", "braidmq", "broker", *options)
    files = join_files(first, count)
    places = [[count_up(endpoint, number) for endpoint in binds] for number in range(count)]
    taken: set[str] = set()
    for place in (each for row in places for each in row):
        if place in taken:
            raise ConfigError(f"two of them would listen at {place}: leave {count} ports from one --bind to the next")
        taken.add(place)
    return [
        Program(name, (*command, f"--join={path}", *(f"--bind={place}" for place in row)))
        for (name, path), row in zip(files.items(), places, strict=True)
    ]


def serve_programs(target: str, count: int, arguments: Sequence[str]) -> list[Program]:
    """Return what is to run for several processes of a worker, all of which have its join file.

    Args:
        target: what they serve.
        count: how many there are.
        arguments: of `braidmq serve`, as they were given.
    """
    command = (sys.executable, "-P", "-m", "braidmq", "serve")
    return [
        Program(f"{target}[{number}]", (*command, f"{SUPERVISED}={number}", *arguments))
        for number in range(1, count + 1)
    ]


def run_reloaded(target: str, arguments: Sequence[str]) -> int:
    """Serve MODULE:NAME, anew whenever its source changes, until a signal; return an exit code."""
    # -B: compiled code is taken for that of a source of the same size and second.
    command = (sys.executable, "-P", "-B", "-m", "braidmq", "serve", f"{SUPERVISED}=0", *arguments)

    async def run() -> int:
        return await Supervisor([Reloaded(Program(target, command), WatchedFiles(source_of(target)))]).run()

    return asyncio.run(run())


def run_all(programs: Sequence[Program]) -> int:
    """Run them until a signal; return an exit code."""

    async def run() -> int:
        return await Supervisor([Restarted(program) for program in programs]).run()

    code = asyncio.run(run())
    _LOG.info("all %d processes have ended", len(programs))
    return code
