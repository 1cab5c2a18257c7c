"""``demo``: kill brokers under load, and count what is lost."""

import asyncio
from pathlib import Path
from typing import Final

import click
import msgspec

from braidmq import stderr
from braidmq.cli.exit_codes import ExitCode
from braidmq.lab.demo.plan import Plan
from braidmq.lab.demo.run import Interrupted, run
from braidmq.lab.demo.view import choose_view, summary_lines
from braidmq.printable import printable_json

_DEFAULT: Final = Plan()


@click.command("demo")
@click.option("--brokers", type=int, default=_DEFAULT.brokers, show_default=True, help="Brokers, 1 to 16.")
@click.option("--workers", type=int, default=_DEFAULT.workers, show_default=True, help="Workers, 1 to 64.")
@click.option("--clients", type=int, default=_DEFAULT.clients, show_default=True, help="Clients, 1 to 64.")
@click.option(
    "--rate", type=float, default=_DEFAULT.rate, show_default=True, help="Requests per second, of all clients together."
)
@click.option("--duration", type=float, default=_DEFAULT.duration_s, show_default=True, help="Seconds of load.")
@click.option(
    "--kill-every", type=float, default=_DEFAULT.kill_every_s, show_default=True, help="Seconds from kill to kill."
)
@click.option("--logs", type=click.Path(path_type=Path), metavar="DIR", help="Keep the logs of all processes in DIR.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end; progress goes to stderr.")
def demo(
    *,
    brokers: int,
    workers: int,
    clients: int,
    rate: float,
    duration: float,
    kill_every: float,
    logs: Path | None,
    as_json: bool,
) -> int:
    """Kill brokers under load and lose nothing.

    Brokers, workers and clients are processes of their own, with CURVE keys, on free ports of this machine. Clients
    send 4 KiB at a fixed rate and check every reply; one broker after the other is ended with kill -9, and started
    again one or two seconds later. A request has 5 s, or 10 s with a single broker, whose absence it must wait out.

    Exits with 0 only if every request got its reply: none lost, no error.
    """
    plan = Plan(
        brokers=brokers,
        workers=workers,
        clients=clients,
        rate=rate,
        duration_s=duration,
        kill_every_s=kill_every,
    )
    try:
        summary = asyncio.run(run(plan, choose_view(as_json), logs))
    except Interrupted as interrupted:
        stderr.say("braidmq: interrupted; all processes have ended and all files are removed")
        return 128 + interrupted.number
    if as_json:
        click.echo(printable_json(msgspec.json.encode(summary)))
    else:
        first, *others = summary_lines(summary)
        click.secho(first, bold=True, fg="green" if summary.ok else "red")
        click.echo("\n".join(others))
    return ExitCode.OK if summary.ok else ExitCode.FAILURE
