"""The report of a benchmark: a table for each load, with BraidMQ's ratio to each of the others."""

from collections.abc import Sequence
from itertools import groupby
from typing import Final

from braidmq.lab.bench.cells import Cell
from braidmq.lab.bench.figures import Summary

COLUMNS: Final = (
    ("calls/s", "per_s", ",.0f"),
    ("p50 us", "p50_us", ",.0f"),
    ("p99 us", "p99_us", ",.0f"),
    ("p99.9 us", "p99_9_us", ",.0f"),
    ("client", "client_us", ",.0f"),
    ("server", "server_us", ",.0f"),
    ("worker", "worker_us", ",.0f"),
    ("server MiB", "server_mib", ",.0f"),
)

LEGEND: Final = (
    "client, server, worker: microseconds of CPU time for each call; server MiB: peak memory of all servers.\n"
    "low-high: the least and the most calls per second in any round. The ratio is BraidMQ's calls/s to theirs\n"
    "(in an open loop and with one call in flight: their p50 to BraidMQ's): above 1, BraidMQ is ahead."
)


def lines(summaries: Sequence[Summary], ours: str) -> list[str]:
    """Return the tables as lines of text. `ours` is the title of the system that the others are compared with."""
    width = max((len(each.system) for each in summaries), default=0) + 2
    found: list[str] = []
    for cell, group in groupby(summaries, key=lambda each: each.cell):
        rows = list(group)
        mine = next((row for row in rows if row.system == ours), None)
        found += ["", str(cell), _head(width)]
        found += [_row(row, mine, cell, width) for row in rows]
    return found


def ratio(ours: Summary, other: Summary) -> float:
    """Return by how much ours is ahead: in calls per second, or in latency where that is what a load is about."""
    if is_latency(ours.cell):
        return _divided(other.median["p50_us"], ours.median["p50_us"])
    return _divided(ours.median["per_s"], other.median["per_s"])


def is_latency(cell: Cell) -> bool:
    """Whether a load is about latency, and not about how much goes through."""
    return bool(cell.rate) or cell.in_flight == 1


def _divided(dividend: float, divisor: float) -> float:
    return dividend / divisor if divisor else float("inf")


def _head(width: int) -> str:
    cells = "".join(f"{title:>12}" for title, _, _ in COLUMNS)
    return f"{'':<{width}}{cells}{'low-high':>18}{'ratio':>8}"


def _row(row: Summary, ours: Summary | None, cell: Cell, width: int) -> str:
    cells = "".join(f"{row.median[name]:>12{form}}" for _, name, form in COLUMNS)
    spread = f"{row.low['per_s']:,.0f}-{row.high['per_s']:,.0f}"
    ahead = "" if ours is None or ours is row else f"{ratio(ours, row):.2f}"
    failed = f"  {row.failed} failed: {row.problem or 'no answer'}" if row.failed else ""
    return f"{row.system:<{width}}{cells}{spread:>18}{ahead:>8}{failed}"
