"""``invite`` and ``withdraw``: tokens, for machines that are made by machines."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from braidmq import stderr
from braidmq.cli.durations import duration
from braidmq.cli.net.options import calls_option, json_option, net_option, no_publish_option, opened, serves_option
from braidmq.cli.net.publishing import finish_change
from braidmq.errors import ConfigError
from braidmq.trust.change import TOKEN_S
from braidmq.trust.draft import DAY_S
from braidmq.trust.invitation import IDLE_S_MAX, USES_MAX

TTL_S_MAX: Final = 366 * DAY_S
"""The longest time that a token makes members: one that is needed for longer is better made anew each year."""


@click.command("invite")
@click.argument("name", required=False, default="")
@net_option
@click.option(
    "--prefix", metavar="PREFIX", default="", help="What the names of its members begin with, instead of NAME."
)
@click.option("--uses", type=click.IntRange(1, USES_MAX), default=1, show_default=True, help="How many it may make.")
@click.option(
    "--ttl",
    "ttl_s",
    metavar="TIME",
    callback=duration(TTL_S_MAX),
    help="For how long it makes them, as in 90s, 12h or 7d; 15m without this.",
)
@click.option(
    "--keep",
    "idle_s",
    metavar="TIME",
    callback=duration(IDLE_S_MAX),
    help="How long a member is kept that is not connected, as in 12h; for good without this. For replicas that come "
    "and go.",
)
@calls_option
@serves_option
@click.option("--observe", is_flag=True, help="Its members may read the status of brokers.")
@no_publish_option
@json_option
def invite(
    name: str,
    directory: Path,
    *,
    prefix: str,
    uses: int,
    ttl_s: int | None,
    idle_s: int | None,
    calls: Sequence[str],
    serves: Sequence[str],
    observe: bool,
    no_publish: bool,
    as_json: bool,
) -> None:
    """Print a token that makes its holder the node NAME, or nodes whose names begin with a PREFIX.

    `braidmq join TOKEN` on the new machine makes a key there and a join file. The token is a secret: whoever has it can
    make such members until it ends, and no other ones. `braidmq withdraw` takes it back, with all that it has made.
    """
    if bool(name) == bool(prefix):
        raise ConfigError("give a NAME, or --prefix for several members")
    if name and uses > 1:
        raise ConfigError("a NAME can have one member: give --prefix for several")
    authority = opened(directory)
    token, change = authority.invite(
        name=name,
        prefix=prefix,
        uses=uses,
        ttl_s=ttl_s or TOKEN_S,
        calls=calls,
        serves=serves,
        observe=observe,
        idle_s=idle_s or 0,
    )
    code = token.encode()
    said = {
        "token": code,
        "serial": token.serial,
        "name": name,
        "prefix": prefix,
        "uses": uses,
        "ends_at": token.not_after,
    }
    if not as_json:
        stderr.say(f"braidmq: token {token.serial}, a secret; paste it on the new machine: braidmq join -")
    finish_change(authority, change, [code], said, as_json=as_json, publish=not no_publish, aside=True)


@click.command("withdraw")
@click.argument("serial", type=click.IntRange(1))
@net_option
@no_publish_option
@json_option
def withdraw(serial: int, directory: Path, *, no_publish: bool, as_json: bool) -> None:
    """Take the token SERIAL back. Whom it has made a member is none any more."""
    authority = opened(directory)
    change = authority.withdraw(serial)
    lines = [f"Token {serial} is withdrawn, and its members are none any more."]
    finish_change(authority, change, lines, {"serial": serial}, as_json=as_json, publish=not no_publish)
