"""The checks of this machine: the join file, and what it says."""

from pathlib import Path

from braidmq.cli.doctor.finding import Asked, Finding, State, ok
from braidmq.cli.exit_codes import ExitCode
from braidmq.errors import ConfigError
from braidmq.members import Role
from braidmq.trust import joinfile
from braidmq.trust.joinfile import JoinFile
from braidmq.trust.private_file import NotPrivateError

_ANEW = "get it anew from the directory of the authority"


def load(path: Path, asked: Asked) -> tuple[JoinFile | None, list[Finding]]:
    """Return the join file, and what was found on the way to it; None if there is none to go on with."""
    try:
        data = joinfile.read(path)
    except NotPrivateError as error:
        found = Finding("permissions", State.STOP, str(error), f"chmod 600 {asked.file}", ExitCode.USAGE)
        return None, [ok("file", f"{asked.file} is there"), found]
    except ConfigError as error:
        return None, [Finding("file", State.STOP, str(error), f"name the join file: {_ANEW}", ExitCode.USAGE)]
    findings = [ok("file", f"{asked.file} is there"), ok("permissions", "nobody else can read it")]
    try:
        identity = joinfile.parse(data, path)
    except ConfigError as error:
        return None, [*findings, Finding("content", State.STOP, str(error), _ANEW, ExitCode.USAGE)]
    role = identity.certificate.role.value
    return identity, [*findings, ok("content", f"it is whole: {role} {identity.name} of net {identity.net}")]


def look(identity: JoinFile, asked: Asked) -> list[Finding]:
    """Return what the join file itself shows."""
    found = (check(identity, asked) for check in (_brokers, _rights))
    return [each for each in found if each is not None]


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
