"""``remove`` and ``revoke``: who is no longer a member."""

from collections.abc import Collection, Sequence
from pathlib import Path

import click

from braidmq.cli.net.claiming import enrolled, token_for
from braidmq.cli.net.options import json_option, net_option, no_publish_option, opened
from braidmq.cli.net.publishing import finish_change
from braidmq.errors import ConfigError
from braidmq.trust.authority import Authority
from braidmq.trust.change import Change
from braidmq.trust.enrolment import Enrolment
from braidmq.trust.manifest import Manifest

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
    authority = opened(directory)
    names = tuple(dict.fromkeys(names))
    manifest = authority.manifest()
    if _are_out(manifest, names, {each.name for each in manifest.extras.removals}):
        _tell_again(authority, names, "removed", as_json=as_json, publish=not no_publish)
        return
    for name in _strangers(manifest, names):
        token = token_for(manifest, name)
        if token is not None:
            raise ConfigError(
                f"nobody is registered as {name!r}: if token {token.serial} has made it, `braidmq revoke {name}` takes "
                f"it out, and `braidmq withdraw {token.serial}` all that the token has made"
            )
    _tell(authority, authority.remove(names), names, (), "Removed", as_json=as_json, publish=not no_publish)


@click.command("revoke")
@_names_argument
@net_option
@no_publish_option
@json_option
def revoke(names: Sequence[str], directory: Path, *, no_publish: bool, as_json: bool) -> None:
    """Take members out of the net, and never accept their keys again. Their names may be used again.

    This is for join files that others might have read. A broker must answer for a member that a token has made: the
    running net is asked for its key, by a member that may observe and whose join file lies in the directory, as
    operator.braid does.
    """
    authority = opened(directory)
    names = tuple(dict.fromkeys(names))
    manifest = authority.manifest()
    if _are_out(manifest, names, {each.name for each in manifest.extras.revoked}):
        _tell_again(authority, names, "revoked", as_json=as_json, publish=not no_publish)
        return
    strangers = _strangers(manifest, names)
    found = enrolled(authority, manifest, strangers) if strangers else []
    change = authority.revoke([name for name in names if name not in strangers], found)
    _tell(authority, change, names, found, "Revoked", as_json=as_json, publish=not no_publish)


def _strangers(manifest: Manifest, names: Sequence[str]) -> list[str]:
    """Return the names that nobody is registered under."""
    registered = {each.name for each in manifest.certificates}
    return [name for name in names if name not in registered]


def _are_out(manifest: Manifest, names: Sequence[str], gone: Collection[str]) -> bool:
    """Whether all of these were taken out already, and no token can have made another one of that name."""
    strangers = _strangers(manifest, names)
    return len(strangers) == len(names) and all(
        name in gone and token_for(manifest, name) is None for name in strangers
    )


def _tell_again(authority: Authority, names: Sequence[str], done: str, *, as_json: bool, publish: bool) -> None:
    """Say that nothing is to be changed, and bring that to the net: a command may have been ended before it did."""
    manifest = authority.manifest()
    lines = [f"Nothing has changed: {name} was {done} already." for name in names]
    finish_change(authority, Change(manifest, manifest), lines, {"names": names}, as_json=as_json, publish=publish)


def _tell(
    authority: Authority,
    change: Change,
    names: Sequence[str],
    enrolments: Sequence[Enrolment],
    done: str,
    *,
    as_json: bool,
    publish: bool,
) -> None:
    roles = {each.name: each.role.value for each in change.before.certificates}
    made = {each.name: f"{each.name}, which token.{each.serial} had made" for each in enrolments}
    lines = [f"{done} {made.get(name) or f'{roles[name]} {name}'}." for name in names]
    finish_change(authority, change, lines, {"names": names}, as_json=as_json, publish=publish)
