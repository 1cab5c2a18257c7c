"""``serve``: run the services of a Node object, or a command as a service, until SIGTERM or SIGINT."""

import asyncio
import importlib
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Final

import click

from braidmq.cli import join_option, state_option
from braidmq.cli.logs import log_level_option, log_to_stderr
from braidmq.errors import ConfigError
from braidmq.exec_handler import ExecHandler
from braidmq.node import Node

_LOG = logging.getLogger("braidmq.serve")

STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


@click.command("serve")
@click.argument("target", metavar="[MODULE:NODE]", required=False)
@join_option(required=False)
@click.option("--service", metavar="NAME", help="The service that --exec provides.")
@click.option("--exec", "command", metavar="CMD", help="A command to run per request. No shell runs it.")
@click.option(
    "--concurrency",
    metavar="N",
    type=int,
    help="How many such commands run at once.  [default: the number of CPUs]",
)
@state_option
@log_level_option
def serve(
    target: str | None,
    join: Path | None,
    *,
    state: Path | None,
    service: str | None,
    command: str | None,
    concurrency: int | None,
    log_level: str,
) -> None:
    """Run the services of a node.

    MODULE:NODE is a module, looked for in the current directory first, and a braidmq.Node in it. --join sets
    $BRAIDMQ_JOIN before the module is imported, so that it can say Node(os.environ["BRAIDMQ_JOIN"]); a module that
    knows its join file needs no --join.

    With --service and --exec, a command runs for each request: it gets the payload on stdin, and what it writes to
    stdout is the reply. An exit status other than 0 is an error for the caller, with the last lines of stderr. Its
    environment tells BRAIDMQ_SERVICE, BRAIDMQ_SENDER, BRAIDMQ_ID, BRAIDMQ_POSSIBLE_DUPLICATE (0 or 1),
    BRAIDMQ_RETRY_COUNT and BRAIDMQ_REMAINING (seconds). It is killed at the request's deadline.

    SIGTERM and SIGINT end it once what is under way has been answered; a second signal ends it at once.
    """
    if target is not None and (service or command or concurrency is not None):
        raise click.UsageError("MODULE:NODE goes without --service, --exec and --concurrency")
    if target is not None and state is not None:
        raise click.UsageError("MODULE:NODE goes without --state: write Node(..., state=FILE) in the module")
    log_to_stderr(log_level)
    if target is not None:
        if join is not None:
            os.environ["BRAIDMQ_JOIN"] = str(join)
        load_node(target).run()
        return
    if service is None or command is None:
        raise click.UsageError("Name MODULE:NODE, or --service and --exec")
    if join is None:
        raise click.UsageError("Missing option '--join' (env var: 'BRAIDMQ_JOIN')")
    node = Node(join, state=state)
    handler = ExecHandler(command, node.settings.payload_bytes_max)
    places = os.cpu_count() or 1 if concurrency is None else concurrency
    node.service(service, concurrency=places)(handler.run)
    asyncio.run(node.run_until_signal(handler.kill_all))


def load_node(target: str) -> Node:
    """Return the node that MODULE:NODE names.

    Raises:
        ConfigError: there is no such module or no such node in it, or it provides no service.
    """
    name, colon, attribute = target.partition(":")
    if not colon or not attribute or not all(part.isidentifier() for part in name.split(".")):
        raise ConfigError(f"{target!r} does not name a node: write MODULE:NODE, as in app:node")
    sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise  # the module is there, and lacks something: its traceback says where
        raise ConfigError(f"there is no module {error.name!r} here or among the installed ones") from None
    if not hasattr(module, attribute):
        raise ConfigError(f"{attribute!r} in {name} does not exist")
    node = getattr(module, attribute)
    if not isinstance(node, Node):
        kind = type(node)
        raise ConfigError(f"{attribute!r} in {name} is a {kind.__module__}.{kind.__qualname__}, no braidmq.Node")
    if not node.services:
        raise ConfigError(f"{target} provides no service: decorate its handlers with @{attribute}.service(NAME)")
    return node
