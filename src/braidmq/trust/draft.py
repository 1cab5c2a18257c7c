"""The next version of a registry while it is made: who is added, changed, renamed, removed and revoked in it.

Nothing here reads or writes. What comes out is a manifest that the authority has signed, or a ConfigError.
"""

from collections.abc import Iterable
from typing import Any, Final, TypedDict

import msgspec

from braidmq.errors import ConfigError
from braidmq.members import Role, check_name
from braidmq.trust import certificate as certificates
from braidmq.trust import invitation as invitations
from braidmq.trust import manifest as manifests
from braidmq.trust import roster as rosters
from braidmq.trust.certificate import TIME_MAX_S, Certificate, Claims
from braidmq.trust.curve_key import check_curve_key
from braidmq.trust.enrolment import Enrolment
from braidmq.trust.invitation import Invitation, Terms
from braidmq.trust.manifest import REMOVALS_MAX, REVOKED_MAX, Extras, Manifest, Removal, Revocation
from braidmq.trust.roster import Roster

DAY_S: Final = 86_400

OVERLAP_S: Final = DAY_S
"""How long both keys of a member hold while it changes over to the newer one, unless something else is asked for."""

OVERLAP_S_MAX: Final = 366 * DAY_S
"""The longest time that both may hold: a key that is never changed over to is better never made."""

CLOCK_S_MIN: Final = 1_767_225_600
"""The beginning of 2026 as a Unix time: a clock that shows an earlier one is wrong."""


class Changes(TypedDict, total=False):
    """What `Draft.change` changes of a member."""

    calls: Iterable[str] | None
    serves: Iterable[str] | None
    observe: bool | None
    endpoints: Iterable[str] | None
    publish: bool | None
    operate: bool | None
    not_after: int | None


class Draft:
    """The next version of a registry.

    Args:
        old: the registry as it is.
        seed: the authority's secret, 32 bytes.
        now_s: the Unix time in seconds.

    Attributes:
        old: the registry as it is.
        version: that of the registry to come.
    """

    __slots__ = (
        "_endpoints", "_holders", "_invitations", "_members", "_now_s", "_removals", "_revoked", "_seed", "_since",
        "old", "version",
    )  # fmt: skip

    def __init__(self, old: Manifest, seed: bytes, now_s: float) -> None:
        self.old = old
        self.version = old.version + 1
        self._seed = seed
        self._now_s = now_s
        self._members: dict[str, Certificate] = {}
        self._holders: dict[bytes, str] = {}
        self._endpoints: dict[str, str] = {}
        for each in old.certificates:
            self._put(each)
        self._removals = list(old.extras.removals)
        self._since = old.extras.removals_since
        self._revoked = {each.key: each for each in old.extras.revoked}
        self._invitations = {each.serial: each for each in old.invited()}

    @property
    def brokers(self) -> tuple[Certificate, ...]:
        """The brokers of the registry to come."""
        return tuple(each for each in self._members.values() if each.role is Role.BROKER)

    def member(self, name: str) -> Certificate:
        """Return a member's certificate, or raise ConfigError if there is none of this name."""
        found = self._members.get(name)
        if found is None:
            raise ConfigError(f"nobody is registered as {name!r}: `braidmq list` shows who is")
        return found

    def add(
        self,
        name: str,
        role: Role,
        key: bytes,
        *,
        calls: Iterable[str] = (),
        serves: Iterable[str] = (),
        observe: bool = False,
        endpoints: Iterable[str] = (),
        publish: bool = False,
        operate: bool = False,
        not_after: int = 0,
    ) -> Certificate:
        """Register a new member (see `Claims`).

        Raises:
            ConfigError: the name, the key or an endpoint is taken, the key was revoked, or something breaks a rule.
        """
        known = self._members.get(check_name(name))
        if known is not None:
            raise ConfigError(
                f"{name!r} is registered with this very key already: `braidmq set {name}` changes what it may do or "
                "where it is"
                if key in known.keys
                else f"{name!r} is registered already: choose another name, or change that one: `braidmq set {name}`"
            )
        check_curve_key(key)
        return self._certify(
            Claims(
                net=self.old.net,
                serial=self.version,
                name=name,
                role=role,
                keys=(key,),
                calls=_once(calls),
                serves=_once(serves),
                observe=observe,
                endpoints=_once(endpoints),
                publish=publish,
                operate=operate,
                not_after=self._future(name, not_after),
            )
        )

    def change(
        self,
        name: str,
        *,
        calls: Iterable[str] | None = None,
        serves: Iterable[str] | None = None,
        observe: bool | None = None,
        endpoints: Iterable[str] | None = None,
        publish: bool | None = None,
        operate: bool | None = None,
        not_after: int | None = None,
    ) -> Certificate:
        """Give a member other rights, endpoints or another end; None leaves what it has.

        Raises:
            ConfigError: there is no such member, an endpoint is taken, or something breaks a rule.
        """
        wanted = {
            "calls": None if calls is None else _once(calls),
            "serves": None if serves is None else _once(serves),
            "observe": observe,
            "endpoints": None if endpoints is None else _once(endpoints),
            "publish": publish,
            "operate": operate,
            "not_after": None if not_after is None else self._future(name, not_after),
        }
        return self._alter(name, {claim: value for claim, value in wanted.items() if value is not None})

    def rename(self, old: str, new: str) -> Certificate:
        """Give a member another name; its keys stay.

        Raises:
            ConfigError: there is no such member, or the new name is taken or not valid.
        """
        found = self.member(old)
        if check_name(new) in self._members:
            raise ConfigError(f"{new!r} is registered already: choose another name")
        self.remove(old)
        return self._certify(msgspec.structs.replace(self._claims(found), name=new))

    def remove(self, name: str) -> Certificate:
        """Take a member out of the registry, and return the certificate that it had."""
        found = self.member(name)
        self._drop(found)
        self._removals.append(Removal(self.version, name))
        return found

    def revoke(self, name: str) -> Certificate:
        """Remove a member, and never certify its keys again.

        Raises:
            ConfigError: there is no such member, or too many keys are revoked.
        """
        found = self.remove(name)
        self._ban(found)
        return found

    def revoke_enrolled(self, member: Enrolment) -> Enrolment:
        """Never accept the key of a member that a token has made.

        Raises:
            ConfigError: the token was withdrawn, the key is that of somebody who is registered or of a token, or too
                many keys are revoked.
        """
        name, key = member.name, member.key
        if self._invitations.get(member.serial) != member.invitation:
            raise ConfigError(f"token {member.serial}, which has made {name!r} a member, is withdrawn or was changed")
        holder = self._holders.get(key)
        if holder is not None:
            raise ConfigError(f"the key of {name!r} is that of {holder!r}, who is registered: revoke that one")
        if any(each.curve_key == key for each in self._invitations.values()):
            raise ConfigError(f"the key of {name!r} is that of a token: withdraw it")
        if key not in self._revoked:
            self._ban(member)
        return member

    def rotate(self, name: str, key: bytes, until: int) -> Certificate:
        """Give a member a second key, the newer one from now on.

        Args:
            name: of the member.
            key: its new CURVE public key, 32 bytes.
            until: the Unix time in seconds at which the present key ends; 0 if that is when it is finished.

        Raises:
            ConfigError: there is no such member, it has two keys already, or the key is taken or was revoked.
        """
        valid = self.member(name).valid_keys(self._now_s)
        check_curve_key(key)
        if key in valid:
            raise ConfigError(f"{name!r} has this key already: there is nothing to rotate to")
        if len(valid) > 1:
            raise ConfigError(
                f"{name!r} has two keys already: end the older one with `braidmq rotate {name} --finish` first"
            )
        return self._alter(name, {"keys": (*valid, key), "old_key_until": self._future(name, until)})

    def finish(self, name: str) -> Certificate:
        """End the older one of a member's two keys.

        Raises:
            ConfigError: there is no such member, or it has one key.
        """
        keys = self.member(name).keys
        if len(keys) == 1:
            raise ConfigError(f"{name!r} has one key: there is nothing to finish")
        return self._alter(name, {"keys": keys[-1:], "old_key_until": 0})

    def renew(self, name: str, not_after: int) -> Certificate:
        """Let a member's certificate end later.

        Raises:
            ConfigError: there is no such member, it never ends, or it ends later as it is.
        """
        found = self.member(name)
        if not found.not_after:
            raise ConfigError(f"the certificate of {name!r} never ends: there is nothing to renew")
        if not_after < found.not_after:
            raise ConfigError(
                f"the certificate of {name!r} ends later as it is: `braidmq set {name} --days` shortens it"
            )
        return self.change(name, not_after=not_after)

    def invite(self, terms: Terms) -> Invitation:
        """Let a token make members.

        Args:
            terms: what the token is good for; its serial becomes this version's.

        Raises:
            ConfigError: a member has the name, the key is taken, or something breaks a rule.
        """
        if terms.name and terms.name in self._members:
            raise ConfigError(f"{terms.name!r} is registered already: choose another name")
        self._future(terms.name or f"{terms.prefix}*", terms.not_after)
        invited = invitations.issue(msgspec.structs.replace(terms, serial=self.version), self._seed)
        self._invitations[invited.serial] = invited
        invitations.check_invitations(self._invitations.values())
        return invited

    def withdraw(self, serial: int) -> Invitation:
        """Take an invitation back: its token makes no member any more, and those that it has made are none any more.

        Raises:
            ConfigError: there is no such invitation.
        """
        if serial not in self._invitations:
            raise ConfigError(f"there is no token {serial}: `braidmq list` shows which there are")
        return self._invitations.pop(serial)

    def issue(self) -> Manifest:
        """Return the registry to come, signed; the old one if nothing has changed.

        Raises:
            ConfigError: a limit of the net is exceeded.
        """
        invited = tuple(each.blob for each in self._invitations.values())
        revoked = tuple(self._revoked.values())
        same = self._members == {each.name: each for each in self.old.certificates}
        if same and invited == self.old.extras.invitations and revoked == self.old.extras.revoked:
            return self.old
        removals, since = self._removals, self._since
        if len(removals) > REMOVALS_MAX:
            since = removals[-REMOVALS_MAX - 1].version
            removals = removals[-REMOVALS_MAX:]
        extras = Extras(
            removals=tuple(removals),
            removals_since=since,
            revoked=revoked,
            invitations=invited,
        )
        return manifests.issue(
            self.old.net, self.version, self._members.values(), self._seed, extras=extras, roster=self._roster()
        )

    def _roster(self) -> Roster:
        """Return the list of the brokers: the one that there is if they are the same."""
        listed, brokers = self.old.roster, self.brokers
        if listed is not None and set(listed.brokers) == set(brokers):
            return listed
        return rosters.issue(self.old.net, self.version, brokers, self._seed)

    def _claims(self, found: Certificate) -> Claims:
        """Return what the authority has said of a member, under the new serial and without a key that has ended."""
        claims = {claim: getattr(found, claim) for claim in Claims.__struct_fields__}
        keys = found.valid_keys(self._now_s)
        until = found.old_key_until if len(keys) > 1 else 0
        return Claims(**{**claims, "serial": self.version, "keys": keys, "old_key_until": until})

    def _alter(self, name: str, changes: dict[str, Any]) -> Certificate:
        found = self.member(name)
        if all(getattr(found, claim) == value for claim, value in changes.items()):
            return found
        return self._certify(msgspec.structs.replace(self._claims(found), **changes))

    def _certify(self, claims: Claims) -> Certificate:
        for key in claims.keys:
            revoked = self._revoked.get(key)
            if revoked is not None:
                raise ConfigError(
                    f"the key for {claims.name!r} was revoked when it was that of {revoked.name!r}: make a new key"
                )
            holder = self._holders.get(key, claims.name)
            if holder != claims.name:
                raise ConfigError(f"the key for {claims.name!r} is that of {holder!r}: make a new key")
        for endpoint in claims.endpoints:
            broker = self._endpoints.get(endpoint, claims.name)
            if broker != claims.name:
                raise ConfigError(f"{endpoint} is the endpoint of broker {broker!r} already: choose another")
        issued = certificates.issue(claims, self._seed)
        known = self._members.get(claims.name)
        if known is not None:
            self._drop(known)
        self._put(issued)
        return issued

    def _put(self, member: Certificate) -> None:
        self._members[member.name] = member
        self._holders |= dict.fromkeys(member.keys, member.name)
        self._endpoints |= dict.fromkeys(member.endpoints, member.name)

    def _drop(self, member: Certificate) -> None:
        del self._members[member.name]
        for key in member.keys:
            del self._holders[key]
        for endpoint in member.endpoints:
            self._endpoints.pop(endpoint, None)

    def _ban(self, member: Certificate) -> None:
        self._revoked |= {key: Revocation(self.version, key, member.name) for key in member.keys}
        if len(self._revoked) > REVOKED_MAX:
            raise ConfigError(f"{REVOKED_MAX} keys are revoked, and no more can be: make a new net for its members")

    def _future(self, name: str, until: int) -> int:
        """Return a time at which something of a member ends, or 0; raise ConfigError if that is not to come."""
        if not until:
            return 0
        if self._now_s < CLOCK_S_MIN:
            raise ConfigError(
                "this machine's clock shows a time before 2026: set it, or nothing can end when it should"
            )
        if not self._now_s < until <= TIME_MAX_S:
            raise ConfigError(f"{name!r}: what is to end must end in the future, and before the year 10000")
        return until


def _once(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))
