"""Many runs, one for each seed, on all cores of the machine."""

import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.pool import Pool
from time import perf_counter
from typing import Final

from braidmq.lab.simulation.run import run

PORTION_MAX: Final = 16
"""Seeds that a process is given at one go: it tells how they went when it has done them all."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is kept of one run.

    Attributes:
        seconds: how long it took, in real time.
        violations: what must not be, a line each.
    """

    seed: int
    digest: str
    plan: str
    calls: int
    events: int
    simulated_s: float
    seconds: float
    violations: tuple[str, ...]


def outcomes(seeds: Sequence[int], scenario: str, jobs: int) -> Iterator[Outcome]:
    """Yield how each seed went, in the order of the seeds. Raises KeyError for an unknown scenario."""
    if jobs == 1 or len(seeds) == 1:
        for seed in seeds:
            yield outcome_of((seed, scenario))
        return
    with _pool(min(jobs, len(seeds))) as pool:
        portion = max(1, min(PORTION_MAX, len(seeds) // jobs))
        yield from pool.imap(outcome_of, [(seed, scenario) for seed in seeds], chunksize=portion)


def _pool(jobs: int) -> Pool:
    """Start processes that ignore Ctrl-C, as they inherit: this one heeds it, and ends them without a word."""
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return multiprocessing.get_context("spawn").Pool(jobs)
    finally:
        signal.signal(signal.SIGINT, handler)


def outcome_of(which: tuple[int, str]) -> Outcome:
    """Run one seed of a scenario."""
    seed, scenario = which
    began = perf_counter()
    found = run(seed, scenario)
    return Outcome(
        seed,
        found.digest,
        str(found.plan),
        len(found.record.calls),
        found.events,
        found.simulated_s,
        perf_counter() - began,
        tuple(str(violation) for violation in found.violations),
    )
