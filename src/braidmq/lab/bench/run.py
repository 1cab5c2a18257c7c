"""A whole benchmark: every round measures each load of each system, one system after the other."""

import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from braidmq.lab.bench.cells import Cell, by_shape
from braidmq.lab.bench.figures import Figures, Summary, summed_up
from braidmq.lab.bench.measure import prepared
from braidmq.lab.bench.systems.system import System


async def run(
    systems: Sequence[System], cells: Sequence[Cell], *, rounds: int, duration_s: float, say: Callable[[str], None]
) -> list[Summary]:
    """Measure; return the medians, load by load.

    The systems take turns within each round, so that a machine that gets slower or faster does so for all of them.

    Args:
        systems: what is compared.
        cells: the loads.
        rounds: how often all is measured.
        duration_s: how long each load lasts.
        say: takes a line for each net.

    Raises:
        BenchFailed: a process ended by itself, or said nothing.
    """
    found: dict[tuple[str, Cell], list[Figures]] = defaultdict(list)
    for number in range(1, rounds + 1):
        for shape, loads in by_shape(cells):
            for system in systems:
                if system.single and shape.brokers > 1:
                    continue
                say(f"round {number} of {rounds}: {system.title}, {shape}")
                with tempfile.TemporaryDirectory(prefix="braidmq-bench-") as directory:
                    async with prepared(system, shape, Path(directory)) as bench:
                        for cell in loads:
                            found[system.name, cell].append(await bench.measure(cell, duration_s))
    return [
        summed_up(system.title, cell, found[system.name, cell])
        for cell in cells
        for system in systems
        if found[system.name, cell]
    ]
