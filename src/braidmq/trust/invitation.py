"""What the authority says about a token: who may be made a member with it, how many, and until when; signed.

The holder of a token certifies new members by itself, while the authority is offline: see enrolment.py. An invitation
stands in the manifest, and holds as long as it stands there. On the wire it is an Ed25519 signature (64 bytes) followed
by the MessagePack map of its `Terms`. Unknown terms of a newer version are skipped.
"""

import base64
import hashlib
from collections.abc import Container, Iterable
from typing import Final

import msgspec

from braidmq.errors import ConfigError, ProtocolError
from braidmq.members import NAME_BYTES_MAX, check_name, check_pattern
from braidmq.trust.certificate import PATTERNS_MAX, SERIAL_MAX, check_net
from braidmq.trust.curve_key import check_curve_key
from braidmq.trust.signed import KEY_BYTES, SIGNATURE_BYTES, open_signed, sign

DOMAIN: Final = b"BRAID/1 invitation\0"

INVITATIONS_MAX: Final = 256
"""Invitations of one net at a time: far more than there are kinds of machines that are made by machines."""

USES_MAX: Final = 4_096
"""Members that one token may make. What is stolen with it is bounded, and so is what brokers keep of it."""

USES_TOTAL_MAX: Final = 16_384
"""Members that all tokens of a net may make together: brokers keep, and tell each other, as many enrolments."""

TIME_S_MAX: Final = 253_402_300_799
"""Latest time, in Unix seconds: the end of the year 9999, beyond which no calendar shows it."""

IDLE_S_MAX: Final = 10 * 365 * 24 * 3600
"""Longest time that a member may be gone before it is dropped; 0 is the way to say never."""

INVITATION_BYTES_MAX: Final = 32 * 1024
"""Largest invitation with its signature: the most and longest patterns stay below it."""

_NAME_END_CHARS: Final = 10
"""How many characters of a key's digest end a name: 50 bits, so that not even all members of a net meet by chance."""

PREFIX_BYTES_MAX: Final = NAME_BYTES_MAX - _NAME_END_CHARS
"""Longest prefix: names that are made of keys fit behind it."""


class Terms(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a token is good for.

    Attributes:
        net: the net's id, 16 lower-case hex digits.
        serial: names the invitation in its net, 1 to `SERIAL_MAX`: the registry's version that it came with. Other
            terms for the same token keep it, as when a token is ended early.
        key: the token's Ed25519 public key, 32 bytes, which enrolments are verified with.
        curve_key: the token's CURVE public key, 32 bytes: its holder asks brokers to enrol as that. No member's.
        uses: how many members it may make, 1 to `USES_MAX`.
        not_after: when it ends, in Unix seconds. Who is a member then remains one.
        name: the one name that its member must have; empty if there is a prefix.
        prefix: what the names of its members begin with, at most `PREFIX_BYTES_MAX`; empty if there is a name.
        calls: patterns of the services that its members may call.
        serves: patterns of the services that they may provide.
        observe: whether they may read the status of brokers.
        idle_s: for how many seconds a member may be gone before it is dropped, up to `IDLE_S_MAX`; 0: it is never.
    """

    net: str
    serial: int
    key: bytes
    curve_key: bytes
    uses: int
    not_after: int
    name: str = ""
    prefix: str = ""
    calls: tuple[str, ...] = ()
    serves: tuple[str, ...] = ()
    observe: bool = False
    idle_s: int = 0

    def covers(self, name: str) -> bool:
        """Whether a member may have this name, which is a valid one."""
        if self.name:
            return name == self.name
        return name.startswith(self.prefix) and len(name) > len(self.prefix)

    @property
    def names(self) -> str:
        """The one name that it is for; or the prefix, with a `*` for what follows."""
        return self.name or f"{self.prefix}*"

    def name_for(self, key: bytes) -> str:
        """Return the name for whoever has this CURVE public key and asks for no other: the same one each time."""
        return name_for(self.name, self.prefix, key)


class Invitation(Terms, frozen=True, kw_only=True):
    """Terms whose signature was verified; only `issue` and `verify` make one.

    Attributes:
        blob: the invitation as it travels: signature and payload, byte for byte as they were signed.
    """

    blob: bytes


_decoder = msgspec.msgpack.Decoder(Terms)


def issue(terms: Terms, seed: bytes) -> Invitation:
    """Return the invitation of `terms`, signed with the authority's `seed` (32 bytes).

    Raises:
        ConfigError: a term breaks the rules.
    """
    check_terms(terms)
    return _invite(terms, sign(DOMAIN, msgspec.msgpack.encode(terms), seed))


def verify(blob: bytes, authority_key: bytes, net: str) -> Invitation:
    """Return the invitation in `blob`, which may come from anyone.

    Whether it is still in force, only the registry knows.

    Args:
        blob: signature and payload.
        authority_key: the Ed25519 public key of the net's authority, 32 bytes.
        net: the id of the net that the invitation must be for.

    Raises:
        ProtocolError: `blob` is not an invitation that the authority signed for this net, or breaks a rule.
    """
    _check_length(blob)
    try:
        payload = open_signed(DOMAIN, blob, authority_key)
    except ProtocolError as error:
        raise ProtocolError(f"not an invitation: {error}") from None
    return _read(payload, blob, net)


def covered(blob: bytes, net: str) -> Invitation:
    """Return the invitation in `blob`, whose own signature is not looked at: another one of the authority covers it.

    Raises:
        ProtocolError: it is no invitation, is for another net, or breaks a rule.
    """
    _check_length(blob)
    return _read(blob[SIGNATURE_BYTES:], blob, net)


def _check_length(blob: bytes) -> None:
    if not SIGNATURE_BYTES < len(blob) <= INVITATION_BYTES_MAX:
        raise ProtocolError(f"an invitation cannot be {len(blob)} bytes long")


def _read(payload: bytes, blob: bytes, net: str) -> Invitation:
    try:
        terms = _decoder.decode(payload)
        check_terms(terms)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:  # a ConfigError is a ValueError
        raise ProtocolError(f"not an invitation: {error}") from None
    if terms.net != net:
        raise ProtocolError(f"invitation {terms.serial} is for net {terms.net}, not {net}")
    return _invite(terms, blob)


def check_terms(terms: Terms) -> None:
    """Raise ConfigError with one line if a term breaks the rules."""
    check_net(terms.net)
    if not 1 <= terms.serial <= SERIAL_MAX:
        raise ConfigError(f"a serial must be from 1 to 2^63 - 1, not {terms.serial}")
    if len(terms.key) != KEY_BYTES:
        raise ConfigError(f"the key of a token has {KEY_BYTES} bytes, not {len(terms.key)}")
    check_curve_key(terms.curve_key)
    if not 1 <= terms.uses <= USES_MAX:
        raise ConfigError(f"a token can be used 1 to {USES_MAX} times, not {terms.uses}")
    if not 1 <= terms.not_after <= TIME_S_MAX:
        raise ConfigError(f"a token must end between 1970 and the year 9999, not at {terms.not_after}")
    if not 0 <= terms.idle_s <= IDLE_S_MAX:
        raise ConfigError(f"members may be gone for 0 to {IDLE_S_MAX} seconds, not {terms.idle_s}")
    check_names(terms.name, terms.prefix)
    for patterns in (terms.calls, terms.serves):
        if len(patterns) > PATTERNS_MAX:
            raise ConfigError(f"a token has {len(patterns)} patterns of a kind: {PATTERNS_MAX} are allowed")
        for pattern in patterns:
            check_pattern(pattern)


def check_names(name: str, prefix: str) -> None:
    """Raise ConfigError with one line unless there is either a name, or a prefix of names."""
    if bool(name) == bool(prefix):
        raise ConfigError("a token is for either one name or names with a prefix")
    check_name(name or prefix)
    if len(prefix) > PREFIX_BYTES_MAX:
        raise ConfigError(f"a prefix has at most {PREFIX_BYTES_MAX} characters, not {len(prefix)}: names end behind it")


def check_invitations(invitations: Iterable[Invitation], keys: Container[bytes] = ()) -> tuple[Invitation, ...]:
    """Return what invitations a registry has, if they can stand side by side.

    Args:
        invitations: all of them.
        keys: the CURVE keys of the registry's members: none can be a token's as well.

    Raises:
        ConfigError: two of them share a serial or a key, one has a member's key, or there are too many.
    """
    invitations = tuple(invitations)
    if len(invitations) > INVITATIONS_MAX:
        raise ConfigError(f"there are {len(invitations)} invitations: {INVITATIONS_MAX} are allowed at a time")
    if sum(each.uses for each in invitations) > USES_TOTAL_MAX:
        raise ConfigError(f"the invitations may make more than {USES_TOTAL_MAX} members together: end one first")
    if len({each.serial for each in invitations}) < len(invitations):
        raise ConfigError("two invitations have one serial")
    if len({key for each in invitations for key in (each.key, each.curve_key)}) < 2 * len(invitations):
        raise ConfigError("two invitations share a key")
    if any(each.curve_key in keys for each in invitations):
        raise ConfigError("an invitation has the key of a member")
    return invitations


def name_for(name: str, prefix: str, key: bytes) -> str:
    """Return `name`, or `prefix` with an end that is made of the CURVE public key `key`: the same one each time."""
    digest = base64.b32encode(hashlib.sha256(key).digest()).decode().lower()
    return name or prefix + digest[:_NAME_END_CHARS]


def _invite(terms: Terms, blob: bytes) -> Invitation:
    return Invitation(**{name: getattr(terms, name) for name in Terms.__struct_fields__}, blob=blob)
