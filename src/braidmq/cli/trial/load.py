"""``load``: how much a service takes, and how long its answers take under that."""

import asyncio
import dataclasses
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

import click
import msgspec

from braidmq import stderr
from braidmq.bounds import PAYLOAD_BYTES_MAX
from braidmq.cli import join_option, state_option
from braidmq.cli.call import read_payload
from braidmq.cli.exit_codes import ExitCode
from braidmq.cli.logs import log_nothing
from braidmq.cli.numbers import Finite
from braidmq.cli.settings_options import settings_options
from braidmq.cli.trial.calls import IN_FLIGHT_MAX, Call, Calls, until_signal
from braidmq.cli.trial.steps import Step, is_enough, judge, next_step
from braidmq.cli.trial.text import load_text, progress_line
from braidmq.host.clock import monotonic
from braidmq.node import Node
from braidmq.printable import printable_json
from braidmq.settings import Settings
from braidmq.trust.joinfile import JoinFile

IN_FLIGHT: Final = 64
"""Calls under way, where nothing else is said: enough to keep some workers busy over the time of a round trip."""

DURATION_S: Final = 5.0
"""How long a load lasts, where nothing else is said: long enough for more than 1,000 answers of most services."""

DURATION_S_MAX: Final = 86_400.0

RATE_MAX: Final = 100_000.0
"""Calls per second: far more than one process can begin."""

PROGRESS_S: Final = 1.0
"""From one line of progress to the next."""


@click.command("load")
@click.argument("service")
@click.argument("payload", metavar="[PAYLOAD | @FILE | -]", required=False)
@join_option()
@click.option(
    "--bytes",
    "payload_bytes",
    metavar="N",
    type=click.IntRange(0, PAYLOAD_BYTES_MAX),
    help="Send N random bytes instead.",
)
@click.option("--in-flight", metavar="N", type=click.IntRange(1, IN_FLIGHT_MAX), help="Calls under way.  [default: 64]")
@click.option(
    "--rate",
    metavar="R",
    type=Finite(0.0, RATE_MAX, min_open=True),
    help="Calls per second instead, whether or not the ones before are answered.",
)
@click.option(
    "--duration",
    metavar="S",
    type=Finite(0.1, DURATION_S_MAX),
    default=DURATION_S,
    show_default=True,
    help="Seconds of load; with --until-full, of each step.",
)
@click.option(
    "--until-full", is_flag=True, help="Ask for more and more, from 1 in flight or --rate on, until it is full."
)
@click.option("--timeout", metavar="S", type=float, help="Seconds until a call gives up, over all attempts.")
@click.option("--attempts", metavar="N", type=int, help="How often a call may be sent.")
@click.option("--via", metavar="BROKER", help="The name of the only broker to use.")
@settings_options
@state_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end.")
def load(
    service: str,
    payload: str | None,
    join: JoinFile | Path,
    *,
    payload_bytes: int | None,
    in_flight: int | None,
    rate: float | None,
    duration: float,
    until_full: bool,
    timeout: float | None,
    attempts: int | None,
    via: str | None,
    preset: Literal["lan", "wan", "test"],
    assignments: Sequence[str],
    state: Path | None,
    as_json: bool,
) -> int:
    """Call SERVICE as fast as it answers, or at a fixed rate, and tell how much goes through and how long it takes.

    These are real calls: its handlers run them, and other callers feel them. It takes one processor at most; where
    that is the limit, it says so.

    Replies per second are those of the second half of the time. Latencies of a fixed rate count from when a call was
    due. Percentiles are at most 2 % above the true ones. Progress goes to stderr. SIGINT (^C) and SIGTERM end it with
    what has come so far.

    Exit code: 0 only if all calls were answered (with --until-full: of one step, at least); else what `braidmq call`
    has for the error that came most often.
    """
    ctx = click.get_current_context()
    if in_flight is not None and rate is not None:
        raise click.UsageError("--in-flight waits for answers, --rate does not: choose one", ctx)
    if payload is not None and payload_bytes is not None:
        raise click.UsageError("--bytes makes a payload of its own: leave the other one out", ctx)
    log_nothing()
    settings = Settings.parse(assignments, preset)
    settings = dataclasses.replace(settings, in_flight_max=max(settings.in_flight_max, IN_FLIGHT_MAX))
    node = Node(join, settings=settings, state=state)
    sent = (
        os.urandom(payload_bytes)
        if payload_bytes is not None
        else read_payload(payload or "", settings.payload_bytes_max)
    )
    run = _Load(node, Call(service, sent, timeout, attempts, lambda: via), duration)
    first = (0, rate) if rate is not None else (in_flight or (1 if until_full else IN_FLIGHT), 0.0)
    asyncio.run(until_signal(node, timeout or settings.timeout_s, lambda: run.go(*first, rises=until_full)))
    if not run.steps:
        return ExitCode.INTERRUPTED
    verdict = judge(run.steps) if until_full else None
    if as_json:
        told = {"service": service, "payload_bytes": len(sent), "steps": [step.as_dict() for step in run.steps]}
        if verdict is not None:
            told["full"] = {"step": None if verdict.step is None else run.steps.index(verdict.step), "why": verdict.why}
        click.echo(printable_json(msgspec.json.encode(told)))
    else:
        click.echo(load_text(service, len(sent), run.steps, verdict))
    if verdict is not None and verdict.step is not None:
        return ExitCode.OK
    return run.steps[-1].tally.exit_code()


class _Load:
    """The steps of a load.

    Attributes:
        steps: those that have ended.
    """

    def __init__(self, node: Node, call: Call, duration_s: float) -> None:
        self._node = node
        self._call = call
        self._duration_s = duration_s
        self.steps: list[Step] = []

    async def go(self, in_flight: int, rate: float, *, rises: bool) -> None:
        """Make one call, so that what can't be called is told at once; then one step, or all that are needed.

        Raises:
            RequestError: that call has failed.
        """
        call = self._call
        await self._node.request(
            call.service, call.payload, timeout=call.timeout_s, attempts=call.attempts, via=call.via()
        )
        await self._step(in_flight, rate)
        while rises and not is_enough(self.steps):
            await self._step(*next_step(self.steps[-1]))

    async def _step(self, in_flight: int, rate: float) -> None:
        calls = Calls(self._node, self._call)
        progress = asyncio.create_task(_tell(calls))
        began, busy_s = monotonic(), time.process_time()
        try:
            if rate:
                await calls.open(rate, max(1, round(rate * self._duration_s)))
            else:
                await calls.closed(in_flight, self._duration_s)
        finally:
            progress.cancel()
            busy = (time.process_time() - busy_s) / (monotonic() - began)
            step = Step(in_flight, rate, calls.seconds, calls.per_s, calls.tally, calls.held_back, busy)
            if calls.tally.sent:
                self.steps.append(step)


async def _tell(calls: Calls) -> None:
    """Tell how far it is, again and again."""
    began = monotonic()
    while True:
        await asyncio.sleep(PROGRESS_S)
        stderr.say(progress_line(calls.tally, monotonic() - began))
