"""``remove`` and ``revoke``: who is no longer a member."""

from collections.abc import Callable, Sequence
from pathlib import Path

import click

from braidmq.cli.net.options import json_option, net_option, no_publish_option, opened
from braidmq.cli.net.publishing import finish_change
from braidmq.trust.authority import Authority
from braidmq.trust.change import Change

_names_argument = click.argument("names", metavar="NAME...", nargs=-1, required=True)


@click.command("remove")
@_names_argument
@net_option
@no_publish_option
@json_option
def remove(names: Sequence[str], directory: Path, *, no_publish: bool, as_json: bool) -> None:
    """Take members out of the net. Their names may be used again.

    Where somebody else might have a member's join file, take `braidmq revoke`.
    """
    _leave(directory, names, "Removed", Authority.remove, as_json=as_json, publish=not no_publish)


@click.command("revoke")
@_names_argument
@net_option
@no_publish_option
@json_option
def revoke(names: Sequence[str], directory: Path, *, no_publish: bool, as_json: bool) -> None:
    """Take members out of the net, and never accept their keys again. Their names may be used again.

    This is for join files that others might have read.
    """
    _leave(directory, names, "Revoked", Authority.revoke, as_json=as_json, publish=not no_publish)


def _leave(
    directory: Path,
    names: Sequence[str],
    done: str,
    leave: Callable[[Authority, Sequence[str]], Change],
    *,
    as_json: bool,
    publish: bool,
) -> None:
    authority = opened(directory)
    names = tuple(dict.fromkeys(names))
    change = leave(authority, names)
    roles = {each.name: each.role.value for each in change.before.certificates}
    lines = [f"{done} {roles[name]} {name}." for name in names]
    finish_change(authority, change, lines, {"names": names}, as_json=as_json, publish=publish)
