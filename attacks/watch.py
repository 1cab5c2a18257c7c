"""What processes use and say while they live: read from /proc again and again, as the dead tell nothing."""

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from braidmq.lab.processes.child import Child
from faults.repeated import Repeated

SAMPLE_S: Final = 0.1
"""How often. The kernel keeps the peak of a process's memory itself, so that what lies between two looks counts too."""

TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")

_KIB_PER_MIB: Final = 1024


@dataclass
class Usage:
    """What a process has used.

    Attributes:
        rss_mib: the most memory that it had resident.
        cpu_s: the time that it was on a processor.
    """

    rss_mib: float = 0.0
    cpu_s: float = 0.0


class Watch(Repeated):
    """Looks at the children of a net, which may change meanwhile. Use it as a context manager."""

    def __init__(self, children: Callable[[], Mapping[str, Child]]) -> None:
        super().__init__(self._look, SAMPLE_S)
        self._children = children
        self._usages: dict[str, Usage] = {}

    def usages(self) -> dict[str, Usage]:
        """Return what each process has used so far, also those that have ended."""
        self._look()
        return {name: Usage(usage.rss_mib, usage.cpu_s) for name, usage in self._usages.copy().items()}

    def _look(self) -> None:
        for name, child in list(self._children().items()):
            with suppress(OSError, ValueError, IndexError):  # it is about to end
                found = usage_of(Path(f"/proc/{child.pid}"))
                known = self._usages.get(name, Usage())
                self._usages[name] = Usage(max(known.rss_mib, found.rss_mib), max(known.cpu_s, found.cpu_s))


def usage_of(process: Path) -> Usage:
    """Return what the process has used that a directory of /proc tells of.

    Raises:
        OSError, ValueError, IndexError: it has ended, or is about to.
    """
    status = (process / "status").read_text()
    peak_kib = int(status.partition("VmHWM:")[2].split()[0])
    fields = (process / "stat").read_text().rpartition(") ")[2].split()
    return Usage(peak_kib / _KIB_PER_MIB, (int(fields[11]) + int(fields[12])) / TICKS_PER_S)
