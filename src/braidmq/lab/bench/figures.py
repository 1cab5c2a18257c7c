"""The figures of a load, of one round or of all."""

import statistics
from array import array
from collections.abc import Sequence
from typing import Final

import msgspec

from braidmq.lab.bench.cells import Cell

PERCENTILES: Final = {"p50_us": 0.5, "p99_us": 0.99, "p99_9_us": 0.999}


class Figures(msgspec.Struct, frozen=True):
    """One load of one system in one round.

    Attributes:
        per_s: calls answered per second, of all clients.
        failed: calls that ended in an error, or not at all.
        p50_us: of the latencies, in microseconds; in an open loop from when each call was due.
        client_us: CPU time of all clients for each call answered, in microseconds; the same of servers and workers.
        client_mib: the most memory that the clients had resident, together.
        problem: the first error, if there was one.
    """

    per_s: float
    failed: int
    p50_us: float
    p99_us: float
    p99_9_us: float
    client_us: float
    server_us: float
    worker_us: float
    client_mib: float
    server_mib: float
    worker_mib: float
    problem: str = ""


class Summary(msgspec.Struct, frozen=True):
    """One load of one system in all rounds.

    Attributes:
        median: of each figure.
        low: the least that any round has shown.
        high: the most.
    """

    system: str
    cell: Cell
    rounds: int
    median: dict[str, float]
    low: dict[str, float]
    high: dict[str, float]
    failed: int = 0
    problem: str = ""


NUMBERS: Final = tuple(field.name for field in msgspec.structs.fields(Figures) if field.type is float)
"""The figures that have a median."""


def latencies_us(latencies_s: "array[float]") -> dict[str, float]:
    """Return the percentiles of latencies by name; 0 of none."""
    ordered = sorted(latencies_s)
    last = len(ordered) - 1
    return {
        name: ordered[min(last, int(len(ordered) * share))] * 1e6 if ordered else 0.0
        for name, share in PERCENTILES.items()
    }


def summed_up(system: str, cell: Cell, rounds: Sequence[Figures]) -> Summary:
    """Return the medians of some rounds, at least one, with their spread."""
    values = {name: [getattr(each, name) for each in rounds] for name in NUMBERS}
    return Summary(
        system=system,
        cell=cell,
        rounds=len(rounds),
        median={name: statistics.median(each) for name, each in values.items()},
        low={name: min(each) for name, each in values.items()},
        high={name: max(each) for name, each in values.items()},
        failed=sum(each.failed for each in rounds),
        problem=next((each.problem for each in rounds if each.problem), ""),
    )
