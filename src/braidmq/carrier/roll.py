"""Who was enrolled by tokens, at a broker: its Roll (core/registry/enrolling.py), over braidmq.trust."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from braidmq.members import Member, Role
from braidmq.trust.enrolment import Enrolment
from braidmq.trust.enrolments import Enrolments, Merged, Outcome
from braidmq.trust.invitation import Invitation
from braidmq.trust.registry import Registry
from braidmq.wire.registry_status import ClaimStatus, SeenStatus, TokenStatus

_REFUSALS: Final = {
    Outcome.USED_UP: "the token has made as many members as it may; if that was not you, somebody else has it: "
    "withdraw it and make another one",
    Outcome.EXPIRED: "the token has ended: make another one with `braidmq invite`",
    Outcome.STALE: "it was signed long ago by the clock of whoever has signed it: set that machine's clock",
    Outcome.WRONG_NAME: "the token is not for this name",
    Outcome.NAME_TAKEN: "a member has this name already: choose another one",
    Outcome.KEY_TAKEN: "a member has this key already, or had it until it was revoked: make a new one",
    Outcome.NO_INVITATION: "the token was withdrawn, or is of a registry that this broker does not have yet",
}


@dataclass(frozen=True, slots=True)
class _Verdict:
    """See Verdict."""

    name: str
    refusal: str
    new: bool


@dataclass(frozen=True, slots=True)
class _News:
    """See News."""

    lost: bool
    troubles: tuple[str, ...]


class TokenRoll:
    """See Roll."""

    def __init__(self) -> None:
        self._set = Enrolments()
        self._tokens: dict[str, Member] = {}
        self._invitations: list[Invitation] = []

    def use(self, invitations: Iterable[Invitation], registry: Registry, unix_s: float) -> None:
        """Judge by another registry."""
        invitations = tuple(invitations)
        self._tokens = {
            each.curve_key.hex(): Member(f"token.{each.serial}", Role.NODE, invitation=each.serial)
            for each in invitations
        }
        self._invitations = sorted(invitations, key=lambda each: each.serial)
        self._set.use(invitations, registry.names, registry.keys, unix_s)

    def member(self, principal: str) -> Member | None:
        """Return the member that a token has made, or the token's holder; None if the key is neither's."""
        return self._set.member(principal) or self._tokens.get(principal)

    def enrolment(self, principal: str) -> Enrolment | None:
        """Return the enrolment of a member that a token has made, or None."""
        return self._set.enrolment(principal)

    def has(self, name: str) -> bool:
        """Whether a member that a token has made has this name."""
        return self._set.named(name) is not None

    def tokens(self, unix_s: float) -> list[TokenStatus]:
        """Return the tokens at a Unix time, by serial."""
        return [
            TokenStatus(each.serial, each.names, each.uses, self._set.used(each.serial), int(each.not_after - unix_s))
            for each in self._invitations
        ]

    def enrolled(self, unix_s: float, most: int) -> tuple[list[SeenStatus], int]:
        """Return members that tokens have made, at most `most` of them, at a Unix time; and how many there are."""
        found, total = self._set.some_members(most)
        return [SeenStatus(each.name, max(0, int(unix_s - seen_at)), each.serial) for each, seen_at in found], total

    def claims(self, name: str, unix_s: float, most: int) -> list[ClaimStatus]:
        """Return who claims a name by a token, at most `most` of them, at a Unix time; the best claim first."""
        found = self._set.claims(name, most)
        return [ClaimStatus(each.blob, max(0, int(unix_s - seen_at))) for each, seen_at in found]

    @property
    def rows(self) -> list[tuple[bytes, int]]:
        """All that is known, to be kept."""
        found: list[tuple[bytes, int]] = []
        revision = 0
        while True:
            rows, following = self._set.rows_since(revision)
            if not rows:
                return found
            found += [(row.blob, row.seen_at) for row in rows]
            revision = following

    # -- see Roll

    @property
    def revision(self) -> int:
        """See Roll."""
        return self._set.revision

    def admit(self, enrolment: bytes, unix_s: float) -> _Verdict:
        """See Roll."""
        found = self._set.admit(enrolment, unix_s)
        name = "" if found.enrolment is None else found.enrolment.name
        return _Verdict(name, _REFUSALS.get(found.outcome, ""), found.outcome is Outcome.NEW)

    def merge(self, rows: Iterable[tuple[bytes, int]], unix_s: float) -> _News:
        """See Roll."""
        merged = self._set.merge(rows, unix_s)
        lost = any(self._set.member(principal) is None for principal in merged.changed)
        return _News(lost, tuple(_troubles(merged)))

    def rows_since(self, revision: int, most: int) -> tuple[list[tuple[bytes, int]], int]:
        """See Roll."""
        rows, following = self._set.rows_since(revision, most)
        return [(row.blob, row.seen_at) for row in rows], following

    def seen(self, principal: str, unix_s: float) -> None:
        """See Roll."""
        self._set.seen(principal, unix_s)

    def expire(self, unix_s: float) -> bool:
        """See Roll."""
        return bool(self._set.expire(unix_s))


def _troubles(merged: Merged) -> list[str]:
    found = [
        f"token {each.serial} for {each.name or each.prefix + '*'} was used more than {each.uses} times, at brokers "
        f"that could not hear each other: if that was not you, end it with `braidmq withdraw {each.serial}`"
        for each in merged.overused
    ]
    found += [f"two keys were enrolled as {name}: one of them is its member" for name in merged.clashes]
    if merged.refused:
        found.append(f"{merged.refused} enrolments are none: the broker that told of them is wrong, or lies")
    return found
