"""Files of TOML. What is wrong in them is told by line and key; those with secrets must be private."""

import copy
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from braidmq.errors import ConfigError
from braidmq.trust import private_file

BYTES_MAX: Final = 1024 * 1024
"""Longest file: thousands of users and services fit."""

_SECRET: Final = re.compile(r"password|secret|token")
_STEP: Final = re.compile(r"(?<=\.)\w+|(?<=\[)(?:\d+|\.\.\.)(?=\])")
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(.*)`\Z")
_HEADER: Final = re.compile(r"\s*\[{1,2}(.*?)\]{1,2}\s*(?:#.*)?\Z")
_KEY: Final = re.compile(
    r"""\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*="""
)
_PART: Final = re.compile(r"""[A-Za-z0-9_-]+|"[^"]*"|'[^']*'""")

Keys = tuple[str, ...]

T = TypeVar("T")


def load(path: Path) -> tuple[dict[str, Any], "Lines"]:
    """Return what a file of TOML holds, and on which lines.

    Raises:
        ConfigError: it cannot be read, or others can read it though it holds secrets; or it is no TOML.
    """
    exposed: ConfigError | None = None
    try:
        data = private_file.read(path, BYTES_MAX)
    except private_file.NotPrivateError as error:
        exposed, data = error, _head(path)
    try:
        text = data.decode("utf-8-sig")  # some editors begin each file with a byte order mark
        found = tomllib.loads(text)
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is no text in UTF-8") from None
    except ValueError as error:  # no TOML, or a number of some thousand digits
        raise ConfigError(f"{path}: {error}") from None
    except RecursionError:
        raise ConfigError(f"{path} has tables or arrays within one another without end: write fewer") from None
    if exposed is not None and _has_secrets(found):
        raise exposed
    return found, Lines(text)


def _head(path: Path) -> bytes:
    """Return what is in a file that others can read. Raises ConfigError if it is too long."""
    with path.open("rb") as file:
        data = file.read(BYTES_MAX + 1)
    if len(data) > BYTES_MAX:
        raise ConfigError(f"{path} is longer than {BYTES_MAX} bytes: it is not a file of BraidMQ")
    return data


def _has_secrets(table: object) -> bool:
    """Whether a table has a key that is named as those of secrets are, at any depth."""
    if isinstance(table, Mapping):
        return any(_SECRET.search(key) or _has_secrets(each) for key, each in table.items())
    return isinstance(table, list) and any(map(_has_secrets, table))


def converted(path: Path, lines: "Lines", place: "Keys", table: Any, wanted: type[T]) -> T:
    """Return a table, which is at `place` in a file, as what is wanted of it.

    Raises:
        ConfigError: it is not that; the text tells the line and the key.
    """
    try:
        return msgspec.convert(table, wanted)
    except msgspec.ValidationError as error:
        said, steps = _told(error)
        keys = _keys(table, steps, wanted)
        unknown = _UNKNOWN.match(said)
        if unknown:
            keys, said = (*keys, unknown[1]), "there is no such key"
        keys = (*place, *keys)
        raise ConfigError(f"{path}, line {lines.of(keys)}, {'.'.join(keys)}: {said[:1].lower()}{said[1:]}") from None


def _told(error: msgspec.ValidationError) -> tuple[str, list[str]]:
    """Return what is wrong, and the way to it; a step of `...` stands for some key of a table."""
    said, _, place = str(error).partition(" - at ")
    return said, _STEP.findall(place)


def _keys(table: Any, steps: Sequence[str], wanted: Any) -> Keys:
    """Return the way to what is wrong, with the keys of tables that are not told: alone in its table each is tried."""
    keys: list[str] = []
    here = root = copy.deepcopy(table)
    for step in steps:
        if step == "...":
            entries = dict(here)
            for key, entry in entries.items():
                here.clear()
                here[key] = entry
                try:
                    msgspec.convert(root, wanted)
                except msgspec.ValidationError:
                    break
            keys.append(key)
            here = entry
        elif isinstance(here, list):
            here = here[int(step)]
        elif step in here:
            keys.append(step)
            here = here[step]
    return tuple(keys)


class Lines:
    """On which line of a TOML text each key is."""

    def __init__(self, text: str) -> None:
        self._lines: dict[Keys, int] = {}
        table: Keys = ()
        for number, line in enumerate(text.splitlines(), 1):
            header, key = _HEADER.match(line), _KEY.match(line)
            if header is not None:
                table = _parts(header[1])
                self._note(table, number)
            elif key is not None:
                self._note((*table, *_parts(key[1])), number)

    def of(self, keys: Keys) -> int:
        """Return the line of a key, or of the innermost table around it that has one."""
        for end in range(len(keys), 0, -1):
            if keys[:end] in self._lines:
                return self._lines[keys[:end]]
        return 1

    def _note(self, keys: Keys, number: int) -> None:
        for end in range(1, len(keys) + 1):
            self._lines.setdefault(keys[:end], number)


def _parts(text: str) -> Keys:
    return tuple(part.strip("\"'") for part in _PART.findall(text))
