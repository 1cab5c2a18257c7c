"""Brokers of one host that are run together: NAME-1, NAME-2 and so on, each with a key, a port and a join file.

Nothing but their names and their ports tells that they belong together: each is a broker like any other.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from braidmq.errors import ConfigError
from braidmq.members import Role, check_name
from braidmq.printable import printable
from braidmq.trust import joinfile
from braidmq.trust.endpoint import count_up

PROCESSES_MAX: Final = 64
"""Brokers of one host: one for each processor of a large machine. Each is connected to all others of the net."""

_NUMBERED = re.compile(r"(.*)-([1-9][0-9]{0,4})(\.[^.0-9]*)?\Z")
"""A file name that ends in a number, in front of its suffix."""


def check_processes(count: int) -> int:
    """Return `count` if so many brokers can be run together, else raise ConfigError."""
    if not 1 <= count <= PROCESSES_MAX:
        raise ConfigError(f"there can be 1 to {PROCESSES_MAX} processes, not {count}")
    return count


def numbered(name: str, endpoints: Iterable[str], count: int) -> dict[str, tuple[str, ...]]:
    """Return the endpoints of `count` brokers by name: `name` itself if it is one, else `name`-1, `name`-2 and so on.

    Args:
        name: what they have in common.
        endpoints: those of the first one; the ports of the others count up from there.
        count: how many there are, 1 to `PROCESSES_MAX`.

    Raises:
        ConfigError: there cannot be so many, the name is not valid, or there are not so many ports.
    """
    endpoints = tuple(endpoints)
    if check_processes(count) == 1:
        return {check_name(name): endpoints}
    return {
        check_name(f"{name}-{number + 1}"): tuple(count_up(each, number) for each in endpoints)
        for number in range(count)
    }


def join_files(first: Path, count: int) -> dict[str, Path]:
    """Return the join files of `count` brokers that are to run together, by the names of the brokers.

    Args:
        first: the file of the first one, whose name ends in a number, as in ``b1-1.braid``; the others lie beside it.
        count: how many there are, 1 to `PROCESSES_MAX`.

    Raises:
        ConfigError: there cannot be so many, one is missing or no broker's, or two of them do not go together.
    """
    found: dict[str, Path] = {}
    net = ""
    for path in _paths(first, check_processes(count)):
        file = joinfile.load(path)
        shown = printable(str(path))
        if file.certificate.role is not Role.BROKER:
            raise ConfigError(f"{shown} is the join file of a node: name that of the first of {count} brokers")
        if file.name in found:
            raise ConfigError(f"{shown} and {printable(str(found[file.name]))} are both of {file.name}: keep one")
        if file.net != (net := net or file.net):
            raise ConfigError(f"{shown} is of another net than {printable(str(first))}: get it anew")
        found[file.name] = path
    return found


def _paths(first: Path, count: int) -> list[Path]:
    if count == 1:
        return [first]
    parts = _NUMBERED.match(first.name)
    if parts is None:
        raise ConfigError(
            f"{printable(str(first))} is not the first of {count} join files: it must end in a number, "
            "as b1-1.braid, and the others follow it"
        )
    stem, number, suffix = parts[1], int(parts[2]), parts[3] or ""
    paths = [first.with_name(f"{stem}-{number + further}{suffix}") for further in range(count)]
    for path in paths:
        if not path.exists():
            raise ConfigError(
                f"there is no {printable(str(path))}, and {count} processes need {printable(first.name)} to "
                f"{printable(paths[-1].name)}: register more brokers, or run fewer"
            )
    return paths
