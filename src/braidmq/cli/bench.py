"""``bench``: the same echo over BraidMQ and over its rivals, side by side."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click
import msgspec

from braidmq import __version__, stderr
from braidmq.cli.exit_codes import ExitCode
from braidmq.cli.numbers import Finite
from braidmq.lab.bench.cells import CELLS, IN_FLIGHT, PAYLOADS_BYTES, QUICK, Cell, Shape
from braidmq.lab.bench.machine import machine_class
from braidmq.lab.bench.run import run
from braidmq.lab.bench.systems.system import System
from braidmq.lab.bench.systems.table import OURS, SYSTEMS
from braidmq.lab.bench.table import LEGEND, lines
from braidmq.printable import printable_json
from braidmq.version import cores

ALL: Final = "all"


@click.command("bench")
@click.option(
    "--against",
    default=ALL,
    show_default=True,
    metavar="NAMES",
    help=f"Rivals, separated by commas, of {', '.join(name for name in SYSTEMS if name != OURS)}; or none.",
)
@click.option("--quick", is_flag=True, help="Only the loads that BraidMQ is made for.")
@click.option("--bytes", "payloads", type=click.IntRange(0, 1024 * 1024), multiple=True, help="Payload sizes.")
@click.option("--in-flight", "in_flight", type=click.IntRange(1, 1024), multiple=True, help="Calls under way at once.")
@click.option(
    "--rate",
    "rates",
    type=Finite(0.0, min_open=True),
    multiple=True,
    help="Calls per second, whatever becomes of the others.",
)
@click.option("--clients", type=click.IntRange(1, 64), default=1, show_default=True, help="With --bytes and the like.")
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="With --bytes and the like.")
@click.option("--brokers", type=click.IntRange(1, 16), default=1, show_default=True, help="With --bytes and the like.")
@click.option("--rounds", type=click.IntRange(1, 100), default=3, show_default=True, help="How often all is measured.")
@click.option("--seconds", type=Finite(0.1, 600.0), default=2.0, show_default=True, help="Of each load.")
@click.option("--plots", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="Draw SVG files there.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end; progress goes to stderr.")
def bench(
    *,
    against: str,
    quick: bool,
    payloads: tuple[int, ...],
    in_flight: tuple[int, ...],
    rates: tuple[float, ...],
    clients: int,
    workers: int,
    brokers: int,
    rounds: int,
    seconds: float,
    plots: Path | None,
    as_json: bool,
) -> int:
    """Measure an echo over BraidMQ, and over its rivals where they are installed.

    Servers, clients and workers are processes of their own on this machine; BraidMQ's have CURVE and everything else
    on. In each round every system has its turn; the medians of all rounds are shown, with their spread. What is not
    installed is left out with a line that says how to get it: most of it comes with `pip install 'braidmq[bench]'`.

    Without --bytes, --in-flight, --rate, --clients, --workers and --brokers, all loads are measured, which takes some
    minutes for each system.
    """
    systems = _chosen(against)
    shape = Shape(clients, workers, brokers)
    cells = QUICK if quick else CELLS
    if payloads or in_flight or rates or shape != Shape():
        each = [Cell(shape, size, rate=rate) for size in payloads or PAYLOADS_BYTES[1:2] for rate in rates]
        loads = in_flight or (() if rates else IN_FLIGHT)
        cells = (*(Cell(shape, size, calls) for size in payloads or PAYLOADS_BYTES[1:2] for calls in loads), *each)
    if plots is not None:
        from braidmq.lab.bench import plot

        plot.check_installed()
    summaries = asyncio.run(run(systems, cells, rounds=rounds, duration_s=seconds, say=_progress))
    if plots is not None:
        plot.draw(summaries, SYSTEMS[OURS].title, plots)
    if as_json:
        date = datetime.now(UTC).strftime("%Y-%m-%d")
        about = {
            "date": date,
            "version": __version__,
            "cores": cores(),
            "machine": machine_class(),
            "seconds": seconds,
        }
        click.echo(printable_json(msgspec.json.encode({**about, "results": summaries})))
    else:
        click.echo(f"braidmq {__version__}, cores {cores()}; {machine_class()}")
        click.echo("\n".join(lines(summaries, SYSTEMS[OURS].title)))
        click.echo(f"\n{LEGEND}")
    return ExitCode.FAILURE if any(summary.failed for summary in summaries) else ExitCode.OK


def _chosen(against: str) -> list[System]:
    """Return ourselves and the rivals that are wanted and installed."""
    names = [name.strip() for name in against.split(",") if name.strip()]
    if names == [ALL]:
        names = [name for name in SYSTEMS if name != OURS]
    elif names == ["none"]:
        names = []
    if unknown := [name for name in names if name not in SYSTEMS or name == OURS]:
        raise click.UsageError(f"--against knows no {', '.join(unknown)}")
    systems = [SYSTEMS[OURS]]
    for name in names:
        if why := SYSTEMS[name].missing():
            _progress(f"without {SYSTEMS[name].title}: {why}")
        else:
            systems.append(SYSTEMS[name])
    return systems


def _progress(line: str) -> None:
    stderr.say(line)
