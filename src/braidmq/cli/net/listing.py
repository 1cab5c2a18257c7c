"""``list``: the members of a net."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click

from braidmq.cli.net.options import json_option, net_option, opened
from braidmq.cli.net.telling import print_json, say
from braidmq.trust.certificate import Certificate
from braidmq.trust.draft import DAY_S
from braidmq.trust.manifest import Manifest

SOON_S: Final = 30 * DAY_S
"""How long before its end a certificate is shown as one that ends."""

_SHORT_KEY_DIGITS: Final = 12


@click.command("list")
@net_option
@json_option
def list_members(directory: Path, as_json: bool) -> None:
    """List the members of a net: what they may do, and until when."""
    manifest = opened(directory).manifest()
    now_s = time.time()
    if as_json:
        print_json(_as_dict(manifest, now_s))
        return
    rows: list[tuple[str, ...]] = [("NAME", "ROLE", "STATE", "CALLS", "SERVES", "RIGHTS", "ENDS", "ENDPOINTS", "KEY")]
    rows += [_row(each, now_s) for each in manifest.certificates]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _row(member: Certificate, now_s: float) -> tuple[str, ...]:
    ends = time.strftime("%Y-%m-%d", time.gmtime(member.not_after)) if member.not_after else "-"
    return (
        member.name,
        member.role.value,
        ", ".join(_states(member, now_s)) or "valid",
        ",".join(member.calls) or "-",
        ",".join(member.serves) or "-",
        ",".join(right for right, has in (("observe", member.observe), ("publish", member.publish)) if has) or "-",
        ends,
        ",".join(member.endpoints) or "-",
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


def _as_dict(manifest: Manifest, now_s: float) -> dict[str, Any]:
    return {
        "net": manifest.net,
        "manifest_version": manifest.version,
        "members": [_member(each, now_s) for each in manifest.certificates],
        "revoked": [
            {"name": each.name, "key": each.key.hex(), "manifest_version": each.version}
            for each in manifest.extras.revoked
        ],
    }


def _member(member: Certificate, now_s: float) -> dict[str, Any]:
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
        "endpoints": member.endpoints,
        "not_after": member.not_after or None,
        "old_key_until": member.old_key_until if rotating and member.old_key_until else None,
        "keys": [key.hex() for key in member.valid_keys(now_s)],
    }
