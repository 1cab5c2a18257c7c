"""The command line. A command's module is imported when the command runs, so that `--help` answers at once."""

import errno
import importlib
import logging
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn

import click
from click.core import ParameterSource

from braidmq import stderr
from braidmq.cli.exit_codes import EXPECTED, ExitCode, exit_code
from braidmq.errors import RequestError, ServiceError
from braidmq.host.loggers import own_logger
from braidmq.printable import printable
from braidmq.version import cores

_LOG = own_logger("braidmq.cli")


class _Command(NamedTuple):
    target: str
    help: str


_COMMANDS: Final = {
    "init": _Command("braidmq.cli.net.init:init", "Make a new net."),
    "add": _Command("braidmq.cli.net.add:add", "Register a broker or a node."),
    "set": _Command("braidmq.cli.net.change:set_member", "Change what a member may do, or where it is."),
    "rename": _Command("braidmq.cli.net.change:rename", "Give a member another name."),
    "remove": _Command("braidmq.cli.net.leave:remove", "Take members out of a net."),
    "revoke": _Command("braidmq.cli.net.leave:revoke", "The same, and never accept their keys again."),
    "rotate": _Command("braidmq.cli.net.keys:rotate", "Give a member a new key."),
    "renew": _Command("braidmq.cli.net.renew:renew", "Let certificates end later."),
    "publish": _Command("braidmq.cli.net.publish:publish", "Hand the newest registry to the running net."),
    "code": _Command("braidmq.cli.net.publish:code", "Print what a machine needs to ask for membership."),
    "invite": _Command("braidmq.cli.net.invite:invite", "Print a token that makes members."),
    "withdraw": _Command("braidmq.cli.net.invite:withdraw", "Take a token back."),
    "join": _Command("braidmq.cli.join:join", "Make this machine a member of a net."),
    "list": _Command("braidmq.cli.net.listing:list_members", "List the members of a net."),
    "broker": _Command("braidmq.cli.broker:broker", "Run a broker."),
    "serve": _Command("braidmq.cli.serve:serve", "Run the services of a node."),
    "call": _Command("braidmq.cli.call:call", "Call a service."),
    "ping": _Command("braidmq.cli.trial.ping:ping", "Measure round trips to a service, over each path."),
    "load": _Command("braidmq.cli.trial.load:load", "Find out how much a service takes."),
    "bridge": _Command("braidmq.cli.bridge:bridge", "Let programs of other protocols in."),
    "drain": _Command("braidmq.cli.operate:drain", "Let a broker drain and end."),
    "take-out": _Command("braidmq.cli.operate:take_out", "Give a node no new work."),
    "put-back": _Command("braidmq.cli.operate:put_back", "Give it work again."),
    "status": _Command("braidmq.cli.status:status", "Show brokers, nodes and services."),
    "monitor": _Command("braidmq.cli.monitor:monitor", "Show the net in a browser, and to Prometheus."),
    "top": _Command("braidmq.cli.top.command:top", "Show the net live, in the terminal."),
    "doctor": _Command("braidmq.cli.doctor.command:doctor", "Say why a member does not reach its brokers."),
    "simulate": _Command("braidmq.cli.simulate:simulate", "Simulate nets with faults, from seeds."),
    "bench": _Command("braidmq.cli.bench:bench", "Measure an echo over BraidMQ and over its rivals."),
    "demo": _Command("braidmq.cli.demo:demo", "Kill brokers under load and lose nothing."),
}


JOIN_DATA: Final = "BRAIDMQ_JOIN_DATA"
"""The environment variable that may hold the text of a join file."""


SUPERVISED: Final = "--supervised"
"""The option of a process that is one of several: it has a lifeline in the place of stdin (`braidmq.host.lifeline`)."""


def join_option(*, required: bool = True) -> Callable[[Any], Any]:
    """Return the decorator for --join, which says who a command is.

    $BRAIDMQ_JOIN stands in for it, or $BRAIDMQ_JOIN_DATA, which holds the text of the file itself: the command gets a
    path, or a `JoinFile` that was loaded from there.
    """
    return click.option(
        "--join",
        metavar="FILE",
        type=click.Path(path_type=Path, readable=False),  # a descriptor may be readable that cannot be opened anew
        envvar="BRAIDMQ_JOIN",
        show_envvar=True,
        callback=_or_join_data(required),
        help="The member's join file, as `braidmq add` wrote it; - for stdin. The text of the file may be in "
        f"${JOIN_DATA} instead.",
    )


def _or_join_data(required: bool) -> Callable[[click.Context, click.Parameter, Path | None], Any]:
    def choose(ctx: click.Context, param: click.Parameter, path: Path | None) -> Any:
        if path is not None and ctx.get_parameter_source("join") is ParameterSource.COMMANDLINE:
            return path
        text = os.environ.get(JOIN_DATA)
        if text is None:
            if path is None and required:
                raise click.MissingParameter(ctx=ctx, param=param)
            return path
        if path is not None:
            raise click.UsageError(f"$BRAIDMQ_JOIN and ${JOIN_DATA} are both set: unset one of them", ctx)
        from braidmq.trust import joinfile  # noqa: PLC0415 - what `--help` has no need of

        return joinfile.load_text(text, f"${JOIN_DATA}")

    return choose


def state_option(command: Any) -> Any:
    """Decorate a command of a node with --state."""
    return click.option(
        "--state",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="Where the node remembers the brokers of its net, in case those of its join file are down.",
    )(command)


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, attribute = _COMMANDS[cmd_name].target.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.help) for name, command in _COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            ctx.fail(f"there is no command {args[0]!r}")
        return super().resolve_command(ctx, args)


@click.command(
    cls=_LazyGroup,
    no_args_is_help=False,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="braidmq", message=f"braidmq %(version)s, cores {cores()}")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Request/reply over ZeroMQ's protocol that outlives its brokers."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help(), err=True)
        ctx.exit(ExitCode.USAGE)


def main() -> NoReturn:
    """Run the command that `sys.argv` names, and exit with its code."""
    _open_closed_streams()
    try:
        code = run(sys.argv[1:])
    except Exception:  # noqa: BLE001 - a bug, which is shown as it is, and must not hang on a stderr that nobody reads
        if _is_read_by_programs():
            _LOG.exception("a bug of BraidMQ, please report it")
        else:
            for line in traceback.format_exc().splitlines():
                stderr.say(printable(line))
        code = ExitCode.FAILURE
    stderr.flush()
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run the command that `arguments` name, and return its exit code.

    A command returns its exit code, or None for 0. An exception that BraidMQ raises on purpose, and one of the
    operating system, becomes one line on stderr and the code that `exit_codes` has for it.
    """
    try:
        result = cli.main(args=list(arguments), prog_name="braidmq", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        _drop_output()
        return ExitCode.FAILURE
    except (KeyboardInterrupt, click.Abort):
        return ExitCode.INTERRUPTED
    except click.ClickException as error:
        hint = f" (see `{error.ctx.command_path} --help`)" if isinstance(error, click.UsageError) and error.ctx else ""
        complain(f"{error.format_message().rstrip('.')}{hint}")
        return error.exit_code
    except MemoryError:
        complain("there is not enough memory: raise the limit of this process, or free some of the machine's")
        return ExitCode.FAILURE
    except EXPECTED as error:
        complain(_line(error))
        _drop_unwritten_output()
        return exit_code(error)
    return result if isinstance(result, int) else ExitCode.OK


def complain(message: str) -> None:
    """Say in one line what is wrong: on stderr, or in the log where programs read that."""
    line = printable(" ".join(message.split()))
    if _is_read_by_programs():
        _LOG.error("%s", line)
    else:
        stderr.say(f"braidmq: {line}")
    stderr.flush()


def _is_read_by_programs() -> bool:
    return any(getattr(handler, "for_programs", False) for handler in logging.getLogger().handlers)


def _line(error: Exception) -> str:
    """Return the message of `error`; for the operating system's errors without their number."""
    if isinstance(error, RequestError) and not isinstance(error, ServiceError) and error.maybe_executed:
        return f"{error}; it may have been run"
    if not isinstance(error, OSError) or not error.strerror:
        return str(error) or type(error).__name__
    if error.errno == errno.EMFILE:
        return f"{error.strerror}: raise the limit of this process (`ulimit -n`, LimitNOFILE=)"
    if error.errno == errno.EBADF and not error.filename:
        return "stdout is closed: what was to be written there is lost"
    return f"{error.filename}: {error.strerror}" if error.filename else error.strerror


def _open_closed_streams() -> None:
    """Put something in the place of standard streams that are closed, lest their numbers are given to other files.

    stdout becomes a file that cannot be written to, so that a command whose output is lost fails; stderr becomes one
    that forgets. stdin stays None for Python: whoever needs it has to say so.
    """
    for descriptor, mode in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, mode)  # it takes the lowest number that is free
            os.set_inheritable(descriptor, True)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", closefd=False)


def _drop_unwritten_output() -> None:
    """Flush stdout; where that fails (a full disk), keep the interpreter from complaining when it exits."""
    try:
        sys.stdout.flush()
    except OSError:
        _drop_output()


def _drop_output() -> None:
    """Let stdout lead nowhere, since whoever read it has gone."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
