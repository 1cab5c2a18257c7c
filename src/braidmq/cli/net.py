"""``init``, ``add`` and ``list``: the members of a net. They need the authority's directory and no running broker."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from braidmq import stderr
from braidmq.host.ports import ephemeral_range, is_ephemeral
from braidmq.members import Role
from braidmq.printable import printable, printable_json
from braidmq.trust import private_directory
from braidmq.trust.authority import Authority
from braidmq.trust.certificate import Certificate
from braidmq.trust.numbered import PROCESSES_MAX, numbered

_DIRECTORY = click.Path(path_type=Path)
_SHORT_KEY_DIGITS = 12

_net_option = click.option(
    "--net", "directory", metavar="DIR", type=_DIRECTORY, required=True, help="Directory of the net's authority."
)
_json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.command("init")
@click.argument("directory", metavar="DIR", type=_DIRECTORY)
@_json_option
def init(directory: Path, as_json: bool) -> None:
    """Make a new net: its authority and an empty registry in DIR.

    DIR/authority.key decides who belongs to the net. Keep it private, keep a copy, and keep it off the brokers.
    """
    private_directory.check_way(directory)
    authority = Authority.create(directory)
    shown = click.format_filename(directory)
    if as_json:
        _print_json({"net": authority.net, "directory": shown, "authority_key": authority.public_key.hex()})
        return
    click.echo(printable(f"Made net {authority.net} in {shown}."))
    click.echo(printable(f"Next: braidmq add broker NAME --net {shown} --endpoint tcp://HOST:PORT"))


@click.group("add", no_args_is_help=False)
def add() -> None:
    """Register a broker or a node and write its join file, DIR/NAME.braid."""


@add.command("broker")
@click.argument("name")
@_net_option
@click.option(
    "--endpoint",
    "endpoints",
    metavar="tcp://HOST:PORT",
    multiple=True,
    required=True,
    help="Where nodes and other brokers reach it. May be repeated.",
)
@click.option(
    "--processes",
    type=click.IntRange(1, PROCESSES_MAX),
    default=1,
    show_default=True,
    help="How many brokers to register, for `braidmq broker --processes`.",
)
@_json_option
def add_broker(name: str, directory: Path, endpoints: Sequence[str], processes: int, as_json: bool) -> None:
    """Register the broker NAME.

    With --processes N, register the N brokers NAME-1, NAME-2 and so on, which one host is to run together. Each has a
    join file; the ports count up from those of --endpoint.
    """
    private_directory.check_way(directory)
    authority = Authority.open(directory)
    brokers = numbered(name, endpoints, processes)
    paths = authority.add_brokers(brokers)
    for each in brokers.values():
        for endpoint in each:
            _warn_of_port(endpoint)
    _report(authority, Role.BROKER, dict(zip(brokers, paths, strict=True)), as_json)


@add.command("node")
@click.argument("name")
@_net_option
@click.option(
    "--call",
    "calls",
    metavar="PATTERN",
    multiple=True,
    help="Services it may call: a name, a prefix (orders.*) or '*'. May be repeated.",
)
@click.option(
    "--serve", "serves", metavar="PATTERN", multiple=True, help="Services it may provide, likewise. May be repeated."
)
@click.option("--observe", is_flag=True, help="It may read the status of brokers.")
@_json_option
def add_node(
    name: str, directory: Path, *, calls: Sequence[str], serves: Sequence[str], observe: bool, as_json: bool
) -> None:
    """Register the node NAME. Without --call and --serve it may do neither."""
    private_directory.check_way(directory)
    authority = Authority.open(directory)
    _report(authority, Role.NODE, {name: authority.add_node(name, calls, serves, observe)}, as_json)


@click.command("list")
@_net_option
@_json_option
def list_members(directory: Path, as_json: bool) -> None:
    """List the members of a net."""
    private_directory.check_way(directory)
    manifest = Authority.open(directory).manifest()
    if as_json:
        members = [_as_dict(each) for each in manifest.certificates]
        _print_json({"net": manifest.net, "manifest_version": manifest.version, "members": members})
        return
    rows = [("NAME", "ROLE", "CALLS", "SERVES", "OBSERVE", "ENDPOINTS", "KEY")]
    rows += [
        (
            each.name,
            each.role.value,
            ",".join(each.calls) or "-",
            ",".join(each.serves) or "-",
            "yes" if each.observe else "-",
            ",".join(each.endpoints) or "-",
            ",".join(principal[:_SHORT_KEY_DIGITS] for principal in each.principals),
        )
        for each in manifest.certificates
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo(printable("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()))


def _report(authority: Authority, role: Role, added: Mapping[str, Path], as_json: bool) -> None:
    """Say what was made and what to do next; data to stdout, warnings to stderr."""
    for line in authority.stale:
        _warn(line)
    shown = {name: click.format_filename(path) for name, path in added.items()}
    first, *further = added
    manifest = authority.manifest()
    others = [each.name for each in manifest.brokers if each.name not in added]
    if as_json:
        said: dict[str, Any] = {
            "name": first,
            "role": role.value,
            "join_file": shown[first],
            "manifest_version": manifest.version,
        }
        if further:
            said |= {"names": list(shown), "join_files": list(shown.values())}
        _print_json(said)
        return
    for name in added:
        click.echo(printable(f"Registered {role.value} {name}: {shown[name]}"))
    file = added[first].name
    if further:
        click.echo(
            f"Next: copy these {len(added)} files to their machine, into one directory, and keep their mode at 0600, "
            "for they hold secret keys."
        )
    else:
        click.echo(f"Next: copy {file} to its machine and keep its mode at 0600, for it holds a secret key.")
    if role is Role.BROKER:
        several = f" --processes {len(added)}" if further else ""
        click.echo(f"Then run there: braidmq broker{several} --join {file}")
    elif not others:
        click.echo(f"Before that add a broker: {file} has none to connect to yet.")
    if others:
        click.echo(
            f"The join files of these brokers have changed; copy them again to other machines: {', '.join(others)}"
        )


def _warn_of_port(endpoint: str) -> None:
    """Say so if a connection of the broker's machine could hold the port when the broker starts."""
    port = endpoint.rpartition(":")[2]
    if port.isdigit() and is_ephemeral(int(port)):
        low, high = ephemeral_range()
        _warn(
            f"port {port} of {endpoint} is one of those that systems give to outgoing connections ({low} to {high} "
            f"here): one of them may hold it when the broker starts. Better take one below {low}, or reserve it on the "
            f"broker's machine: sysctl net.ipv4.ip_local_reserved_ports={port}"
        )


def _warn(text: str) -> None:
    stderr.say(f"braidmq: warning: {printable(text)}")


def _as_dict(certificate: Certificate) -> dict[str, Any]:
    return {
        "name": certificate.name,
        "role": certificate.role.value,
        "serial": certificate.serial,
        "calls": certificate.calls,
        "serves": certificate.serves,
        "observe": certificate.observe,
        "endpoints": certificate.endpoints,
        "keys": certificate.principals,
    }


def _print_json(value: dict[str, Any]) -> None:
    click.echo(printable_json(msgspec.json.encode(value)))
