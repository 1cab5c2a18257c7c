"""``doctor``: why a member does not get to its brokers, or a service is not there, and what to do about it."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import click

from braidmq.carrier.trusted import address_of, verifier
from braidmq.cli import join_option
from braidmq.cli.doctor import net, own, report, way
from braidmq.cli.doctor.finding import Asked, Finding, State, exit_code
from braidmq.cli.doctor.visit import Visit, visit
from braidmq.cli.logs import log_nothing
from braidmq.cli.numbers import Finite
from braidmq.core.links.link import BrokerAddress
from braidmq.errors import ProtocolError
from braidmq.members import Role, check_name, check_service
from braidmq.printable import printable_json
from braidmq.trust import joinfile
from braidmq.trust.joinfile import JoinFile

TIMEOUT_S: Final = 5.0
"""How long a broker may take for all its steps, unless --timeout says else: as long as a call."""

TIMEOUT_S_MIN: Final = 0.1
TIMEOUT_S_MAX: Final = 600.0

VISITED_MAX: Final = 100
"""Brokers that are looked at, as by `status`."""

AT_ONCE_MAX: Final = 16
"""Brokers that are looked at at one time: each needs a thread, and a connection."""


@click.command("doctor")
@join_option()
@click.option("--service", metavar="SERVICE", default="", help="A service that the member is to call or to serve.")
@click.option("--via", metavar="BROKER", default="", help="The name of the only broker to look at.")
@click.option(
    "--timeout",
    "timeout_s",
    metavar="S",
    type=Finite(TIMEOUT_S_MIN, TIMEOUT_S_MAX),
    default=TIMEOUT_S,
    show_default=True,
    help="Seconds that each broker may take.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object in one line.")
def doctor(join: JoinFile | Path, *, service: str, via: str, timeout_s: float, as_json: bool) -> int:
    """Walk the way from the join file to each broker, step by step, and say where it ends, why, and what mends it.

    The exit code is 0 if all is well, 1 if the member works but something is to be mended, else that of what is wrong:
    2 the join file, 4 no answer in time, 5 no broker or no worker, 6 not registered or not allowed.
    """
    log_nothing()
    if service:
        check_service(service)
    if via:
        check_name(via)
    findings = examine(join, Asked(joinfile.shown(join), service, via, timeout_s))
    code = exit_code(findings)
    click.echo(printable_json(report.encode(findings, code)) if as_json else report.text(findings))
    return code


def examine(join: JoinFile | Path, asked: Asked) -> list[Finding]:
    """Return what was found, in order."""
    identity, findings = own.load(join, asked)
    if identity is None:
        return findings
    findings += own.look(identity, asked)
    if any(each.state is State.STOP for each in findings):
        return findings
    brokers = {each.name: address_of(each) for each in identity.brokers if each.name != identity.name}
    chosen = [brokers[asked.via]] if asked.via in brokers else list(brokers.values())[:VISITED_MAX]
    visits = _visit_all(identity, chosen, asked)
    listed = _listed(identity, visits)
    outdated = {name: each for name, each in listed.items() if name in brokers and each.serial > brokers[name].serial}
    if asked.via and asked.via not in brokers:
        brokers |= listed
        if asked.via in brokers:
            visits = _visit_all(identity, [brokers[asked.via]], asked)
    elif not asked.via:
        further = [each for name, each in listed.items() if name not in brokers and name != identity.name]
        visits += _visit_all(identity, further[: VISITED_MAX - len(visits)], asked)
    visits = _anew(identity, visits, outdated, asked)
    own_rights = own.rights(identity, asked, visits)
    findings += [] if own_rights is None else [own_rights]
    checks = way.CHECKS if identity.certificate.role is Role.NODE else way.CHECKS_OF_A_BROKER
    for each in visits:
        findings += way.judge(each, identity, asked, checks)
    together = (net.via(asked, sorted(brokers), visits), net.registry(visits))
    return findings + [each for each in together if each is not None]


def _anew(
    identity: JoinFile, visits: Sequence[Visit], outdated: Mapping[str, BrokerAddress], asked: Asked
) -> list[Visit]:
    """Return the visits, those to brokers that were not met made once more if others list them anew.

    A member does the same: it learns from the brokers that it meets where the others are, and which keys they have.
    """
    failed = [outdated[each.name] for each in visits if not each.greeted and each.name in outdated]
    again = {each.name: each for each in _visit_all(identity, failed, asked)}
    for each in again.values():
        each.is_listed_anew = True
    return [again.get(each.name, each) for each in visits]


def _visit_all(identity: JoinFile, brokers: Sequence[BrokerAddress], asked: Asked) -> list[Visit]:
    """Visit brokers, some at one time."""
    if not brokers:
        return []
    with ThreadPoolExecutor(min(AT_ONCE_MAX, len(brokers)), "braidmq-doctor") as threads:
        return list(threads.map(lambda broker: visit(identity, broker, asked), brokers))


def _listed(identity: JoinFile, visits: Sequence[Visit]) -> dict[str, BrokerAddress]:
    """Return the brokers of this net that others list."""
    verify = verifier(identity.authority_key, identity.net)
    found: dict[str, BrokerAddress] = {}
    for blob in {blob for each in visits for blob in each.brokers}:
        try:
            address = verify(blob)
        except ProtocolError:
            continue
        if address.name not in found or found[address.name].serial < address.serial:
            found[address.name] = address
    return found
