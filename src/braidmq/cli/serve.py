"""``serve``: run the services of a Services or Node object, or a command as a service, until SIGTERM or SIGINT."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal, NamedTuple

import click
from click.core import ParameterSource

from braidmq.blocking import Node as BlockingNode
from braidmq.cli import JOIN_DATA, SUPERVISED, join_option, state_option
from braidmq.cli.exec_handler import ExecHandler
from braidmq.cli.exit_codes import ExitCode
from braidmq.cli.loading import check_named, load_named, wrong_kind
from braidmq.cli.logs import Format, log_format_option, log_level_option, log_to_stderr
from braidmq.cli.numbers import Finite
from braidmq.cli.processes import run_all, run_reloaded, serve_programs
from braidmq.cli.settings_options import settings_options
from braidmq.errors import ConfigError
from braidmq.host.lifeline import Lifeline
from braidmq.host.signals import heed_signals_as_process_1
from braidmq.node import Node
from braidmq.services import Services
from braidmq.settings import Settings
from braidmq.trust import joinfile
from braidmq.trust.joinfile import JoinFile

_KINDS: Final = (Node, Services)

_NO_JOIN: Final = "Missing option '--join' (env var: 'BRAIDMQ_JOIN')"


PROCESSES_MAX: Final = 256
"""Processes of one worker: one for each processor of a large machine. A broker takes 16 connections of a key unless
`connections_per_key_max` says otherwise there."""

TIME_LIMIT_S_MAX: Final = 86_400.0
"""Longest time limit of a command: no deadline is later."""

_ARGUMENTS: Final = "braidmq.cli.serve.arguments"

_EXAMPLE: Final = "app:services"


class _Making(NamedTuple):
    """What the command line says of the node that is to serve."""

    join: JoinFile | Path | None
    settings: Settings
    state: Path | None

    def node(self, services: Services | None = None) -> Node:
        """Make it. Raises UsageError without a join file."""
        if self.join is None:
            raise click.UsageError(_NO_JOIN, click.get_current_context())
        return Node(self.join, settings=self.settings, services=services, state=self.state)


class _Serve(click.Command):
    """Remembers how it was called, for the processes that it starts."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """See click.Command.parse_args."""
        ctx.meta[_ARGUMENTS] = tuple(args)
        return super().parse_args(ctx, args)


@click.command("serve", cls=_Serve)
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
@click.option(
    "--time-limit",
    "time_limit_s",
    metavar="S",
    type=Finite(0.0, TIME_LIMIT_S_MAX, min_open=True),
    help="Seconds after which such a command is killed, though its caller would wait longer.",
)
@click.option(
    "--processes",
    metavar="N",
    type=click.IntRange(1, PROCESSES_MAX),
    default=1,
    show_default=True,
    help="How many processes serve MODULE:NAME, side by side: for handlers that compute.",
)
@click.option("--reload", is_flag=True, help="Start anew when the source changes: for development.")
@settings_options
@state_option
@log_level_option
@log_format_option
@click.option(SUPERVISED, "supervised", type=int, hidden=True, help="Its number as one of several; see lifeline.py.")
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
    time_limit_s: float | None,
    processes: int,
    reload: bool,
    log_level: str,
    log_format: Format,
    supervised: int | None,
) -> int:
    """Run services.

    MODULE:NAME is a module, looked for in the current directory first, and a braidmq.Services in it, which a node of
    the --join file then provides.

    It may be a braidmq.Node as well. --join sets $BRAIDMQ_JOIN before the module is imported, so that it can say
    Node(os.environ["BRAIDMQ_JOIN"]), or the same with "BRAIDMQ_JOIN_DATA" where that is set; a module that knows its
    join file needs no --join, and refuses that of another member.

    With --processes N, N processes serve it as the same member, and one more looks after them: it starts one again that
    ends by itself. With --reload, a new process takes over when Python files here change; what runs goes on until that
    is ready, and if it never is.

    With --service and --exec, a command runs for each request: it gets the payload on stdin, and what it writes to
    stdout is the reply. An exit status other than 0 is an error for the caller, with the last lines of stderr, which
    are in the log, too. Its environment tells BRAIDMQ_SERVICE, BRAIDMQ_SENDER, BRAIDMQ_ID, BRAIDMQ_POSSIBLE_DUPLICATE
    (0 or 1), BRAIDMQ_RETRY_COUNT and BRAIDMQ_REMAINING (seconds). It is killed, with all that it has started, at the
    request's deadline, at the --time-limit, and when it writes more than payload_bytes_max.

    SIGTERM and SIGINT end it once what is under way has been answered, with exit code 0; a second signal ends it at
    once. The code is 1 if it fails, and 2 if something is wrong with what it was given.
    """
    if target is not None and (service or command or concurrency is not None or time_limit_s is not None):
        raise click.UsageError("MODULE:NAME goes without --service, --exec, --concurrency and --time-limit")
    making = _Making(join, Settings.parse(assignments, preset), state)
    heed_signals_as_process_1()
    if target is None:
        if processes > 1 or reload:
            raise click.UsageError(
                "--processes and --reload are for MODULE:NAME: --exec starts a process for each request anyway"
            )
        log_to_stderr(log_level, log_format=log_format)
        _serve_command(service, command, making, concurrency, time_limit_s)
        return ExitCode.OK
    check_named(target, _EXAMPLE)
    if supervised is not None:
        _serve_supervised(target, supervised, making, log_level, log_format)
        return ExitCode.OK
    if processes > 1 or reload:
        _check_apart(join, processes, reload=reload)
        log_to_stderr(log_level, log_format=log_format)
        arguments: Sequence[str] = click.get_current_context().meta[_ARGUMENTS]
        return run_reloaded(target, arguments) if reload else run_all(serve_programs(target, processes, arguments))
    log_to_stderr(log_level, log_format=log_format)
    _node_of(target, making).run()
    return ExitCode.OK


def _check_apart(join: JoinFile | Path | None, processes: int, *, reload: bool) -> None:
    """Raise UsageError if processes of their own cannot serve what was given."""
    if processes > 1 and reload:
        raise click.UsageError("--reload is for one process: leave out --processes", click.get_current_context())
    if isinstance(join, Path) and (str(join) == joinfile.STDIN or join.is_fifo()):
        raise ConfigError(
            "each process reads the join file, and a pipe can be read once: name a file, or use $BRAIDMQ_JOIN_DATA"
        )


def _serve_supervised(target: str, number: int, making: _Making, log_level: str, log_format: Format) -> None:
    """Serve as one of several processes, or as one that gives way to newer code if its number is 0."""
    lifeline = Lifeline()
    log_to_stderr(log_level, f"{target}[{number}]" if number else "", log_format)
    if making.state is not None and number:
        path = making.state
        making = making._replace(state=path.with_name(f"{path.stem}-{number}{path.suffix}"))
    asyncio.run(_node_of(target, making).run_supervised(lifeline))


def _serve_command(
    service: str | None, command: str | None, making: _Making, concurrency: int | None, time_limit_s: float | None
) -> None:
    """Serve a command."""
    if service is None or command is None:
        raise click.UsageError("Name MODULE:NAME, or --service and --exec", click.get_current_context())
    node = making.node()
    os.environ.pop(JOIN_DATA, None)  # a secret, which is nothing to the commands
    handler = ExecHandler(command, node.settings.payload_bytes_max, time_limit_s)
    places = os.cpu_count() or 1 if concurrency is None else concurrency
    node.service(service, concurrency=places)(handler.run)
    handler.own_process()
    try:
        asyncio.run(node.run_until_signal(handler.kill_all))
    finally:
        handler.close()


def _node_of(target: str, making: _Making) -> Node:
    """Return the node that MODULE:NAME names, or one that provides the services that it names."""
    if isinstance(making.join, Path):
        os.environ["BRAIDMQ_JOIN"] = str(making.join)
    named = load(target)
    if isinstance(named, Services):
        return making.node(named)
    _check_join(target, named, making.join)
    if making.state is not None or making.settings != Settings():
        raise click.UsageError(
            f"{target} is a node, which knows its settings and state file: write Node(..., state=FILE) there, or "
            "name a braidmq.Services"
        )
    return named


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
    module, named = load_named(target, _KINDS, _EXAMPLE)
    if isinstance(named, BlockingNode):
        raise ConfigError(f"{target} is a braidmq.blocking.Node: make it a braidmq.Services or a braidmq.Node")
    if not isinstance(named, (Node, Services)):
        raise wrong_kind(target, named, module, _KINDS, "no braidmq.Services and no braidmq.Node")
    if not (named.services if isinstance(named, Node) else named):
        raise ConfigError(
            f"{target} provides no service: decorate its handlers with @{target.partition(':')[2]}.service(NAME)"
        )
    return named
