"""``set`` and ``rename``: what a member may do, where it is, until when, and what it is called."""

from collections.abc import Sequence
from pathlib import Path

import click

from braidmq.cli.net.options import (
    calls_option,
    days_option,
    endpoints_option,
    json_option,
    net_option,
    no_publish_option,
    not_after,
    opened,
    serves_option,
)
from braidmq.cli.net.publishing import finish_change
from braidmq.cli.net.telling import warn_of_ports
from braidmq.trust.certificate import Certificate
from braidmq.trust.manifest import Manifest


@click.command("set")
@click.argument("name")
@net_option
@calls_option
@click.option("--no-call", is_flag=True, help="It may call nothing.")
@serves_option
@click.option("--no-serve", is_flag=True, help="It may provide nothing.")
@endpoints_option(required=False)
@click.option("--observe/--no-observe", default=None, help="Whether it may read the status of brokers.")
@click.option(
    "--publisher/--no-publisher", default=None, help="Whether it may bring changes of the registry to brokers."
)
@click.option("--operate/--no-operate", default=None, help="Whether it may drain brokers, and take nodes out of work.")
@days_option("After how many days from now its certificate ends.")
@click.option("--no-end", is_flag=True, help="Its certificate does not end.")
@no_publish_option
@json_option
def set_member(
    name: str,
    directory: Path,
    *,
    calls: Sequence[str],
    no_call: bool,
    serves: Sequence[str],
    no_serve: bool,
    endpoints: Sequence[str],
    observe: bool | None,
    publisher: bool | None,
    operate: bool | None,
    days: int | None,
    no_end: bool,
    no_publish: bool,
    as_json: bool,
) -> None:
    """Change what the member NAME may do, where it is, or when its certificate ends.

    Those lists that are given take the place of its own; all else stays as it is, its key and its join file, too.
    """
    for both, one, other in (
        (calls and no_call, "--call", "--no-call"),
        (serves and no_serve, "--serve", "--no-serve"),
        (days and no_end, "--days", "--no-end"),
    ):
        if both:
            raise click.UsageError(f"{one} and {other} exclude each other", click.get_current_context())
    wanted = (calls, no_call, serves, no_serve, endpoints, days, no_end)
    if not any(wanted) and (observe, publisher, operate) == (None, None, None):
        raise click.UsageError("nothing is to be changed: name what", click.get_current_context())
    authority = opened(directory)
    change = authority.change(
        name,
        calls=calls if calls or no_call else None,
        serves=serves if serves or no_serve else None,
        observe=observe,
        endpoints=endpoints or None,
        publish=publisher,
        operate=operate,
        not_after=not_after(days) if days or no_end else None,
    )
    warn_of_ports(tuple(endpoints))
    member = _member(change.after, name)
    lines = [
        f"Changed {member.role.value} {name}."
        if change.after is not change.before
        else f"Nothing has changed: {member.role.value} {name} was like that already."
    ]
    if endpoints and change.after is not change.before:
        lines.append("Restart it if it runs, so that it listens there.")
    said = {"name": name, "role": member.role.value}
    finish_change(authority, change, lines, dict(said), as_json=as_json, publish=not no_publish)


@click.command("rename")
@click.argument("old")
@click.argument("new")
@net_option
@no_publish_option
@json_option
def rename(old: str, new: str, directory: Path, *, no_publish: bool, as_json: bool) -> None:
    """Call the member OLD by the name NEW. Its key and what it may do stay.

    If its join file lies in DIR, it becomes DIR/NEW.braid.
    """
    authority = opened(directory)
    change = authority.rename(old, new)
    role = _member(change.after, new).role.value
    path = click.format_filename(change.files[0]) if change.files else None
    lines = [f"Renamed {role} {old} to {new}{f': {path}' if path else ''}"]
    said = {"name": new, "old_name": old, "role": role, "join_file": path}
    finish_change(authority, change, lines, dict(said), as_json=as_json, publish=not no_publish)


def _member(manifest: Manifest, name: str) -> Certificate:
    return next(each for each in manifest.certificates if each.name == name)
