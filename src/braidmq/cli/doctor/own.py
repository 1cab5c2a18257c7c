"""The checks of this machine: the join file, and what it says."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from braidmq.bounds import DAY_S
from braidmq.cli.doctor.finding import Asked, Finding, State, ok
from braidmq.cli.exit_codes import ExitCode
from braidmq.errors import ConfigError
from braidmq.host.clock import unix_time
from braidmq.members import Role
from braidmq.trust import joinfile
from braidmq.trust.joinfile import JoinFile
from braidmq.trust.private_file import NotPrivateError

SOON_S: Final = 30 * DAY_S
"""How long before its end a certificate is to be renewed."""

_ANEW: Final = "get it anew from the directory of the authority"


def load(source: JoinFile | Path, asked: Asked) -> tuple[JoinFile | None, list[Finding]]:
    """Return the join file, and what was found on the way to it; None if there is none to go on with."""
    there = ok("file", f"{asked.file} is there")
    private = ok("permissions", "nobody else can read it")
    try:
        identity = joinfile.load(source)
    except NotPrivateError as error:
        return None, [there, Finding("permissions", State.STOP, str(error), f"chmod 600 {asked.file}", ExitCode.USAGE)]
    except ConfigError as error:
        if isinstance(source, Path) and not os.access(source, os.R_OK):
            return None, [Finding("file", State.STOP, str(error), f"name the join file: {_ANEW}", ExitCode.USAGE)]
        return None, [there, private, Finding("content", State.STOP, str(error), _ANEW, ExitCode.USAGE)]
    role = identity.certificate.role.value
    return identity, [there, private, ok("content", f"it is whole: {role} {identity.name} of net {identity.net}")]


def look(identity: JoinFile, asked: Asked) -> list[Finding]:
    """Return what the join file itself shows."""
    found = (check(identity, asked) for check in (_dates, _brokers, _rights))
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


def _brokers(identity: JoinFile, _asked: Asked) -> Finding:
    """It names brokers, others than itself."""
    names = [each.name for each in identity.brokers if each.name != identity.name]
    if names:
        return ok("brokers", f"it names {len(names)}: {', '.join(names[:8])}{', ...' if len(names) > 8 else ''}")
    mend = f"braidmq add broker NAME --net DIR --endpoint tcp://HOST:PORT; then {_ANEW}"
    return Finding("brokers", State.STOP, "it names no broker", mend, ExitCode.UNAVAILABLE)


def _rights(identity: JoinFile, asked: Asked) -> Finding | None:
    """Its certificate allows something with the service."""
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
    mend = f"braidmq set {identity.name} --net DIR --call '{service}' (or --serve)"
    return Finding("rights", State.WRONG, text, mend, ExitCode.DENIED)
