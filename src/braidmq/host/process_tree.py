"""Finds and ends processes with all that they have started, whatever session or group those are in. Linux only.

It reads ``/proc``; where there is none, nothing is found. A process belongs to a tree by its parents, or because it
has inherited a mark in its environment: that also finds one whose parent has ended. A number that is signalled is
checked to be still that process.

It is also a program, ``python process_tree.py MARK``: it waits until its stdin ends, as it does when its parent ends
by any signal, and kills what has the mark. So it imports the standard library alone.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final, NamedTuple

_PROC: Final = "/proc"

ROUNDS_MAX: Final = 20
"""How often it is looked for processes that those which were found have started meanwhile. They are stopped first, so
the second look finds what was started during the first; only who starts processes faster than they are found needs
more."""

EMPTY_ROUNDS: Final = 3
"""How often in a row nothing more must be found: a look takes a moment, and a process may start another one meanwhile
and end, or have no environment while it becomes another program."""

_GONE: Final = frozenset({b"Z", b"X"})
"""States of processes that have ended (proc(5))."""


class Process(NamedTuple):
    """A process: no two have the same number and the same beginning."""

    id: int
    began: int
    parent: int


def processes() -> list[Process]:
    """Return all processes of this machine, as far as it shows them."""
    try:
        names = os.listdir(_PROC)  # noqa: PTH208 - every process is a Path otherwise
    except OSError:
        return []
    return [process for name in names if name.isdigit() and (process := _process(int(name))) is not None]


def tree(root: int, among: Iterable[Process]) -> list[Process]:
    """Return the process `root` and all that descend from it."""
    children: dict[int, list[Process]] = {}
    found = []
    for process in among:
        children.setdefault(process.parent, []).append(process)
        if process.id == root:
            found.append(process)
    for process in found:
        found += children.pop(process.id, ())  # by now, a number may be that of another process: no circles
    return found


def marked(marks: Iterable[str], among: Iterable[Process]) -> list[Process]:
    """Return those whose environment has each of the `marks`, which are of the form NAME=VALUE."""
    wanted = {mark.encode() for mark in marks}
    return [process for process in among if wanted <= _environment(process.id)]


def kill(find: Callable[[list[Process]], Iterable[Process]]) -> None:
    """Kill the processes that `find` picks out of all, and those that they start meanwhile; never this one."""
    stopped: set[Process] = set()
    empty = 0
    for _ in range(ROUNDS_MAX):
        found = {process._replace(parent=0) for process in find(processes())} - stopped
        found = {process for process in found if process.id != os.getpid()}
        empty = 0 if found else empty + 1
        if empty == EMPTY_ROUNDS:
            break
        for process in found:
            _send(process, signal.SIGSTOP)
        stopped |= found
    for process in stopped:
        _send(process, signal.SIGKILL)


def _process(id_: int) -> Process | None:
    """Return the process with this number unless it has ended."""
    try:
        with open(f"{_PROC}/{id_}/stat", "rb") as file:  # noqa: PTH123 - see above
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in _GONE else Process(id_, int(fields[19]), int(fields[1]))


def _environment(id_: int) -> set[bytes]:
    """Return what a process's environment was when it began; nothing of one that this user may not see into."""
    try:
        with open(f"{_PROC}/{id_}/environ", "rb") as file:  # noqa: PTH123 - see above
            return set(file.read().split(b"\0"))
    except OSError:
        return set()


def _send(process: Process, number: int) -> None:
    """Signal a process, unless it has ended and another one has its number."""
    with suppress(OSError):
        if not hasattr(os, "pidfd_open"):
            if _is_there(process):
                os.kill(process.id, number)
            return
        descriptor = os.pidfd_open(process.id)
        try:
            if _is_there(process):  # it was, after the descriptor was opened: so that is of this one
                signal.pidfd_send_signal(descriptor, number)
        finally:
            os.close(descriptor)


def _is_there(process: Process) -> bool:
    found = _process(process.id)
    return found is not None and found.began == process.began


def main(mark: str) -> None:
    """Wait for the end of stdin, and kill all that has the mark."""
    while os.read(0, 1):
        pass
    kill(lambda among: marked([mark], among))


if __name__ == "__main__":
    main(sys.argv[1])
