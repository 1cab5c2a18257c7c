"""The files of a program's source, looked at for changes."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

FILES_MAX: Final = 10_000
"""Files that are looked at: far more than a program under development has, and a look still takes a twentieth of a
second. Further ones are left out."""

_SUFFIX: Final = ".py"

_ENVIRONMENT: Final = "pyvenv.cfg"
"""What a directory has that is a virtual environment: nobody edits what is in there."""

_SKIPPED: Final = frozenset({"__pycache__", "node_modules", "site-packages"})
"""Directories with files that others make, by the thousand."""

State = Mapping[str, tuple[int, int, int]]
"""What tells one content of a file from another one, by its path: when it was written, its size and its inode."""


class WatchedFiles:
    """The Python files at or below some places.

    Args:
        places: files and directories. What is in hidden directories and virtual environments below them is left out.
    """

    def __init__(self, places: Iterable[Path]) -> None:
        self._places = tuple(dict.fromkeys(places))

    def look(self) -> State:
        """Return what there is. It takes a moment: call it in a thread."""
        found: dict[str, tuple[int, int, int]] = {}
        for place in self._places:
            for path in (place,) if place.is_file() else _below(place):
                if len(found) >= FILES_MAX:
                    return found
                try:
                    status = os.stat(path)  # noqa: PTH116 - thousands of paths a second
                except OSError:  # it has just gone
                    continue
                found[str(path)] = (status.st_mtime_ns, status.st_size, status.st_ino)
        return found


def changed(before: State, after: State) -> set[str]:
    """Return the paths that have come, gone, or changed."""
    return {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}


def _below(place: Path) -> Iterable[str]:
    for directory, names, files in os.walk(place):
        if _ENVIRONMENT in files:
            names.clear()
            continue
        names[:] = [name for name in names if name not in _SKIPPED and not name.startswith(".")]
        yield from (os.path.join(directory, name) for name in files if name.endswith(_SUFFIX))  # noqa: PTH118 - as above
