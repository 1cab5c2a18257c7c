"""The configuration file of bridges: one table of TOML for each kind. What is wrong in it is told by line and key."""

from pathlib import Path

from braidmq.bridges.kinds import HOMES, kind
from braidmq.bridges.options import Options
from braidmq.bridges.tables import converted, load
from braidmq.errors import ConfigError


def read(path: Path) -> dict[str, Options]:
    """Return what a file says of each kind of bridge that it names, in its order.

    Raises:
        ConfigError: it cannot be read, or others can read it though it holds secrets, or something in it is wrong.
    """
    found, lines = load(path)
    if not found:
        raise ConfigError(f"{path} names no bridge: write a table such as [majordomo]")
    options = {}
    for name, table in found.items():
        if name not in HOMES:
            where = lines.of((name,))
            raise ConfigError(f"{path}, line {where}: there is no bridge {name!r}: write one of {', '.join(HOMES)}")
        options[name] = converted(path, lines, (name,), table, kind(name).options)
    return options
