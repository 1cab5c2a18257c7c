"""What the authority says about a token: who may be made a member with it, how many, and until when; signed.

The holder of a token certifies new members by itself, while the authority is offline: see enrolment.py. An invitation
stands in the manifest, and holds as long as it stands there. On the wire it is an Ed25519 signature (64 bytes) followed
by the MessagePack map of its `Terms`: see document.py.
"""

import base64
import hashlib
from collections.abc import Container, Iterable
from typing import Final

from braidmq.errors import ConfigError
from braidmq.members import NAME_BYTES_MAX, check_name
from braidmq.trust.certificate import SERIAL_MAX, TIME_MAX_S, check_net, check_patterns
from braidmq.trust.curve_key import check_curve_key
from braidmq.trust.document import Kind, Said
from braidmq.trust.signed import KEY_BYTES

DOMAIN: Final = b"BRAID/1 invitation\0"

INVITATIONS_MAX: Final = 256
"""Invitations of one net at a time: far more than there are kinds of machines that are made by machines."""

USES_MAX: Final = 4_096
"""Members that one token may make. What is stolen with it is bounded, and so is what brokers keep of it."""

USES_TOTAL_MAX: Final = 16_384
"""Members that all tokens of a net may make together: brokers keep, and tell each other, as many enrolments."""

IDLE_S_MAX: Final = 10 * 365 * 24 * 3600
"""Longest time that a member may be gone before it is dropped; 0 is the way to say never."""

INVITATION_BYTES_MAX: Final = 32 * 1024
"""Largest invitation with its signature: the most and longest patterns stay below it."""

_NAME_END_CHARS: Final = 10
"""How many characters of a key's digest end a name: 50 bits, so that not even all members of a net meet by chance."""

PREFIX_BYTES_MAX: Final = NAME_BYTES_MAX - _NAME_END_CHARS
"""Longest prefix: names that are made of keys fit behind it."""


class Terms(Said, frozen=True, kw_only=True, omit_defaults=True):
    """What a token is good for.

    Attributes:
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
    if not 1 <= terms.not_after <= TIME_MAX_S:
        raise ConfigError(f"a token must end between 1970 and the year 9999, not at {terms.not_after}")
    if not 0 <= terms.idle_s <= IDLE_S_MAX:
        raise ConfigError(f"members may be gone for 0 to {IDLE_S_MAX} seconds, not {terms.idle_s}")
    check_names(terms.name, terms.prefix)
    check_patterns("a token", terms.calls, terms.serves)


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
        raise ConfigError(f"there are {len(invitations)} invitations: {INVITATIONS_MAX} are allowed, so withdraw one")
    if sum(each.uses for each in invitations) > USES_TOTAL_MAX:
        raise ConfigError(f"the invitations may make more than {USES_TOTAL_MAX} members together: withdraw one")
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


_KIND = Kind(
    DOMAIN,
    "an invitation",
    Terms,
    Invitation,
    bytes_max=INVITATION_BYTES_MAX,
    check=check_terms,
    shown=lambda terms: f"invitation {terms.serial}",
)

issue, verify, covered = _KIND.issue, _KIND.verify, _KIND.covered
"""See Kind. Whether an invitation is still in force, only the registry knows."""
