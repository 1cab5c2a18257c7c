"""Members that tokens have made, of which the running net knows and the authority does not: asking for their keys."""

from collections.abc import Sequence
from typing import Final

from braidmq.claims import Answers, ask
from braidmq.cli.logs import log_nothing
from braidmq.errors import BraidError, ConfigError
from braidmq.trust.authority import Authority
from braidmq.trust.claims import Claim, verified
from braidmq.trust.enrolment import Enrolment
from braidmq.trust.invitation import Invitation
from braidmq.trust.joinfile import JoinFile
from braidmq.trust.manifest import Manifest
from braidmq.wire.limits import CLAIMS_ASKED_MAX

REVOKE_S: Final = 3.0
"""How long it is waited for the brokers to say whose key is to be revoked: as long as for handing in a change."""

WARN_S: Final = 1.0
"""How long it is waited for them to say who loses a name."""

KEYS_MAX: Final = 8
"""Keys of one name that are revoked: more of them can only come from a broker and a token in the same wrong hands."""


def observer(authority: Authority, manifest: Manifest) -> JoinFile | None:
    """Return the join file of a member that may observe; None if none lies in the authority's directory."""
    for each in manifest.certificates:
        if each.observe:
            found = authority.join_file(each.name)
            if found is not None:
                return found
    return None


def token_for(manifest: Manifest, name: str) -> Invitation | None:
    """Return the invitation whose token can have made a member with this name; None if the registry has none."""
    return next((each for each in manifest.invited() if each.covers(name)), None)


def enrolled(authority: Authority, manifest: Manifest, names: Sequence[str]) -> list[Enrolment]:
    """Return the enrolments by which members have names that nobody is registered under, as the running net says.

    Raises:
        ConfigError: nobody has the name, it was revoked already, too many claim it, or nobody may ask.
        BraidError: no broker answers, or none that can tell.
    """
    for name in names:
        if token_for(manifest, name) is None:
            raise ConfigError(f"nobody is registered as {name!r}: `braidmq list` shows who is")
    if len(names) > CLAIMS_ASKED_MAX:
        raise ConfigError(f"{len(names)} members that tokens have made: name at most {CLAIMS_ASKED_MAX} at a time")
    identity = observer(authority, manifest)
    first = names[0]
    if identity is None:
        raise ConfigError(
            f"nobody is registered as {first!r}, and the net cannot be asked for a member that a token has made: "
            f"no member that may observe has its join file in {authority.directory}"
        )
    answers = _ask(identity, manifest, names, REVOKE_S)
    if not answers.brokers:
        why = f" ({answers.problem})" if answers.problem else ""
        raise BraidError(
            f"nobody is registered as {first!r}: only the running net knows the key of a member that a token has made, "
            f"and no broker answers{why}"
        )
    return [each for name in names for each in _of_one(manifest, name, answers.told.get(name))]


def displaced(authority: Authority, before: Manifest, after: Manifest) -> list[Enrolment]:
    """Return who loses its name to somebody who is registered under it by a change, as far as brokers tell.

    They are asked only if a token can have made somebody with such a name.
    """
    known = {each.name for each in before.certificates}
    names = [
        each.name for each in after.certificates if each.name not in known and token_for(before, each.name) is not None
    ][:CLAIMS_ASKED_MAX]
    identity = observer(authority, after) if names else None
    if identity is None:
        return []
    try:
        told = _ask(identity, after, names, WARN_S).told
    except (BraidError, OSError):  # the change is made; the net adds to what is said of it where it can
        return []
    claims = {name: verified(after, name, rows) for name, rows in told.items() if name in names}
    return [found for each in claims.values() if (found := _member_of(each)) is not None]


def _ask(identity: JoinFile, manifest: Manifest, names: Sequence[str], wait_s: float) -> Answers:
    log_nothing()  # what its links say is told with the answers
    return ask(identity, manifest, names, wait_s=wait_s)


def _of_one(manifest: Manifest, name: str, told: list[tuple[bytes, int]] | None) -> list[Enrolment]:
    """Return the enrolments that claim one name."""
    if told is None:
        raise BraidError(f"the brokers that answer do not say who {name!r} is: they are of an older version, or busy")
    found = verified(manifest, name, told)
    if len(found) > KEYS_MAX:
        serials = ", ".join(map(str, sorted({each.enrolment.serial for each in found})))
        raise ConfigError(f"{len(found)} keys claim the name {name!r}: withdraw what has made them, token {serials}")
    if not found:
        if any(each.name == name for each in manifest.extras.revoked):
            raise ConfigError(f"{name!r} is revoked already, and no broker knows another member of that name")
        raise ConfigError(f"nobody is registered as {name!r}, and no broker knows such a member that a token has made")
    return [each.enrolment for each in found]


def _member_of(claims: Sequence[Claim]) -> Enrolment | None:
    """Return who of those that claim one name is the member: the best one that was not gone for too long."""
    return next(
        (each.enrolment for each in claims if not 0 < each.enrolment.invitation.idle_s < each.ago_s),
        None,
    )
