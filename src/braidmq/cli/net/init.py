"""``init``: a new net."""

from pathlib import Path

import click

from braidmq.cli.net.options import DIRECTORY, json_option
from braidmq.cli.net.telling import print_json, say
from braidmq.trust import private_directory
from braidmq.trust.authority import Authority
from braidmq.trust.authority_files import JOIN_SUFFIX
from braidmq.trust.change import OPERATOR


@click.command("init")
@click.argument("directory", metavar="DIR", type=DIRECTORY)
@json_option
def init(directory: Path, as_json: bool) -> None:
    """Make a new net in DIR: its authority, and a registry with the member that watches and publishes.

    DIR/authority.key decides who belongs to the net. Keep it private, keep a copy, and keep it off the brokers.
    DIR/operator.braid is for `braidmq status`, and brings each change of the registry to the brokers.
    """
    private_directory.check_way(directory)
    authority = Authority.create(directory, operator=True)
    shown = click.format_filename(directory)
    operator = click.format_filename(directory / f"{OPERATOR}{JOIN_SUFFIX}")
    if as_json:
        print_json(
            {
                "net": authority.net,
                "directory": shown,
                "authority_key": authority.public_key.hex(),
                "operator": operator,
                "manifest_version": authority.manifest().version,
            }
        )
        return
    say(f"Made net {authority.net} in {shown}.")
    say(f"Next: braidmq add broker NAME --net {shown} --endpoint tcp://HOST:PORT")
