"""Pictures of a benchmark, as SVG files: throughput and latency by system. They need matplotlib."""

from collections.abc import Sequence
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from braidmq.errors import BraidError
from braidmq.lab.bench.cells import Cell, Shape, size
from braidmq.lab.bench.figures import Summary
from braidmq.lab.bench.table import is_latency

_OURS: Final = "#b5442e"
_THEIRS: Final = "#8a93a6"
_INCH_PER_BAR: Final = 0.3


def check_installed() -> None:
    """Raise BraidError if there is nothing to draw with."""
    if find_spec("matplotlib") is None:
        raise BraidError("matplotlib is not installed, and --plots needs it: pip install 'braidmq[bench]'")


def draw(summaries: Sequence[Summary], ours: str, directory: Path) -> None:
    """Write a file for each net and payload size: a bar for each system and load, with its spread."""
    directory.mkdir(parents=True, exist_ok=True)
    for (shape, payload_bytes), group in groupby(summaries, key=_place):
        rows = list(group)
        title = f"{shape}, {size(payload_bytes)}"
        name = title.replace(" ", "-").replace(",", "")
        _figure(rows, ours, title, directory / f"{name}.svg")


def _place(row: Summary) -> tuple[Shape, int]:
    return row.cell.shape, row.cell.payload_bytes


def _figure(rows: Sequence[Summary], ours: str, title: str, path: Path) -> None:
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "braidmq", "font.size": 9})
    from matplotlib import pyplot as plt

    loads = [list(group) for _, group in groupby(rows, key=lambda each: each.cell)]
    heights = [_INCH_PER_BAR * len(group) + 0.7 for group in loads]
    figure, axes = plt.subplots(
        len(loads), 1, figsize=(7.0, sum(heights)), squeeze=False, gridspec_kw={"height_ratios": heights}
    )
    for axis, group in zip(axes[:, 0], loads, strict=True):
        _bars(axis, group, ours)
    figure.suptitle(title)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _bars(axis: Any, rows: Sequence[Summary], ours: str) -> None:
    cell: Cell = rows[0].cell
    name, unit = ("per_s", "calls per second")
    if is_latency(cell):
        name, unit = ("p50_us", "p50 in microseconds, less is better")
    values = [row.median[name] for row in rows]
    spread = [
        [row.median[name] - row.low[name] for row in rows],
        [row.high[name] - row.median[name] for row in rows],
    ]
    colors = [_OURS if row.system == ours else _THEIRS for row in rows]
    axis.barh([row.system for row in rows], values, xerr=spread, color=colors, ecolor="#333333", capsize=2)
    axis.invert_yaxis()
    axis.set_title(cell.load, loc="left")
    axis.set_xlabel(unit)
    axis.bar_label(axis.containers[1], labels=[f" {value:,.0f}" for value in values], fontsize=8)
    axis.margins(x=0.15)
    axis.spines[["top", "right"]].set_visible(False)
