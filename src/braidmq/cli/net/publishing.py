"""How a change of the registry gets from the authority's directory to the running net, and what is said of it."""

from pathlib import Path
from typing import Any

import click

from braidmq import stderr
from braidmq.cli.logs import log_nothing
from braidmq.cli.net.claiming import displaced
from braidmq.cli.net.telling import consequences, print_json, say, warn
from braidmq.core.links.link import Failure
from braidmq.errors import BraidError, ConfigError
from braidmq.printable import printable
from braidmq.publication import Publication, publish
from braidmq.trust.authority import Authority
from braidmq.trust.change import Change
from braidmq.trust.joinfile import JoinFile
from braidmq.trust.manifest import Manifest


def finish_change(
    authority: Authority,
    change: Change,
    lines: list[str],
    said: dict[str, Any],
    *,
    as_json: bool,
    publish: bool,
    aside: bool = False,
) -> None:
    """Tell what a command has done, warn of what follows, and bring it to the running net.

    Args:
        authority: of the net.
        change: what was changed.
        lines: what to say of it to people.
        said: what to say of it in JSON; the rest is added here.
        as_json: which of the two.
        publish: whether it is to be brought to the running net.
        aside: whether nothing but `lines` is to be on stdout, for whoever reads it there.

    Raises:
        BraidError: brokers that could be reached have all refused it, so that it does not come into force.
    """
    for line in authority.stale:
        warn(line)
    for line in consequences(change.before, change.after):
        warn(line)
    if not as_json:
        for line in lines:
            say(line)
    said |= {"manifest_version": change.after.version, "changed": change.after is not change.before}
    if publish:
        said |= _publish(authority, change, as_json=as_json, aside=aside)
    if as_json:
        print_json(said)
    if said.get("published", {}).get("refused") and not said["published"]["have"]:
        shown = click.format_filename(authority.directory)
        raise BraidError(f"the change is made in {shown}, and not in force: the brokers do not follow this directory")


def _publish(authority: Authority, change: Change, *, as_json: bool, aside: bool) -> dict[str, Any]:
    """Bring a change to the running net, if there may be one; return what to say of it in JSON.

    Nothing may have changed because a command was repeated that had been ended before it came so far.
    """
    if not change.before.brokers:
        return {}
    try:
        outcome = hand_in(authority, change.after)
    except ConfigError as error:
        warn(f"the change is not in the running net: {error}")
        return {}
    said = tell(outcome, authority.directory, as_json=as_json, aside=aside)
    for each in displaced(authority, change.before, change.after) if outcome.have else ():
        warn(f"{each.name} was a member that token.{each.serial} had made: it is not any more")
    return said


def publisher(authority: Authority, manifest: Manifest) -> JoinFile:
    """Return the join file in the authority's directory of a member that may publish.

    Raises:
        ConfigError: there is none. One line says how to make one.
    """
    names = [each.name for each in manifest.certificates if each.publish]
    for name in names:
        found = authority.join_file(name)
        if found is not None and found.certificate.publish:
            return found
    directory = authority.directory
    if names:
        raise ConfigError(f"no member that may publish has its join file in {directory}: bring {names[0]}.braid back")
    raise ConfigError(
        f"no member of the net may publish: make one with `braidmq add node operator --net {directory} --publisher "
        "--observe`, and copy the brokers' files once more"
    )


def hand_in(authority: Authority, manifest: Manifest) -> Publication:
    """Hand the registry to the running net; or the newest one, if another command was quicker with that.

    Raises:
        ConfigError: nobody may publish, see `publisher`.
    """
    log_nothing()  # what its links say is told with the outcome
    outcome = publish(publisher(authority, manifest), manifest)
    newest = authority.manifest()
    if outcome.refused and newest.version > manifest.version:
        outcome = publish(publisher(authority, newest), newest)
    return outcome


def _lacks(name: str, reason: str, *, refuses: bool) -> str:
    """Return what is said of a broker that lacks a registry which others have."""
    if refuses:
        return f"{name} refuses it: {reason}."
    if reason == Failure.UNRESOLVED.value:
        return (
            f"{name} does not have it yet: {reason}. If that is misspelt: braidmq set {name} --endpoint tcp://HOST:PORT"
        )
    return f"{name} does not have it yet: {reason}. It gets it from the others."


def tell(outcome: Publication, directory: Path, *, as_json: bool, aside: bool = False) -> dict[str, Any]:
    """Say which brokers have a registry; return that for JSON.

    Args:
        outcome: what has become of it.
        directory: the authority's.
        as_json: whether to say nothing to people.
        aside: whether what is said goes to stderr, as stdout is for something else.
    """
    version, have = outcome.version, outcome.have
    if not as_json:
        shown = click.format_filename(directory)
        why = "; ".join(f"{name}: {reason}" for name, reason in outcome.lack.items())
        if have:
            lines = [f"Registry {version} is in force at {', '.join(have)}."]
            lines += [_lacks(name, reason, refuses=name in outcome.refused) for name, reason in outcome.lack.items()]
        elif outcome.refused:
            lines = [f"Registry {version} does not come into force ({why})."]
        else:
            lines = [f"No broker has registry {version} yet ({why})."]
            lines.append(f"Those that run get it by: braidmq publish --net {shown}")
        for line in lines:
            (stderr.say if aside else say)(printable(f"braidmq: {line}" if aside else line))
    refused = sorted(outcome.refused)
    return {"published": {"version": version, "have": have, "lack": outcome.lack, "refused": refused}}
