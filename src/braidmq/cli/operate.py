"""``drain``, ``take-out`` and ``put-back``: what one may do to a running net who has the right to operate it."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, TypeVar

import click
import msgspec

from braidmq.bounds import COMMAND_BROKERS_MAX
from braidmq.cli import join_option
from braidmq.cli.exit_codes import ExitCode
from braidmq.cli.logs import log_nothing
from braidmq.node import Node
from braidmq.operating import Answer, Operator, all_done
from braidmq.printable import printable, printable_json
from braidmq.settings import Settings
from braidmq.trust.joinfile import JoinFile

SETTLE_S_MAX: Final = 2.0
"""How long a broker may take to be connected or to fail."""

T = TypeVar("T")

_json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.command("drain")
@click.argument("broker")
@join_option()
@click.option("--force", is_flag=True, help="Also if it is the last one: no request gets through then.")
@_json_option
def drain(broker: str, join: JoinFile | Path, *, force: bool, as_json: bool) -> int:
    """Let BROKER drain and end, as SIGTERM does, wherever it runs.

    What it has goes on over the other brokers, and nothing is lost. A service manager that is told to restart it always
    starts it again: stop it there.

    It needs a join file with the right to operate: `braidmq set NAME --operate --net DIR`, or DIR/operator.braid.

    Exit code: 0 if it drains; 1 if it does not; 5 if it is not reached; 6 without the right.
    """
    answer = _ask(join, lambda operate: operate.drain(broker, force=force))
    return _tell({broker: answer}, f"{broker} drains", f"{broker} does not drain", as_json=as_json)


@click.command("take-out")
@click.argument("node")
@join_option()
@_json_option
def take_out(node: str, join: JoinFile | Path, *, as_json: bool) -> int:
    """Give NODE no new work, at any broker, until it is put back or its process has ended. What it has goes on.

    A broker that is not reached, or is started later, gives it work: `braidmq status` shows where it is out.

    It needs a join file with the right to operate: `braidmq set NAME --operate --net DIR`, or DIR/operator.braid.

    Exit code: 0 if all brokers have done it that have the node; 1 if one has not, or none has it; 5 if no broker is
    reached; 6 without the right.
    """
    answers = _ask(join, lambda operate: operate.take_out(node))
    return _tell(answers, f"{node} is out", f"{node} is not out", as_json=as_json)


@click.command("put-back")
@click.argument("node")
@join_option()
@_json_option
def put_back(node: str, join: JoinFile | Path, *, as_json: bool) -> int:
    """Give NODE work again, which was taken out. Rights and exit codes are those of `take-out`."""
    answers = _ask(join, lambda operate: operate.put_back(node))
    return _tell(answers, f"{node} is back", f"{node} is not back", as_json=as_json)


def _ask(join: JoinFile | Path, what: Callable[[Operator], Awaitable[T]]) -> T:
    log_nothing()
    node = Node(join, settings=Settings(brokers_connected_max=COMMAND_BROKERS_MAX))

    async def ask() -> T:
        async with node:
            await node.settled(SETTLE_S_MAX)
            return await what(node.operate)

    return asyncio.run(ask())


def _tell(answers: dict[str, Answer], done: str, undone: str, *, as_json: bool) -> int:
    """Say what became of it at each broker; return the exit code."""
    well = all_done(answers.values())
    if as_json:
        rows = [{"broker": each.broker, "outcome": each.outcome, "text": each.text} for each in answers.values()]
        click.echo(printable_json(msgspec.json.encode({"done": well, "brokers": rows})))
    else:
        lines = [f"  {each.broker}: {each.text}" for each in answers.values()]
        click.echo("\n".join(printable(line) for line in (f"{done if well else undone}:", *lines)))
    return ExitCode.OK if well else ExitCode.FAILURE
