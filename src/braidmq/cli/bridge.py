"""``bridge``: let programs of other protocols call and provide services, until SIGTERM or SIGINT."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import click
import msgspec

from braidmq.bridges import config
from braidmq.bridges.kinds import HOMES, Bridge, Plan, kind
from braidmq.bridges.metrics import Metrics
from braidmq.bridges.options import Options
from braidmq.bridges.run import run_until_signal
from braidmq.cli import join_option
from braidmq.cli.logs import Format, log_format_option, log_level_option, log_to_stderr
from braidmq.cli.settings_options import settings_options
from braidmq.host.loggers import own_logger
from braidmq.host.room import take_all_descriptors
from braidmq.settings import Settings
from braidmq.trust.joinfile import JoinFile

_LOG = own_logger("braidmq.bridge")


@click.command("bridge")
@click.argument("kinds", metavar="[KIND]...", nargs=-1, type=click.Choice(list(HOMES)))
@join_option(required=False)
@click.option("--bind", "binds", metavar="ADDRESS", multiple=True, help="Where it listens. May be repeated.")
@click.option(
    "--insecure-bind",
    is_flag=True,
    help="Let it listen for other machines, although whatever goes there can be read and forged on the way.",
)
@click.option(
    "--config",
    "path",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="A file of TOML with a table for each kind of bridge; docs/bridges.md tells what is in it.",
)
@click.option(
    "--metrics",
    "place",
    metavar="[HOST:]PORT",
    help="Show metrics for Prometheus there; only a port is one of this machine. Whoever reaches it may read them.",
)
@settings_options
@log_level_option
@log_format_option
def bridge(
    kinds: Sequence[str],
    join: JoinFile | Path | None,
    *,
    binds: Sequence[str],
    insecure_bind: bool,
    path: Path | None,
    place: str | None,
    preset: Literal["lan", "wan", "test"],
    assignments: Sequence[str],
    log_level: str,
    log_format: Format,
) -> None:
    """Bridge other protocols into the net.

    Several KINDs may be named, and run in one process. Without any, all those of the --config file run.

    SIGTERM and SIGINT end it once what is under way has been answered; a second signal ends it at once.
    """
    settings = Settings.parse(assignments, preset)
    told = {} if path is None else config.read(path)
    names = tuple(dict.fromkeys(kinds)) or tuple(told)
    if not names:
        raise click.UsageError(f"Name a kind of bridge ({', '.join(HOMES)}), or a --config file")
    if binds and len(names) > 1:
        raise click.UsageError("--bind is for one bridge: say where several listen in the --config file")
    folder = Path() if path is None else path.parent
    log_to_stderr(log_level, log_format=log_format)
    take_all_descriptors()
    bridges: dict[str, Bridge] = {}
    metrics = None if place is None else Metrics()
    for name in names:
        options = told.get(name) or msgspec.convert({}, kind(name).options)
        if binds:
            options.bind = list(binds)
        options.insecure_bind |= insecure_bind
        plan = Plan(options, _join(name, options, folder, join), folder, settings, bridges, metrics)
        bridges[name] = kind(name).make(plan)
    with contextlib.ExitStack() as ends:
        if metrics is not None and place is not None:
            _LOG.info("metrics of the bridges are at %s", metrics.serve(place))
            ends.callback(metrics.close)
        runner = ends.enter_context(asyncio.Runner(loop_factory=_fastest_loop()))
        runner.run(run_until_signal(list(bridges.values())))


def _fastest_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes event loops: uvloop where it is installed, as a bridge does little besides I/O."""
    try:
        import uvloop  # noqa: PLC0415 - it is optional
    except ImportError:
        return None
    return uvloop.new_event_loop


def _join(name: str, options: Options, folder: Path, given: JoinFile | Path | None) -> JoinFile | Path:
    """Return the join file of a bridge: its table's own before the one that was given for all."""
    if options.join:
        return folder / options.join
    if given is None:
        raise click.UsageError(f"The bridge {name} needs a join file: give --join, or write join = 'FILE' in its table")
    return given
