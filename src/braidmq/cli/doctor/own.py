"""The checks of this machine: the join file, and what it says."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from braidmq.bounds import DAY_S
from braidmq.cli.doctor.finding import Asked, Finding, State, ok
from braidmq.cli.doctor.visit import Visit
from braidmq.cli.exit_codes import ExitCode
from braidmq.errors import ConfigError
from braidmq.host.clock import unix_time
from braidmq.host.dns import ResolveError, resolve
from braidmq.members import Role
from braidmq.trust import joinfile
from braidmq.trust.enrolment import Enrolment
from braidmq.trust.joinfile import JoinFile
from braidmq.trust.private_file import NotPrivateError

SOON_S: Final = 30 * DAY_S
"""How long before its end a certificate is to be renewed."""

_ANEW: Final = "bring it back from a copy, or move it away and get another: braidmq join NETCODE NAME"


def load(source: JoinFile | Path, asked: Asked) -> tuple[JoinFile | None, list[Finding]]:
    """Return the join file, and what was found on the way to it; None if there is none to go on with."""
    there = ok("file", f"{asked.file} is there")
    private = ok("permissions", "nobody else can read it")
    try:
        identity = joinfile.load(source)
    except NotPrivateError as error:
        return None, [there, Finding("permissions", State.STOP, str(error), f"chmod 600 {asked.file}", ExitCode.USAGE)]
    except ConfigError as error:
        if isinstance(source, Path) and os.access(source, os.F_OK) and not os.access(source, os.R_OK):
            mend = "run this as the user that the process runs as, whose file it is"
            return None, [Finding("file", State.STOP, str(error), mend, ExitCode.USAGE)]
        if isinstance(source, Path) and not os.access(source, os.R_OK):
            return None, [
                Finding(
                    "file",
                    State.STOP,
                    str(error),
                    "name the join file; braidmq join NETCODE NAME makes one",
                    ExitCode.USAGE,
                )
            ]
        return None, [there, private, Finding("content", State.STOP, str(error), _ANEW, ExitCode.USAGE)]
    role = identity.certificate.role.value
    return identity, [there, private, ok("content", f"it is whole: {role} {identity.name} of net {identity.net}")]


def look(identity: JoinFile, asked: Asked) -> list[Finding]:
    """Return what the join file itself shows."""
    found = (check(identity, asked) for check in (_dates, _endpoints, _brokers))
    return [each for each in found if each is not None]


def _dates(identity: JoinFile, _asked: Asked) -> Finding | None:
    """Its certificate has not ended by this machine's clock."""
    not_after = identity.certificate.not_after
    if not not_after:
        return None
    left_s = not_after - unix_time()
    date = datetime.fromtimestamp(not_after, UTC).strftime("%Y-%m-%d %H:%M UTC")
    mend = f"braidmq renew {identity.name} --net DIR; if the date here is wrong (date -u), set the clock"
    if left_s <= 0:
        text = f"its certificate ended at {date}, by this machine's clock"
        return Finding("dates", State.WRONG, text, mend, ExitCode.DENIED)
    if left_s < SOON_S:
        return Finding("dates", State.NOTE, f"its certificate ends at {date}: renew it ({mend})")
    return ok("dates", f"its certificate ends at {date}")


def let_it_call(identity: JoinFile, service: str) -> str:
    """Return the command by which a member may call a service as well: a list takes the place of the one before."""
    if isinstance(identity.certificate, Enrolment):
        return f"its rights are those of its token: make another one by braidmq invite --call '{service}'"
    member = identity.certificate.member
    calls = member.calls if member.may_call(service) else (*member.calls, service)
    return " ".join((f"braidmq set {identity.name} --net DIR", *(f"--call '{each}'" for each in calls)))


def _endpoints(identity: JoinFile, _asked: Asked) -> Finding | None:
    """Where others look for this broker, there is an address."""
    if identity.certificate.role is not Role.BROKER:
        return None
    reasons = []
    for endpoint in identity.certificate.endpoints:
        try:
            resolve(endpoint)
        except ResolveError as error:
            reasons.append(str(error))
    shown = ", ".join(identity.certificate.endpoints)
    if not reasons:
        return ok("endpoints", f"others look for it at {shown}")
    mend = f"braidmq set {identity.name} --net DIR --endpoint tcp://HOST:PORT; then {_up_to_date(identity)}"
    return Finding("endpoints", State.WRONG, "; ".join(reasons), mend, ExitCode.UNAVAILABLE)


def _up_to_date(identity: JoinFile) -> str:
    """Return how its join file learns what has changed."""
    return f"`braidmq join NETCODE {identity.name}` brings this file up to date"


def _brokers(identity: JoinFile, _asked: Asked) -> Finding:
    """It names brokers, others than itself."""
    names = [each.name for each in identity.brokers if each.name != identity.name]
    if names:
        return ok("brokers", f"it names {len(names)}: {', '.join(names[:8])}{', ...' if len(names) > 8 else ''}")
    mend = f"braidmq add broker NAME --net DIR --endpoint tcp://HOST:PORT; then {_up_to_date(identity)}"
    return Finding("brokers", State.STOP, "it names no broker", mend, ExitCode.UNAVAILABLE)


def rights(identity: JoinFile, asked: Asked, visits: Sequence[Visit]) -> Finding | None:
    """Its certificate, or a newer one that brokers go by, allows something with the service."""
    service, member = asked.service, identity.certificate.member
    if not service:
        return None
    if identity.certificate.role is Role.BROKER:
        return Finding("rights", State.NOTE, "a broker neither calls nor serves")
    may = [
        word for word, allowed in (("call", member.may_call(service)), ("serve", member.may_serve(service))) if allowed
    ]
    if may:
        return ok("rights", f"its certificate lets it {' and '.join(may)} {service}")
    text = f"its certificate lets it neither call nor serve {service}"
    if any(visit.denied is False for visit in visits):
        return Finding("rights", State.NOTE, f"{text}, but brokers have a newer one for it; {_up_to_date(identity)}")
    mend = let_it_call(identity, service)
    if not isinstance(identity.certificate, Enrolment):
        mend += f" (or --serve); then {_up_to_date(identity)}"
    return Finding("rights", State.WRONG, text, mend, ExitCode.DENIED)
