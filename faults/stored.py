"""Rows of a report in a file of JSON, for programs and for the next run, which replaces some of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

R = TypeVar("R")

INFINITY = float("inf")


def read(path: Path, kind: type[R]) -> list[R]:
    """Return the rows that were written to `path`; none, if there is no such file."""
    if not path.exists():
        return []
    rows = msgspec.json.decode(path.read_bytes())["rows"]
    for row in rows:
        row["figures"] = _infinite(row["figures"])
    return msgspec.convert(rows, list[kind])  # type: ignore[valid-type]


def write(path: Path, rows: Sequence[Any]) -> None:
    """Write rows, each a dataclass with `figures`: one table of them, or one for each run."""
    plain = [{**msgspec.to_builtins(row), "figures": _finite(row.figures)} for row in rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode({"rows": plain}), indent=1) + b"\n")


def _finite(figures: Any) -> Any:
    """JSON has no infinity: what never came is null there."""
    if isinstance(figures, list):
        return [_finite(each) for each in figures]
    return {name: None if value == INFINITY else round(value, 4) for name, value in figures.items()}


def _infinite(figures: Any) -> Any:
    if isinstance(figures, list):
        return [_infinite(each) for each in figures]
    return {name: INFINITY if value is None else value for name, value in figures.items()}
