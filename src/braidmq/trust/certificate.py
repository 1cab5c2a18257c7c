"""What the authority says about one member, signed.

On the wire a certificate is an Ed25519 signature (64 bytes) followed by the MessagePack map of its `Claims`: see
document.py.
"""

import re
from typing import Final

from braidmq.errors import ConfigError
from braidmq.members import Member, Role, check_name, check_pattern
from braidmq.trust.document import Kind, Said
from braidmq.trust.endpoint import check_endpoint
from braidmq.trust.signed import KEY_BYTES

DOMAIN: Final = b"BRAID/1 certificate\0"

KEYS_MAX: Final = 2
"""Keys of one member: the valid one, and while rotating its successor."""

PATTERNS_MAX: Final = 64
"""Patterns in `calls` and in `serves`: a broker tries them one after the other for a service it sees first."""

ENDPOINTS_MAX: Final = 8
"""Endpoints of one broker: every node tries each of them."""

SERIAL_MAX: Final = 2**63 - 1
"""Largest serial and manifest version: an int64 in every language."""

TIME_MAX_S: Final = 253_402_300_799
"""The last second of the year 9999, as a Unix time: what lies beyond cannot be told as a date."""

CERTIFICATE_BYTES_MAX: Final = 32 * 1024
"""Largest certificate with its signature: every limit above together with the longest texts stays below it."""

_NET = re.compile(r"[0-9a-f]{16}\Z")


class Claims(Said, frozen=True, kw_only=True, omit_defaults=True):
    """What the authority says about one member.

    Attributes:
        serial: grows with each change of the registry that issues certificates, 1 to `SERIAL_MAX`.
        name: unique in the net.
        role: broker or node.
        keys: the member's CURVE public keys, 32 bytes each; two while they are being rotated, the newer one last.
        calls: patterns of the services it may call; none for a broker.
        serves: patterns of the services it may provide; none for a broker.
        observe: whether it may read the status of brokers.
        endpoints: where a broker can be reached, 1 to `ENDPOINTS_MAX`; none for a node.
        publish: whether it may hand a newer registry to brokers.
        not_after: the Unix time in seconds at which the certificate ends; 0 if it does not.
        old_key_until: the Unix time in seconds until which the older of two keys holds; 0 if that is until it is taken
            away.
        operate: whether it may drain brokers, and take nodes out of work.
    """

    serial: int
    name: str
    role: Role
    keys: tuple[bytes, ...]
    calls: tuple[str, ...] = ()
    serves: tuple[str, ...] = ()
    observe: bool = False
    endpoints: tuple[str, ...] = ()
    publish: bool = False
    not_after: int = 0
    old_key_until: int = 0
    operate: bool = False


class Certificate(Claims, frozen=True, kw_only=True):
    """Claims that the authority has signed; only `issue`, `verify` and `covered` make one.

    Attributes:
        blob: the certificate as it travels: signature and payload, byte for byte as they were signed.
    """

    blob: bytes

    @property
    def principals(self) -> tuple[str, ...]:
        """The member's keys in lower-case hex, as `members.Directory` knows them."""
        return tuple(key.hex() for key in self.keys)

    @property
    def member(self) -> Member:
        """The member as the cores see it, free of keys."""
        return Member(
            name=self.name,
            role=self.role,
            calls=self.calls,
            serves=self.serves,
            observe=self.observe,
            publish=self.publish,
            operate=self.operate,
        )

    def ended(self, unix_s: float) -> bool:
        """Whether it is no longer valid at a Unix time."""
        return 0 < self.not_after <= unix_s

    def valid_keys(self, unix_s: float) -> tuple[bytes, ...]:
        """Return those of its keys that hold at a Unix time."""
        if len(self.keys) > 1 and 0 < self.old_key_until <= unix_s:
            return self.keys[1:]
        return self.keys


def check_net(net: str) -> str:
    """Return `net` if it can be the id of a net, else raise ConfigError."""
    if not _NET.match(net):
        raise ConfigError(f"{net[:40]!r} is not the id of a net: it has 16 lower-case hex digits")
    return net


def check_claims(claims: Claims) -> None:
    """Raise ConfigError with one line if a claim breaks the rules."""
    check_net(claims.net)
    check_name(claims.name)
    if not 1 <= claims.serial <= SERIAL_MAX:
        raise ConfigError(f"{claims.name!r}: a serial must be from 1 to 2^63 - 1, not {claims.serial}")
    if not 1 <= len(claims.keys) <= KEYS_MAX or len(set(claims.keys)) < len(claims.keys):
        raise ConfigError(f"{claims.name!r} must have 1 to {KEYS_MAX} different keys")
    if any(len(key) != KEY_BYTES for key in claims.keys):
        raise ConfigError(f"{claims.name!r} has a key that is not {KEY_BYTES} bytes long")
    _check_ends(claims)
    check_patterns(repr(claims.name), claims.calls, claims.serves)
    if claims.role is Role.BROKER:
        if not 1 <= len(claims.endpoints) <= ENDPOINTS_MAX:
            raise ConfigError(f"broker {claims.name!r} must have 1 to {ENDPOINTS_MAX} endpoints")
        if claims.calls or claims.serves:
            raise ConfigError(f"broker {claims.name!r} must not call or serve: it only carries requests")
        if claims.observe or claims.publish or claims.operate:
            raise ConfigError(f"broker {claims.name!r} must neither observe nor publish nor operate: nodes do")
        for endpoint in claims.endpoints:
            check_endpoint(endpoint)
    elif claims.endpoints:
        raise ConfigError(f"node {claims.name!r} must not have endpoints: it connects to brokers")


def check_patterns(whose: str, *kinds: tuple[str, ...]) -> None:
    """Raise ConfigError with one line if `whose` patterns of some kind are too many, or one of them is none."""
    for patterns in kinds:
        if len(patterns) > PATTERNS_MAX:
            raise ConfigError(f"{whose} has {len(patterns)} patterns of a kind: {PATTERNS_MAX} are allowed")
        for pattern in patterns:
            check_pattern(pattern)


def _check_ends(claims: Claims) -> None:
    for until in (claims.not_after, claims.old_key_until):
        if not 0 <= until <= TIME_MAX_S:
            raise ConfigError(f"{claims.name!r}: nothing can end at {until}: that is no Unix time")
    if claims.old_key_until and len(claims.keys) == 1:
        raise ConfigError(f"{claims.name!r} has no second key that could end")


_KIND = Kind(
    DOMAIN,
    "a certificate",
    Claims,
    Certificate,
    bytes_max=CERTIFICATE_BYTES_MAX,
    check=check_claims,
    shown=lambda claims: f"the certificate of {claims.name!r}",
)

issue, verify, covered = _KIND.issue, _KIND.verify, _KIND.covered
"""See Kind."""
