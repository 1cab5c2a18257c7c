"""``publish`` and ``code``: what goes from the authority's directory to the net, and to those who want to join it."""

from pathlib import Path

import click

from braidmq.cli.exit_codes import ExitCode
from braidmq.cli.net.options import json_option, net_option, opened
from braidmq.cli.net.publishing import hand_in, tell
from braidmq.cli.net.telling import print_json
from braidmq.errors import ConfigError


@click.command("publish")
@net_option
@json_option
def publish(directory: Path, as_json: bool) -> int:
    """Hand the newest registry to the running net.

    Every command that changes the registry does so by itself. This is for what was changed with --no-publish, or while
    no broker could be reached. Exit code: 0 if all brokers have it, 1 if some have, 5 if none has.
    """
    authority = opened(directory)
    manifest = authority.manifest()
    if not manifest.brokers:
        raise ConfigError("the net has no broker yet: add one first")
    outcome = hand_in(authority, manifest)
    said = tell(outcome, quiet=as_json)
    if as_json:
        print_json(said)
    if not outcome.have:
        return ExitCode.UNAVAILABLE
    return ExitCode.FAILURE if outcome.lack else ExitCode.OK


@click.command("code")
@net_option
def code(directory: Path) -> None:
    """Print what a machine needs to ask for membership, for `braidmq join CODE NAME` there.

    Nothing in it is secret; but take care that it arrives as it is, for it says whom to trust.
    """
    click.echo(opened(directory).netcode().encode())
