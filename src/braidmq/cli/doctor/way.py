"""The checks of the way to one broker, in order. A new one is a function here, and a place in `CHECKS`.

Each is given what a visit has shown, and returns what it finds; None if it has nothing to say. The first that stops is
the last.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from braidmq.cli.doctor.finding import Asked, Finding, State, ok
from braidmq.cli.doctor.own import let_it_call
from braidmq.cli.doctor.visit import Visit
from braidmq.cli.exit_codes import ExitCode
from braidmq.core.links.link import Failure
from braidmq.trust.enrolment import Enrolment
from braidmq.trust.joinfile import JoinFile
from braidmq.wire.envelope import MAJOR

AHEAD_S_MAX: Final = 60.0
"""How far two clocks may be apart: what goes by dates here goes by days."""

_CHECK_ENDPOINT: Final = "see that its endpoint is right: braidmq list --net DIR"


class _Stop(NamedTuple):
    """Where a failure stops the way, and what to do about it."""

    step: str
    code: ExitCode
    mend: str


_DOWN: Final = ExitCode.UNAVAILABLE
_LISTENER: Final = f"look what listens at {{address}} (there: ss -ltnp), and {_CHECK_ENDPOINT}"
_ANEW: Final = "bring {file} up to date: braidmq join NETCODE {node} --file {file} (NETCODE: braidmq code --net DIR)"
_AGAIN: Final = (
    "braidmq join NETCODE {node}, and with what it prints: braidmq add {role} {node} --net DIR --request CODE"
)
_STOPS: Final[dict[Failure, _Stop]] = {
    Failure.UNREACHABLE: _Stop(
        "tcp", _DOWN, f"start it: braidmq broker --join {{broker}}.braid; if it runs, {_CHECK_ENDPOINT}"
    ),
    Failure.NO_ANSWER: _Stop("tcp", _DOWN, f"open the port of {{address}} on the way to it; {_CHECK_ENDPOINT}"),
    Failure.NO_ROOM: _Stop("tcp", ExitCode.FAILURE, "raise the limit: ulimit -n 1024"),
    Failure.MUTE: _Stop("zmtp", _DOWN, _LISTENER),
    Failure.FOREIGN: _Stop("zmtp", _DOWN, _LISTENER),
    Failure.HTTP: _Stop("zmtp", _DOWN, _LISTENER),
    Failure.RESET: _Stop("zmtp", _DOWN, _LISTENER),
    Failure.HUNG_UP: _Stop("curve", _DOWN, f"try again if it is being stopped; else {_ANEW}"),
    Failure.NOT_THIS_BROKER: _Stop("curve", _DOWN, _LISTENER),
    Failure.OTHER_NET: _Stop(
        "curve", _DOWN, f"if that is the right net, move {{file}} away and join it: {_AGAIN}; else {_CHECK_ENDPOINT}"
    ),
    Failure.OTHER_KEY: _Stop("curve", _DOWN, _ANEW),
    Failure.NOT_REGISTERED: _Stop(
        "key",
        ExitCode.DENIED,
        "if braidmq list --net DIR has it, give that to the brokers: braidmq publish --net DIR; else register it: "
        + _AGAIN,
    ),
    Failure.REMOVED: _Stop("key", ExitCode.DENIED, f"register it again: {_AGAIN}"),
    Failure.REVOKED: _Stop("key", ExitCode.DENIED, f"move {{file}} away, and make a new key: {_AGAIN}"),
    Failure.EARLY: _Stop("key", ExitCode.FAILURE, "try again; if it stays so, let {broker} reach the other brokers"),
    Failure.EXPIRED: _Stop("key", ExitCode.DENIED, "renew it: braidmq renew {node} --net DIR"),
    Failure.BARRED: _Stop("key", ExitCode.DENIED, "see the log of {broker}, mend the program, and wait a minute"),
    Failure.THRONG: _Stop("key", ExitCode.DENIED, "give each process a join file of its own: braidmq add node"),
    Failure.UNJUDGED: _Stop("key", ExitCode.FAILURE, "report what the log of {broker} says"),
}
_ENROLLED_AGAIN: Final = (
    "it was gone for longer than --keep of its token, or that was withdrawn: braidmq join - --file {file}, with a token"
)
_ELSE: Final = _Stop("curve", ExitCode.FAILURE, "try again; if it stays so, see the log of {broker}")


def _stopped(step: str, visit: Visit, identity: JoinFile, asked: Asked) -> Finding | None:
    """Return what stops the way at a step, if it is stopped there."""
    failure = visit.failure
    if failure is None or visit.greeted:
        return None
    stop = _STOPS.get(failure, _ELSE)
    if stop.step != step:
        return None
    made = isinstance(identity.certificate, Enrolment) and failure in (Failure.NOT_REGISTERED, Failure.REMOVED)
    mend = (_ENROLLED_AGAIN if made else stop.mend).format(
        address=visit.address,
        broker=visit.name,
        node=identity.name,
        file=asked.file,
        role=identity.certificate.role.value,
    )
    return Finding(step, State.STOP, f"{visit.address}: {failure.value}", mend, stop.code, visit.name)


def listed(visit: Visit, identity: JoinFile, asked: Asked) -> Finding | None:
    """The join file knows where it is, and which key it has."""
    if not visit.is_listed_anew:
        return None
    mend = _ANEW.format(file=asked.file, node=identity.name)
    return Finding(
        "listed", State.NOTE, f"{asked.file} is older than what others tell of it; {mend}", broker=visit.name
    )


def name(visit: Visit, _identity: JoinFile, _asked: Asked) -> Finding:
    """Its endpoints have addresses."""
    if visit.addresses:
        return ok("name", ", ".join(address.removeprefix("tcp://") for address in visit.addresses), visit.name)
    mend = f"see that DNS knows it (getent hosts HOST), and {_CHECK_ENDPOINT}"
    return Finding("name", State.STOP, visit.unresolved or "it has no address", mend, _DOWN, visit.name)


def tcp(visit: Visit, identity: JoinFile, asked: Asked) -> Finding:
    """Something takes connections there."""
    return _stopped("tcp", visit, identity, asked) or ok("tcp", f"{visit.address} takes connections", visit.name)


def zmtp(visit: Visit, identity: JoinFile, asked: Asked) -> Finding:
    """It speaks ZMTP with CURVE."""
    return _stopped("zmtp", visit, identity, asked) or ok("zmtp", "it speaks ZMTP with CURVE", visit.name)


def curve(visit: Visit, identity: JoinFile, asked: Asked) -> Finding:
    """It holds the key that the broker's certificate names."""
    return _stopped("curve", visit, identity, asked) or ok("curve", "it holds the key of this broker", visit.name)


def key(visit: Visit, identity: JoinFile, asked: Asked) -> Finding:
    """It knows this member's key."""
    return _stopped("key", visit, identity, asked) or ok("key", f"{identity.name} is registered there", visit.name)


def session(visit: Visit, identity: JoinFile, asked: Asked) -> Finding:
    """It answers HELLO, in the same major version."""
    broker = visit.name
    if visit.major != MAJOR:
        text = f"{Failure.VERSION.value} (BRAID/{visit.major} there, BRAID/{MAJOR} here)"
        mend = "pip install --upgrade braidmq, at whichever is older"
        return Finding("session", State.STOP, text, mend, ExitCode.FAILURE, broker)
    if visit.goodbye is not None:
        mend = f"see the log of {broker}"
        text = f"the broker refuses the session: {visit.goodbye.text}"
        code = ExitCode.UNAVAILABLE if visit.goodbye.reason == "ended" else ExitCode.DENIED
        return Finding("session", State.STOP, text, mend, code, broker)
    if visit.welcome is None:
        text = visit.failure.value if visit.failure is not None else "it lets the key in, and does not answer HELLO"
        return Finding("session", State.STOP, text, f"restart {broker}, and see its log", ExitCode.DEADLINE, broker)
    if visit.welcome.broker != broker:
        text = f"it calls itself {visit.welcome.broker}"
        return Finding("session", State.STOP, text, _ANEW.format(file=asked.file, node=identity.name), _DOWN, broker)
    return ok("session", f"{visit.welcome.software or 'it'} welcomes {visit.welcome.member}", broker)


def clock(visit: Visit, _identity: JoinFile, _asked: Asked) -> Finding:
    """Its clock and this one agree."""
    ahead_s = visit.ahead_s
    if ahead_s is None:
        return Finding("clock", State.NOTE, "the broker does not tell its time", broker=visit.name)
    if abs(ahead_s) <= AHEAD_S_MAX:
        return ok("clock", f"{abs(ahead_s):.1f} s apart", visit.name)
    text = f"the broker's clock is {abs(ahead_s):,.0f} s {'ahead of' if ahead_s > 0 else 'behind'} this machine's"
    mend = "see which one is wrong (date -u), and let it be set: timedatectl set-ntp true"
    return Finding("clock", State.WRONG, text, mend, ExitCode.FAILURE, visit.name)


def rights(visit: Visit, identity: JoinFile, asked: Asked) -> Finding | None:
    """It allows what this member's certificate allows."""
    if not asked.service or visit.denied is None:
        return None
    if not visit.denied:
        return ok("rights", f"{identity.name} may call {asked.service} there", visit.name)
    if not identity.certificate.member.may_call(asked.service):
        return None
    text = f"the broker does not let {identity.name} call {asked.service}, though its certificate says so"
    mend = f"{let_it_call(identity, asked.service)}; or braidmq publish --net DIR"
    return Finding("rights", State.WRONG, text, mend, ExitCode.DENIED, visit.name)


def echo(visit: Visit, _identity: JoinFile, _asked: Asked) -> Finding:
    """A call goes there and back."""
    if visit.echo_s is not None:
        return ok("echo", f"there and back in {visit.echo_s * 1000:.1f} ms", visit.name)
    if visit.echo_refused:
        return Finding("echo", State.NOTE, "the broker has no echo: it is of an older version", broker=visit.name)
    text = "a call to the broker's own echo got no answer"
    return Finding("echo", State.WRONG, text, f"see the log of {visit.name}", ExitCode.DEADLINE, visit.name)


def workers(visit: Visit, identity: JoinFile, asked: Asked) -> Finding | None:
    """The service has a worker there."""
    service, may_call = asked.service, identity.certificate.member.may_call(asked.service)
    if not service or visit.denied or not (may_call or visit.denied is False):
        return None
    if service in visit.services:
        return ok("workers", f"{service} has a worker there", visit.name)
    text = f"{service} has no worker there"
    mend = f"start one: braidmq serve MODULE:NODE --join FILE; braidmq doctor --join ITS-FILE --service {service}"
    return Finding("workers", State.WRONG, text, mend, ExitCode.UNAVAILABLE, visit.name)


Check = Callable[[Visit, JoinFile, Asked], Finding | None]

CHECKS: Final[tuple[Check, ...]] = (listed, name, tcp, zmtp, curve, key, session, clock, rights, echo, workers)
"""The steps for a node, in the order in which they are taken."""

CHECKS_OF_A_BROKER: Final[tuple[Check, ...]] = CHECKS[: CHECKS.index(session)]
"""Those for the join file of a broker: a session with its name would look as if it had been started twice."""


def judge(visit: Visit, identity: JoinFile, asked: Asked, checks: tuple[Check, ...] = CHECKS) -> list[Finding]:
    """Return what the checks of one broker find, up to the first that stops."""
    findings = []
    for check in checks:
        finding = check(visit, identity, asked)
        if finding is not None:
            findings.append(finding)
            if finding.state is State.STOP:
                break
    return findings
