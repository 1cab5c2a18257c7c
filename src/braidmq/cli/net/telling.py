"""What the commands that change a net say: data to stdout, warnings to stderr."""

from collections.abc import Iterator
from typing import Any

import click
import msgspec

from braidmq import stderr
from braidmq.host.ports import ephemeral_range, is_ephemeral
from braidmq.members import Role
from braidmq.printable import printable, printable_json
from braidmq.trust.authority import Authority, Change
from braidmq.trust.manifest import Manifest


def say(text: str) -> None:
    """Write a line to stdout, fit for a terminal."""
    click.echo(printable(text))


def warn(text: str) -> None:
    """Write a warning to stderr."""
    stderr.say(f"braidmq: warning: {printable(text)}")


def print_json(value: dict[str, Any]) -> None:
    """Write one JSON object to stdout."""
    click.echo(printable_json(msgspec.json.encode(value)))


def warn_of_ports(endpoints: tuple[str, ...]) -> None:
    """Say so if a connection of the broker's machine could hold a port when the broker starts."""
    for endpoint in endpoints:
        port = endpoint.rpartition(":")[2]
        if port.isdigit() and is_ephemeral(int(port)):
            low, high = ephemeral_range()
            warn(
                f"port {port} of {endpoint} is one of those that systems give to outgoing connections ({low} to {high} "
                f"here): one of them may hold it when the broker starts. Better take one below {low}, or reserve it on "
                f"the broker's machine: sysctl net.ipv4.ip_local_reserved_ports={port}"
            )


def finish_change(
    authority: Authority, change: Change, lines: list[str], said: dict[str, Any], *, as_json: bool, publish: bool
) -> None:
    """Tell what a command has done, warn of what follows, and bring it to the running net.

    Args:
        authority: of the net.
        change: what was changed.
        lines: what to say of it to people.
        said: what to say of it in JSON; the rest is added here.
        as_json: which of the two.
        publish: whether it is to be brought to the running net.
    """
    for line in authority.stale:
        warn(line)
    for line in consequences(change.before, change.after):
        warn(line)
    if as_json:
        said |= {"manifest_version": change.after.version, "changed": change.after.version != change.before.version}
    else:
        for line in lines:
            say(line)
    said |= publish_change(authority, change, quiet=as_json, publish=publish)
    if as_json:
        print_json(said)


def publish_change(authority: Authority, change: Change, *, quiet: bool, publish: bool) -> dict[str, Any]:
    """Bring a change to the running net, as far as that can be done from here; return what to say of it in JSON.

    Args:
        authority: of the net.
        change: what was changed; nothing is done if that is nothing.
        quiet: whether to say nothing to people.
        publish: False if the running net is to be left alone.
    """
    known = {each.name for each in change.before.brokers}
    others = [each.name for each in change.after.brokers if each.name in known]
    if publish and not quiet and others and change.after is not change.before:
        say(f"The join files of these brokers have changed; copy them again to other machines: {', '.join(others)}")
    return {}


def consequences(before: Manifest, after: Manifest) -> Iterator[str]:
    """Give a line for each thing that follows from a change and that its operator may not have thought of."""
    old, new = {each.name for each in before.brokers}, {each.name: each for each in after.brokers}
    keys = {key: each.name for each in new.values() for key in each.keys}
    for each in before.brokers:
        if each.name in new:
            continue
        renamed = next((keys[key] for key in each.keys if key in keys), None)
        if renamed is None:
            yield (
                f"broker {each.name} is no longer one of the net: stop it; nodes whose join files know only it "
                "find the net no more"
            )
        else:
            yield f"broker {each.name} is {renamed} from now on: `--via` and `braidmq status` know no other name"
    if old and not new:
        yield "the net has no broker any more: nobody can call anybody until there is one: `braidmq add broker`"
    if _publishers(before) and not _publishers(after):
        yield (
            "no member may publish any more: changes reach no running net until one may: "
            "`braidmq add node NAME --publisher`"
        )


def _publishers(manifest: Manifest) -> bool:
    return any(each.publish for each in manifest.certificates if each.role is Role.NODE)
