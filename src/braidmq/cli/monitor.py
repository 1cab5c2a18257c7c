"""``monitor``: shows the net in a browser, and to Prometheus, until SIGTERM or SIGINT."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from braidmq.bounds import COMMAND_BROKERS_MAX
from braidmq.checks import host_and_port
from braidmq.cli import join_option
from braidmq.cli.logs import Format, log_format_option, log_level_option, log_to_stderr
from braidmq.errors import ConfigError
from braidmq.monitor.access import TOKEN_CHARS_MAX, check_host, check_token
from braidmq.monitor.trial import Paths
from braidmq.node import Node
from braidmq.settings import Settings
from braidmq.trust import private_file
from braidmq.trust.joinfile import JoinFile

TOKEN: Final = "BRAIDMQ_MONITOR_TOKEN"  # noqa: S105 - where it is, not what it is
"""The environment variable that may hold the token."""


@click.command("monitor")
@join_option()
@click.option(
    "--http", "address", metavar="HOST:PORT", default="127.0.0.1:8088", show_default=True, help="Where it listens."
)
@click.option(
    "--token-file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help=f"A private file with the token that lets people read and act. It may be in ${TOKEN} instead.",
)
@click.option(
    "--guarded-by-proxy",
    is_flag=True,
    help="Let it listen for other machines without a token: a reverse proxy lets in only who may read.",
)
@click.option(
    "--host", "hosts", metavar="NAME", multiple=True, help="A name under which it is reached. May be repeated."
)
@log_level_option
@log_format_option
def monitor(
    join: JoinFile | Path,
    *,
    address: str,
    token_file: Path | None,
    guarded_by_proxy: bool,
    hosts: Sequence[str],
    log_level: str,
    log_format: Format,
) -> None:
    """Show whether the net is well, what is wrong and what to do: in a browser, as JSON, and to Prometheus at /metrics.

    It needs a join file with the right to observe: `braidmq add node NAME --net DIR --observe`. Several monitors may
    run.

    Without a token it listens only for this machine, and shows all to whoever is there. With one, nobody reads without
    it, and who has it may act from the pages.

    SIGTERM and SIGINT end it. Exit code: 0 if it ended so; 2 if an option, the join file or the address cannot be used,
    or the extra `monitor` is missing; 6 if it may not observe the net.
    """
    try:
        from braidmq.monitor.web.server import Address, run_until_signal  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"starlette", "uvicorn", "prometheus_client", "h11"}:
            raise
        raise ConfigError(f"the monitor needs {error.name}: pip install 'braidmq[monitor]'") from None
    host, port = _address(address)
    where = Address(host, port, tuple(map(check_host, hosts)), _token(token_file), guarded_by_proxy)
    log_to_stderr(log_level, log_format=log_format)
    paths = Paths()
    node = Node(join, settings=Settings(brokers_connected_max=COMMAND_BROKERS_MAX), observer=paths)
    asyncio.run(run_until_signal(node, paths, where))


def _address(text: str) -> tuple[str, int]:
    address = host_and_port(text)
    if address is None:
        raise ConfigError(f"{text!r} is no address to listen at: write HOST:PORT, as in 127.0.0.1:8088")
    return address


def _token(path: Path | None) -> str | None:
    """Return the token of a private file, or of the environment; None if there is none."""
    text = os.environ.pop(TOKEN, None)
    if path is None:
        return None if text is None else check_token(text, f"${TOKEN}")
    if text is not None:
        raise click.UsageError(f"--token-file and ${TOKEN} are both given: leave one of them out")
    data = private_file.read(path, TOKEN_CHARS_MAX + 2, handed_over=True)
    return check_token(data.decode("ascii", "replace"), str(path))
