"""``broker --processes N``: a process for each of several brokers of this host, and one that looks after them."""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from braidmq.errors import ConfigError
from braidmq.host.loggers import own_logger
from braidmq.host.supervisor import Program, Supervisor
from braidmq.trust.endpoint import count_up
from braidmq.trust.numbered import join_files

_LOG = own_logger("braidmq.broker")


def programs(first: Path, count: int, binds: Sequence[str], options: Sequence[str]) -> list[Program]:
    """Return what is to run.

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


def run_all(programs: Sequence[Program], drain_s: float) -> int:
    """Run them until a signal; return an exit code."""
    code = asyncio.run(Supervisor(programs, drain_s).run())
    _LOG.info("all %d processes have ended", len(programs))
    return code
