"""``ping``: round trips to a service, one after the other, and how long they take over each path."""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

import click
import msgspec

from braidmq.cli import join_option, state_option
from braidmq.cli.call import read_payload
from braidmq.cli.logs import log_nothing
from braidmq.cli.numbers import Finite
from braidmq.cli.settings_options import settings_options
from braidmq.cli.trial.calls import Call, Calls, End, Rotation, until_signal
from braidmq.cli.trial.text import end_line, lost_lines, summary
from braidmq.host.writer import Writer
from braidmq.node import Node
from braidmq.printable import printable_json
from braidmq.settings import Settings
from braidmq.trust.joinfile import JoinFile

RATE_MAX: Final = 100.0
"""Calls per second: nobody reads lines faster, and `braidmq load` is for more."""


@click.command("ping")
@click.argument("service")
@click.argument("payload", metavar="[PAYLOAD | @FILE | -]", default="")
@join_option()
@click.option("--count", metavar="N", type=click.IntRange(min=1), help="How many calls.  [default: until ^C]")
@click.option(
    "--rate",
    metavar="R",
    type=Finite(0.0, RATE_MAX, min_open=True),
    default=1.0,
    show_default=True,
    help="Calls per second, whether or not the ones before are answered.",
)
@click.option("--timeout", metavar="S", type=float, help="Seconds until a call gives up, over all attempts.")
@click.option("--attempts", metavar="N", type=int, help="How often a call may be sent.")
@click.option("--via", metavar="BROKER", help="The name of the only broker to use.")
@click.option("--each-broker", is_flag=True, help="Take the brokers that are up in turn, not those the node prefers.")
@settings_options
@state_option
@click.option("--quiet", "-q", is_flag=True, help="Print no line for each call.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end, and nothing else.")
def ping(
    service: str,
    payload: str,
    join: JoinFile | Path,
    *,
    count: int | None,
    rate: float,
    timeout: float | None,
    attempts: int | None,
    via: str | None,
    each_broker: bool,
    preset: Literal["lan", "wan", "test"],
    assignments: Sequence[str],
    state: Path | None,
    quiet: bool,
    as_json: bool,
) -> int:
    """Call SERVICE again and again, and tell how long the answers take over each broker and worker.

    These are real calls: its handlers run them. `braid.echo` is answered by the brokers themselves.

    SIGINT (^C) and SIGTERM end it with the summary; calls that are under way then are not counted. Percentiles are at
    most 2 % above the true ones.

    Exit code: 0 only if all calls were answered; else what `braidmq call` has for the error that came most often.
    """
    if via is not None and each_broker:
        raise click.UsageError(
            "--via names one broker, --each-broker takes all: choose one", click.get_current_context()
        )
    log_nothing()
    settings = Settings.parse(assignments, preset)
    node = Node(join, settings=settings, state=state)
    writer = Writer(sys.stdout.fileno(), lost_lines)
    call = Call(
        service,
        read_payload(payload, settings.payload_bytes_max),
        timeout,
        attempts,
        Rotation(node) if each_broker else lambda: via,
    )

    def tell(number: int, end: End, latency_s: float) -> None:
        writer.write(f"{end_line(number, end, latency_s)}\n".encode())
        if writer.error is not None:  # nobody reads any more: the summary fails, too
            calls.end()

    calls = Calls(node, call, None if quiet or as_json else tell)
    asyncio.run(until_signal(node, timeout or settings.timeout_s, lambda: calls.open(rate, count)))
    writer.flush()
    if as_json:
        told = {"service": service, "seconds": round(calls.seconds, 3), **calls.tally.as_dict()}
        click.echo(printable_json(msgspec.json.encode(told)))
    else:
        click.echo(summary(service, calls.tally, calls.seconds))
    return calls.tally.exit_code()
