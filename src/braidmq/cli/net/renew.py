"""``renew``: certificates that are to end later."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from braidmq.cli.net.options import days_option, json_option, net_option, no_publish_option, not_after, opened
from braidmq.cli.net.publishing import finish_change

_DAYS: Final = 365


@click.command("renew")
@click.argument("names", metavar="[NAME...]", nargs=-1)
@net_option
@click.option("--all", "everybody", is_flag=True, help="All members whose certificates end before that.")
@days_option("After how many days from now they end.", _DAYS)
@no_publish_option
@json_option
def renew(
    names: Sequence[str], directory: Path, *, everybody: bool, days: int, no_publish: bool, as_json: bool
) -> None:
    """Let the certificates of the members NAME... end later. Those that do not end stay as they are."""
    if bool(names) == everybody:
        raise click.UsageError("name the members, or --all", click.get_current_context())
    authority = opened(directory)
    change = authority.renew(None if everybody else names, not_after(days))
    renewed = [each.name for each in change.after.certificates if each.serial > change.before.version]
    lines = [f"Renewed for {days} days: {name}" for name in renewed]
    if not renewed:
        lines = [f"Nothing to renew: no certificate ends within {days} days."]
    finish_change(authority, change, lines, {"names": renewed}, as_json=as_json, publish=not no_publish)
