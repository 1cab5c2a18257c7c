"""``add broker`` and ``add node``: new members."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

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
    request_option,
    requested_key,
    serves_option,
)
from braidmq.cli.net.publishing import finish_change
from braidmq.cli.net.telling import warn_of_ports
from braidmq.members import Role
from braidmq.trust.authority import Authority
from braidmq.trust.change import Change
from braidmq.trust.manifest import Manifest
from braidmq.trust.numbered import PROCESSES_MAX, numbered

_request_option = request_option("What `braidmq join` has printed on its machine: its key is made there, and stays.")

_days_option = days_option("After how many days its certificate ends; it does not without this.")


@click.group("add", no_args_is_help=False)
def add() -> None:
    """Register a broker or a node and write its join file, DIR/NAME.braid."""


@add.command("broker")
@click.argument("name")
@net_option
@endpoints_option(required=True)
@click.option(
    "--processes",
    type=click.IntRange(1, PROCESSES_MAX),
    default=1,
    show_default=True,
    help="How many brokers to register, for `braidmq broker --processes`.",
)
@_request_option
@_days_option
@no_publish_option
@json_option
def add_broker(
    name: str,
    directory: Path,
    *,
    endpoints: Sequence[str],
    processes: int,
    request: str | None,
    days: int | None,
    no_publish: bool,
    as_json: bool,
) -> None:
    """Register the broker NAME.

    With --processes N, register the N brokers NAME-1, NAME-2 and so on, which one host is to run together. Each has a
    join file; the ports count up from those of --endpoint.
    """
    if request is not None and processes > 1:
        raise click.UsageError("--request is for one broker, not for several", click.get_current_context())
    authority = opened(directory)
    if request is not None:
        key = requested_key(authority, name, request)
        change = authority.admit(name, Role.BROKER, key, endpoints=endpoints, not_after=not_after(days))
        warn_of_ports(tuple(endpoints))
        _tell_admitted(authority, change, Role.BROKER, name, as_json=as_json, publish=not no_publish)
        return
    before = authority.manifest()
    brokers = numbered(name, endpoints, processes)
    paths = authority.add_brokers(brokers, not_after=not_after(days))
    for each in brokers.values():
        warn_of_ports(each)
    _tell(
        authority, before, Role.BROKER, dict(zip(brokers, paths, strict=True)), as_json=as_json, publish=not no_publish
    )


@add.command("node")
@click.argument("name")
@net_option
@calls_option
@serves_option
@click.option("--observe", is_flag=True, help="It may read the status of brokers.")
@click.option("--publisher", is_flag=True, help="It may bring changes of the registry to brokers.")
@click.option("--operate", is_flag=True, help="It may drain brokers, and take nodes out of work.")
@_request_option
@_days_option
@no_publish_option
@json_option
def add_node(
    name: str,
    directory: Path,
    *,
    calls: Sequence[str],
    serves: Sequence[str],
    observe: bool,
    publisher: bool,
    operate: bool,
    request: str | None,
    days: int | None,
    no_publish: bool,
    as_json: bool,
) -> None:
    """Register the node NAME. Without --call and --serve it may do neither."""
    authority = opened(directory)
    if request is not None:
        change = authority.admit(
            name,
            Role.NODE,
            requested_key(authority, name, request),
            calls=calls,
            serves=serves,
            observe=observe,
            publish=publisher,
            operate=operate,
            not_after=not_after(days),
        )
        _tell_admitted(authority, change, Role.NODE, name, as_json=as_json, publish=not no_publish)
        return
    before = authority.manifest()
    ends = not_after(days)
    path = authority.add_node(name, calls, serves, observe, publish=publisher, operate=operate, not_after=ends)
    _tell(authority, before, Role.NODE, {name: path}, as_json=as_json, publish=not no_publish)


def _tell_admitted(
    authority: Authority, change: Change, role: Role, name: str, *, as_json: bool, publish: bool
) -> None:
    """Say that somebody was registered who has a key already."""
    said: dict[str, Any] = {"name": name, "role": role.value, "join_file": None}
    lines = [f"Registered {role.value} {name} with the key that it has: `braidmq join` goes on at its machine."]
    finish_change(authority, change, lines, said, as_json=as_json, publish=publish)


def _tell(
    authority: Authority, before: Manifest, role: Role, added: Mapping[str, Path], *, as_json: bool, publish: bool
) -> None:
    """Say what was made and what to do next."""
    change = Change(before, authority.manifest(), tuple(added.values()))
    shown = {name: click.format_filename(path) for name, path in added.items()}
    first, *further = added
    said: dict[str, Any] = {"name": first, "role": role.value, "join_file": shown[first]}
    if further:
        said |= {"names": list(shown), "join_files": list(shown.values())}
    lines = [f"Registered {role.value} {name}: {shown[name]}" for name in added]
    file = added[first].name
    if further:
        lines.append(
            f"Next: copy these {len(added)} files to their machine, into one directory, and keep their mode at 0600, "
            "for they hold secret keys."
        )
    else:
        lines.append(f"Next: copy {file} to its machine and keep its mode at 0600, for it holds a secret key.")
    if role is Role.BROKER:
        several = f" --processes {len(added)}" if further else ""
        lines.append(f"Then run there: braidmq broker{several} --join {file}")
    elif not change.after.brokers:
        lines.append(f"Before that add a broker: {file} has none to connect to yet.")
    finish_change(authority, change, lines, said, as_json=as_json, publish=publish)
