"""What processes have used so far: CPU time and memory, as Linux tells."""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_STAT_SESSION, _STAT_UTIME, _STAT_STIME = 3, 11, 12
"""Fields of /proc/PID/stat, counted from the one after the command's name: see proc(5)."""


class Usage(msgspec.Struct, frozen=True):
    """CPU time in seconds, and the most memory that was resident, in bytes; of some processes together."""

    cpu_s: float = 0.0
    peak_bytes: int = 0


def usage_of(pids: Iterable[int]) -> Usage:
    """Return what processes have used, and those that they have started: each leads a session of its own."""
    wanted = set(pids)
    cpu_s, peak_bytes = 0.0, 0
    for directory, stat in _processes():
        if int(stat[_STAT_SESSION]) in wanted:
            cpu_s += (int(stat[_STAT_UTIME]) + int(stat[_STAT_STIME])) / _TICKS_PER_S
            peak_bytes += _peak_bytes(directory)
    return Usage(cpu_s, peak_bytes)


def _processes() -> Iterator[tuple[Path, list[str]]]:
    for directory in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has just ended
            yield directory, (directory / "stat").read_text().rpartition(")")[2].split()


def _peak_bytes(directory: Path) -> int:
    with suppress(OSError):
        for line in (directory / "status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0
