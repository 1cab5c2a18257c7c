"""``rotate``: a new key for a member."""

import time
from pathlib import Path
from typing import Any

import click

from braidmq.cli.durations import duration
from braidmq.cli.net.options import json_option, net_option, no_publish_option, opened, request_option, requested_key
from braidmq.cli.net.publishing import finish_change
from braidmq.trust.draft import OVERLAP_S, OVERLAP_S_MAX


@click.command("rotate")
@click.argument("name")
@net_option
@click.option("--finish", is_flag=True, help="End its old key now.")
@click.option(
    "--overlap",
    "overlap_s",
    metavar="TIME",
    callback=duration(OVERLAP_S_MAX),
    help=f"How long the old key holds beside the new one, as in 15m or 7d; {OVERLAP_S // 3600}h without this.",
)
@request_option("What `braidmq join --rotate` has printed on its machine: the new key is made there, and stays.")
@no_publish_option
@json_option
def rotate(
    name: str,
    directory: Path,
    *,
    finish: bool,
    overlap_s: int | None,
    request: str | None,
    no_publish: bool,
    as_json: bool,
) -> None:
    """Give the member NAME a new key. Both hold for some time; then the old one ends by itself, or with --finish.

    Without --request the new key is made here and put into DIR/NAME.braid, which must lie there; copy it to the
    member's machine then.
    """
    if finish and (overlap_s is not None or request is not None):
        raise click.UsageError("--finish goes with neither --overlap nor --request", click.get_current_context())
    authority = opened(directory)
    if finish:
        change = authority.finish(name)
    else:
        key = None if request is None else requested_key(authority, name, request)
        change = authority.rotate(name, key, overlap_s=overlap_s or OVERLAP_S)
    member = next(each for each in change.after.certificates if each.name == name)
    role, path = member.role.value, [click.format_filename(each) for each in change.files]
    said: dict[str, Any] = {"name": name, "role": role, "join_file": path[0] if path else None}
    said["old_key_until"] = member.old_key_until or None
    until = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(member.old_key_until))
    if finish:
        lines = [f"The old key of {role} {name} has ended."]
    elif not path:
        lines = [f"Registered a new key for {role} {name}; the old one ends at {until}."]
    else:
        lines = [
            f"Made a new key for {role} {name}: {path[0]}",
            f"Next: copy {change.files[0].name} to its machine before {until}, when the old key ends.",
            "Keep its mode at 0600, for it holds secret keys.",
        ]
    finish_change(authority, change, lines, said, as_json=as_json, publish=not no_publish)
