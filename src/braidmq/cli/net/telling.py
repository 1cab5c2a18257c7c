"""What the commands that change a net say: data to stdout, warnings to stderr."""

from collections.abc import Iterator
from typing import Any

import click
import msgspec

from braidmq import stderr
from braidmq.host.ports import ephemeral_range, is_ephemeral
from braidmq.members import Role
from braidmq.printable import printable, printable_json
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
            yield (
                f"broker {each.name} is {renamed} from now on, also for `--via` and `braidmq status`: restart it, so "
                "that it goes by that name itself"
            )
    if old and not new:
        yield "the net has no broker any more: nobody can call anybody until there is one: `braidmq add broker`"
    if _publishers(before) and not _publishers(after):
        yield (
            "no member may publish any more: changes reach no running net until one may: "
            "`braidmq add node NAME --publisher`"
        )


def _publishers(manifest: Manifest) -> bool:
    return any(each.publish for each in manifest.certificates if each.role is Role.NODE)
