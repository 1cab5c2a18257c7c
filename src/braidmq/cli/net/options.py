"""What the commands that need the authority's directory have in common."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from braidmq.errors import ConfigError
from braidmq.trust import private_directory
from braidmq.trust.authority import Authority
from braidmq.trust.codes import RequestCode
from braidmq.trust.draft import DAY_S

_Command = TypeVar("_Command", bound=Callable[..., Any])

DIRECTORY: Final = click.Path(path_type=Path, readable=False)
"""Whether it can be read is looked at when it is opened, which says what to do."""

_DAYS_MAX: Final = 36_500
"""A century: whoever wants more wants a certificate that does not end."""

net_option = click.option(
    "--net", "directory", metavar="DIR", type=DIRECTORY, required=True, help="Directory of the net's authority."
)

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")

no_publish_option = click.option(
    "--no-publish", is_flag=True, help="Leave the running net as it is: the change is only in DIR."
)

calls_option = click.option(
    "--call",
    "calls",
    metavar="PATTERN",
    multiple=True,
    help="Services it may call: a name, a prefix (orders.*) or '*'. May be repeated.",
)

serves_option = click.option(
    "--serve", "serves", metavar="PATTERN", multiple=True, help="Services it may provide, likewise. May be repeated."
)


def endpoints_option(*, required: bool) -> Callable[[_Command], _Command]:
    """Return the decorator for --endpoint."""
    return click.option(
        "--endpoint",
        "endpoints",
        metavar="tcp://HOST:PORT",
        multiple=True,
        required=required,
        help="Where nodes and other brokers reach it. May be repeated.",
    )


def days_option(text: str, default: int | None = None) -> Callable[[_Command], _Command]:
    """Return the decorator for --days."""
    return click.option(
        "--days",
        metavar="N",
        type=click.IntRange(1, _DAYS_MAX),
        default=default,
        show_default=default is not None,
        help=text,
    )


def not_after(days: int | None) -> int:
    """Return the Unix time in seconds that is so many days away; 0 for None."""
    return 0 if days is None else int(time.time()) + days * DAY_S


def request_option(text: str) -> Callable[[_Command], _Command]:
    """Return the decorator for --request."""
    return click.option("--request", "request", metavar="CODE", help=text)


def requested_key(authority: Authority, name: str, code: str) -> bytes:
    """Return the public key in a request code.

    Raises:
        ConfigError: it is none, or is for another net or another name.
    """
    asked = RequestCode.decode(code)
    if asked.net != authority.net:
        raise ConfigError(f"the code asks for membership in net {asked.net}, and this is net {authority.net}")
    if asked.name != name:
        raise ConfigError(f"the code asks for the name {asked.name!r}, not {name!r}")
    return asked.key


def opened(directory: Path) -> Authority:
    """Return the authority in a directory.

    Raises:
        ConfigError: there is none, it is damaged, or others may read it, change it, or put another in its place.
    """
    private_directory.check_way(directory)
    return Authority.open(directory)
