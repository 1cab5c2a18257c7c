"""``serve``: run the services of a Services or Node object, or a command as a service, until SIGTERM or SIGINT."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

import click
from click.core import ParameterSource

from braidmq.blocking import Node as BlockingNode
from braidmq.cli import JOIN_DATA, join_option, state_option
from braidmq.cli.exec_handler import ExecHandler
from braidmq.cli.loading import load_named, wrong_kind
from braidmq.cli.logs import Format, log_format_option, log_level_option, log_to_stderr
from braidmq.cli.settings_options import settings_options
from braidmq.errors import ConfigError
from braidmq.node import Node
from braidmq.services import Services
from braidmq.settings import Settings
from braidmq.trust import joinfile
from braidmq.trust.joinfile import JoinFile

_KINDS: Final = (Node, Services)

_NO_JOIN: Final = "Missing option '--join' (env var: 'BRAIDMQ_JOIN')"


@click.command("serve")
@click.argument("target", metavar="[MODULE:NAME]", required=False)
@join_option(required=False)
@click.option("--service", metavar="NAME", help="The service that --exec provides.")
@click.option("--exec", "command", metavar="CMD", help="A command to run per request. No shell runs it.")
@click.option(
    "--concurrency",
    metavar="N",
    type=int,
    help="How many such commands run at once.  [default: the number of CPUs]",
)
@settings_options
@state_option
@log_level_option
@log_format_option
def serve(
    target: str | None,
    join: JoinFile | Path | None,
    *,
    preset: Literal["lan", "wan", "test"],
    assignments: Sequence[str],
    state: Path | None,
    service: str | None,
    command: str | None,
    concurrency: int | None,
    log_level: str,
    log_format: Format,
) -> None:
    """Run services.

    MODULE:NAME is a module, looked for in the current directory first, and a braidmq.Services in it, which a node of
    the --join file then provides.

    It may be a braidmq.Node as well. --join sets $BRAIDMQ_JOIN before the module is imported, so that it can say
    Node(os.environ["BRAIDMQ_JOIN"]), or the same with "BRAIDMQ_JOIN_DATA" where that is set; a module that knows its
    join file needs no --join, and refuses that of another member.

    With --service and --exec, a command runs for each request: it gets the payload on stdin, and what it writes to
    stdout is the reply. An exit status other than 0 is an error for the caller, with the last lines of stderr. Its
    environment tells BRAIDMQ_SERVICE, BRAIDMQ_SENDER, BRAIDMQ_ID, BRAIDMQ_POSSIBLE_DUPLICATE (0 or 1),
    BRAIDMQ_RETRY_COUNT and BRAIDMQ_REMAINING (seconds). It is killed at the request's deadline.

    SIGTERM and SIGINT end it once what is under way has been answered; a second signal ends it at once.
    """
    if target is not None and (service or command or concurrency is not None):
        raise click.UsageError("MODULE:NAME goes without --service, --exec and --concurrency")
    settings = Settings.parse(assignments, preset)
    log_to_stderr(log_level, log_format=log_format)
    if target is not None:
        _node_of(target, join, settings, state).run()
        return
    if service is None or command is None:
        raise click.UsageError("Name MODULE:NAME, or --service and --exec")
    if join is None:
        raise click.UsageError(_NO_JOIN)
    node = Node(join, settings=settings, state=state)
    os.environ.pop(JOIN_DATA, None)  # a secret, which is nothing to the commands
    handler = ExecHandler(command, node.settings.payload_bytes_max)
    places = os.cpu_count() or 1 if concurrency is None else concurrency
    node.service(service, concurrency=places)(handler.run)
    handler.own_process()
    try:
        asyncio.run(node.run_until_signal(handler.kill_all))
    finally:
        handler.close()


def _node_of(target: str, join: JoinFile | Path | None, settings: Settings, state: Path | None) -> Node:
    """Return the node that MODULE:NAME names, or one that provides the services that it names."""
    if isinstance(join, Path):
        os.environ["BRAIDMQ_JOIN"] = str(join)
    named = load(target)
    if isinstance(named, Node):
        _check_join(target, named, join)
        if state is not None or settings != Settings():
            raise click.UsageError(
                f"{target} is a node, which knows its settings and state file: write Node(..., state=FILE) there, or "
                "name a braidmq.Services"
            )
        return named
    if join is None:
        raise click.UsageError(_NO_JOIN)
    return Node(join, settings=settings, services=named, state=state)


def _check_join(target: str, node: Node, join: JoinFile | Path | None) -> None:
    """Make sure that --join, if it is given, names the join file of a node that knows its own, or one of that name.

    The node may have read a pipe or stdin, which cannot be read again.
    """
    given = click.get_current_context().get_parameter_source("join") is ParameterSource.COMMANDLINE
    if not isinstance(join, Path) or not given or str(join) == joinfile.STDIN or join.is_fifo():
        return
    name = joinfile.load(join).name
    if name != node.name:
        raise click.UsageError(
            f"{target} is the node {node.name}, and --join names the join file of {name}: leave it out, or write "
            'Node(os.environ["BRAIDMQ_JOIN"]) there'
        )


def load(target: str) -> Node | Services:
    """Return the node or the services that MODULE:NAME names.

    Raises:
        ConfigError: there is no such module or nothing of that kind in it, or it provides no service.
    """
    module, named = load_named(target, _KINDS, "app:services")
    if isinstance(named, BlockingNode):
        raise ConfigError(f"{target} is a braidmq.blocking.Node: make it a braidmq.Services or a braidmq.Node")
    if not isinstance(named, (Node, Services)):
        raise wrong_kind(target, named, module, _KINDS, "no braidmq.Services and no braidmq.Node")
    if not (named.services if isinstance(named, Node) else named):
        raise ConfigError(
            f"{target} provides no service: decorate its handlers with @{target.partition(':')[2]}.service(NAME)"
        )
    return named
