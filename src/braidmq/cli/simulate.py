"""``simulate``: let whole nets live through faults in virtual time, and look for what must not be."""

import os
import secrets
import statistics
from time import perf_counter
from typing import Final

import click
import msgspec

from braidmq import stderr
from braidmq.cli.exit_codes import ExitCode
from braidmq.lab.simulation.batch import Outcome, outcomes
from braidmq.lab.simulation.plan import SCENARIOS
from braidmq.lab.simulation.run import Run, run
from braidmq.lab.simulation.version import version
from braidmq.printable import printable_json

TOLD_MAX: Final = 3
"""Failed seeds that are told with their traces; the others get a line each."""

VIOLATIONS_MAX: Final = 5
"""Violations of one seed that are told."""

PROGRESS_S: Final = 10.0
"""How often a long run says how far it is."""

JOBS_MAX: Final = 256
_JOBS: Final = min(os.cpu_count() or 1, JOBS_MAX)


@click.command("simulate")
@click.option("--seed", type=click.IntRange(0), metavar="N", help="The first seed; without it one is drawn, and told.")
@click.option("--seeds", type=click.IntRange(1, 10_000_000), default=1, show_default=True, help="How many, from there.")
@click.option(
    "--scenario", type=click.Choice(list(SCENARIOS)), default="swarm", show_default=True, help="Faults to draw from."
)
@click.option("--trace", is_flag=True, help="Print every event of one seed.")
@click.option("--jobs", type=click.IntRange(1, JOBS_MAX), default=_JOBS, show_default=True, help="Processes.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end.")
def simulate(*, seed: int | None, seeds: int, scenario: str, trace: bool, jobs: int, as_json: bool) -> int:
    """Simulate whole nets with faults, and check that nothing is lost.

    A seed decides everything: how many brokers and nodes there are, their settings, what they do, which processes are
    killed or stopped and when, what the network does to them. The brokers and nodes are the real ones; only time,
    the network and the handlers are simulated. Each run has a phase with faults, in which nothing may go wrong
    unsaid, and one without, in which everything must succeed.

    The same seed is the same run, event by event, as long as the version is the same: --seed N --trace shows it.

    Exits with 0 only if nothing was found that must not be.
    """
    first = secrets.randbelow(1_000_000_000) if seed is None else seed
    if trace:
        if seeds != 1:
            raise click.UsageError("--trace shows one seed: leave out --seeds")
        if as_json:
            raise click.UsageError("--trace prints lines: leave out --json")
        return _show(run(first, scenario, keep_trace=True), first, scenario)
    began = perf_counter()
    done: list[Outcome] = []
    failed: list[Outcome] = []
    told_at = began
    for outcome in outcomes(range(first, first + seeds), scenario, jobs):
        done.append(outcome)
        if outcome.violations:
            failed.append(outcome)
            _tell_failure(outcome, scenario, whole=len(failed) <= TOLD_MAX)
        if len(done) < seeds and perf_counter() - told_at > PROGRESS_S:
            told_at = perf_counter()
            stderr.say(f"{len(done)} of {seeds} seeds, {len(failed)} failed")
    seconds = perf_counter() - began
    if as_json:
        click.echo(printable_json(msgspec.json.encode(_summary(first, scenario, done, failed, seconds))))
    else:
        each_ms = statistics.mean(outcome.seconds for outcome in done) * 1000
        word = "seeds" if seeds > 1 else "seed"
        last = f" to {first + seeds - 1}" if seeds > 1 else f": {done[0].plan}; digest {done[0].digest}"
        click.echo(
            f"{len(done)} {word}, {first}{last}, {scenario}, version {version()}: {len(failed)} failed\n"
            f"{sum(each.calls for each in done):,} calls and {sum(each.events for each in done):,} events in "
            f"{sum(each.simulated_s for each in done):,.0f} simulated seconds; {seconds:.1f} s, {each_ms:.0f} ms a seed"
        )
    return ExitCode.FAILURE if failed else ExitCode.OK


def _summary(
    first: int, scenario: str, done: list[Outcome], failed: list[Outcome], seconds: float
) -> dict[str, object]:
    return {
        "version": version(),
        "scenario": scenario,
        "first_seed": first,
        "seeds": len(done),
        "failed": {str(each.seed): list(each.violations) for each in failed},
        "calls": sum(each.calls for each in done),
        "events": sum(each.events for each in done),
        "simulated_s": round(sum(each.simulated_s for each in done), 1),
        "seconds": round(seconds, 1),
        "seconds_per_seed": round(statistics.mean(each.seconds for each in done), 4),
        "seconds_per_seed_max": round(max(each.seconds for each in done), 4),
    }


def _tell_failure(outcome: Outcome, scenario: str, *, whole: bool) -> None:
    again = f"braidmq simulate --seed {outcome.seed}" + ("" if scenario == "swarm" else f" --scenario {scenario}")
    stderr.say(f"seed {outcome.seed} of version {version()} failed; `{again} --trace` shows all of it")
    for line in outcome.violations[:VIOLATIONS_MAX]:
        stderr.say(f"  {line}")
    if len(outcome.violations) > VIOLATIONS_MAX:
        stderr.say(f"  and {len(outcome.violations) - VIOLATIONS_MAX} more")
    if whole:
        found = run(outcome.seed, scenario, keep_trace=True)
        stderr.say(f"  {found.plan}")
        for violation in found.violations[:1]:
            for event in found.trace.around(violation.at, violation.id):
                stderr.say(f"  {event}")


def _show(found: Run, seed: int, scenario: str) -> int:
    for line in found.trace.lines:
        click.echo(line)
    for violation in found.violations:
        stderr.say(f"seed {seed}: {violation}")
    stderr.say(f"seed {seed}, {scenario}, version {version()}: {found.plan}; digest {found.digest}")
    return ExitCode.FAILURE if found.violations else ExitCode.OK
