"""``list``: the members of a net, and its tokens."""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click

from braidmq.cli.net.options import json_option, net_option, opened
from braidmq.cli.net.seen import Seen, ask
from braidmq.cli.net.telling import print_json, say, warn
from braidmq.cli.status_text import enrolled_table, seen, table, until
from braidmq.core.registry.ends import SOON_S
from braidmq.trust.certificate import Certificate
from braidmq.trust.draft import DAY_S
from braidmq.trust.invitation import Invitation
from braidmq.trust.manifest import Manifest

_SHORT_KEY_DIGITS: Final = 12

_UNKNOWN: Final = "-"


@click.command("list")
@net_option
@click.option("--offline", is_flag=True, help="Do not ask the brokers who was seen when.")
@json_option
def list_members(directory: Path, *, offline: bool, as_json: bool) -> None:
    """List the members of a net and its tokens: what they may do, and until when.

    If a broker of the net answers within a second, LAST SEEN tells who is connected, and when the others were; and the
    members are listed that tokens have made. A member that may observe is asked for that, whose join file lies in the
    directory, as operator.braid does.
    """
    authority = opened(directory)
    manifest = authority.manifest()
    known = Seen() if offline else ask(authority, manifest)
    now_s = time.time()
    if as_json:
        print_json(_as_dict(manifest, known, now_s))
        return
    tables = [
        table(_head(known), [_row(each, known, now_s) for each in manifest.certificates]),
        _tokens(manifest.invited(), known, now_s),
        enrolled_table(known.enrolled, len(known.enrolled)),
    ]
    for number, lines in enumerate(each for each in tables if each):
        if number:
            say("")
        for line in lines:
            say(line)
    for line in differences(directory, manifest.version, known.versions):
        warn(line)
    if known.cut:
        warn("LAST SEEN is not known of all: a broker has more nodes than it tells of")


def differences(directory: Path, version: int, versions: Mapping[str, int]) -> Iterator[str]:
    """Give a line if brokers have an older registry than the directory, or a newer one."""
    shown = click.format_filename(directory)
    behind = sorted(name for name, held in versions.items() if held < version)
    if behind:
        yield (
            f"registry {version}, which this list is of, is not in force at {', '.join(behind)} yet: "
            f"braidmq publish --net {shown}"
        )
    newest = max(versions.values(), default=version)
    if newest > version:
        yield f"registry {newest} is in force, and {shown} has {version}: is it an old copy, or is there another one?"


def _head(known: Seen) -> tuple[str, ...]:
    last_seen = ("LAST SEEN",) if known.brokers else ()
    return ("NAME", "ROLE", "STATE", *last_seen, "CALLS", "SERVES", "RIGHTS", "ENDS", "ENDPOINTS", "KEY")


def _row(member: Certificate, known: Seen, now_s: float) -> tuple[str, ...]:
    ends = time.strftime("%Y-%m-%d", time.gmtime(member.not_after)) if member.not_after else _UNKNOWN
    ago_s = known.ago_s.get(member.name)
    last_seen = (_UNKNOWN if ago_s is None else seen(ago_s),) if known.brokers else ()
    return (
        member.name,
        member.role.value,
        ", ".join(_states(member, now_s)) or "valid",
        *last_seen,
        ",".join(member.calls) or _UNKNOWN,
        ",".join(member.serves) or _UNKNOWN,
        ",".join(right for right in ("observe", "publish", "operate") if getattr(member, right)) or _UNKNOWN,
        ends,
        ",".join(member.endpoints) or _UNKNOWN,
        ",".join(key.hex()[:_SHORT_KEY_DIGITS] for key in member.valid_keys(now_s)),
    )


def _states(member: Certificate, now_s: float) -> Iterator[str]:
    """Give what there is to say of a member whose certificate is not simply valid."""
    if member.ended(now_s):
        yield "ended"
        return
    if member.not_after and member.not_after - now_s <= SOON_S:
        days = int((member.not_after - now_s) // DAY_S)
        yield "ends within a day" if days == 0 else f"ends in {days} day{'' if days == 1 else 's'}"
    if len(member.valid_keys(now_s)) > 1:
        yield "rotating"


def _tokens(invitations: Sequence[Invitation], known: Seen, now_s: float) -> list[str]:
    """Return the table of the tokens; how many uses are left only brokers know."""
    rows = [
        (
            each.serial,
            each.names,
            each.uses,
            max(0, each.uses - known.used[each.serial]) if each.serial in known.used else _UNKNOWN,
            until(int(each.not_after - now_s)),
            ",".join(each.calls) or _UNKNOWN,
            ",".join(each.serves) or _UNKNOWN,
        )
        for each in sorted(invitations, key=lambda each: each.serial)
    ]
    return table(("TOKEN", "FOR", "USES", "LEFT", "ENDS", "CALLS", "SERVES"), rows)


def _as_dict(manifest: Manifest, known: Seen, now_s: float) -> dict[str, Any]:
    return {
        "net": manifest.net,
        "manifest_version": manifest.version,
        "members": [_member(each, known, now_s) for each in manifest.certificates],
        "revoked": [
            {"name": each.name, "key": each.key.hex(), "manifest_version": each.version}
            for each in manifest.extras.revoked
        ],
        "tokens": [_token(each, known) for each in manifest.invited()],
        "enrolled": [{"name": each.name, "token": each.token, "seen_ago_s": each.ago_s} for each in known.enrolled],
        "brokers_heard": known.brokers,
        "registries": known.versions,
    }


def _member(member: Certificate, known: Seen, now_s: float) -> dict[str, Any]:
    ending = bool(member.not_after) and member.not_after - now_s <= SOON_S
    rotating = len(member.valid_keys(now_s)) > 1
    return {
        "name": member.name,
        "role": member.role.value,
        "state": "ended" if member.ended(now_s) else "ending" if ending else "valid",
        "rotating": rotating,
        "serial": member.serial,
        "calls": member.calls,
        "serves": member.serves,
        "observe": member.observe,
        "publish": member.publish,
        "operate": member.operate,
        "endpoints": member.endpoints,
        "not_after": member.not_after or None,
        "old_key_until": member.old_key_until if rotating and member.old_key_until else None,
        "keys": [key.hex() for key in member.valid_keys(now_s)],
        "seen_ago_s": known.ago_s.get(member.name),
    }


def _token(invitation: Invitation, known: Seen) -> dict[str, Any]:
    return {
        "serial": invitation.serial,
        "name": invitation.name or None,
        "prefix": invitation.prefix or None,
        "uses": invitation.uses,
        "used": known.used.get(invitation.serial),
        "not_after": invitation.not_after,
        "calls": invitation.calls,
        "serves": invitation.serves,
        "observe": invitation.observe,
        "idle_s": invitation.idle_s,
    }
