"""The signed, versioned list of a net's brokers: what a node judges brokers by.

On the wire a roster is an Ed25519 signature (64 bytes) followed by the MessagePack map of the net's id, the version and
the brokers' certificates, sorted by name. It can be rebuilt from a manifest, which carries its version and signature.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import msgspec

from braidmq.errors import ConfigError, ProtocolError
from braidmq.members import Role
from braidmq.trust import certificate
from braidmq.trust.certificate import SERIAL_MAX, Certificate, check_net
from braidmq.trust.signed import SIGNATURE_BYTES, open_signed, sign
from braidmq.wire.limits import BROKERS_MAX

DOMAIN: Final = b"BRAID/1 roster\0"

ROSTER_BYTES_MAX: Final = 4 * 1024 * 1024
"""Largest roster with its signature: 10,000 brokers of one endpoint each stay below it."""


class _Payload(msgspec.Struct, frozen=True):
    net: str
    version: int
    certificates: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Roster:
    """The brokers of a net; only `issue`, `rebuild` and `verify` make one.

    Attributes:
        net: the net's id.
        version: that of the registry in which the brokers changed last; the larger of two rosters is the valid one.
        brokers: their certificates, names unique, sorted by name.
        signature: the authority's.
        blob: the roster as it travels: signature and payload.
    """

    net: str
    version: int
    brokers: tuple[Certificate, ...] = field(repr=False)
    signature: bytes = field(repr=False)
    blob: bytes = field(repr=False)


_decoder = msgspec.msgpack.Decoder(_Payload)


def issue(net: str, version: int, brokers: Iterable[Certificate], seed: bytes) -> Roster:
    """Return the roster of `brokers`, signed with the authority's `seed` (32 bytes).

    Raises:
        ConfigError: a certificate is not a broker's, two share a name, or a limit is exceeded.
    """
    brokers = tuple(sorted(brokers, key=lambda each: each.name))
    _check(net, version, brokers)
    blob = sign(DOMAIN, _encode(net, version, brokers), seed)
    if len(blob) > ROSTER_BYTES_MAX:
        raise ConfigError(f"the net is full: the list of its brokers would exceed {ROSTER_BYTES_MAX} bytes")
    return Roster(net, version, brokers, blob[:SIGNATURE_BYTES], blob)


def rebuild(net: str, version: int, brokers: Iterable[Certificate], signature: bytes) -> Roster:
    """Return the roster of which a manifest tells the version and the signature, which whoever gets it verifies."""
    brokers = tuple(sorted(brokers, key=lambda each: each.name))
    return Roster(net, version, brokers, signature, signature + _encode(net, version, brokers))


def verify(blob: bytes, authority_key: bytes, net: str) -> Roster:
    """Return the roster in `blob`, which may come from anyone.

    Args:
        blob: signature and payload.
        authority_key: the Ed25519 public key of the net's authority, 32 bytes.
        net: the id of the net that the roster must be for.

    Raises:
        ProtocolError: `blob` is not a roster that the authority signed for this net, or breaks a rule.
    """
    if not SIGNATURE_BYTES < len(blob) <= ROSTER_BYTES_MAX:
        raise ProtocolError(f"a roster cannot be {len(blob)} bytes long")
    try:
        payload = _decoder.decode(open_signed(DOMAIN, blob, authority_key))
        _check_payload(payload, net)
        brokers = tuple(certificate.covered(each, net) for each in payload.certificates)
        _check(net, payload.version, brokers)
    except (ProtocolError, msgspec.MsgspecError, ValueError, RecursionError) as error:  # a ConfigError is a ValueError
        raise ProtocolError(f"not a roster: {error}") from None
    return Roster(net, payload.version, brokers, blob[:SIGNATURE_BYTES], blob)


def _encode(net: str, version: int, brokers: tuple[Certificate, ...]) -> bytes:
    return msgspec.msgpack.encode(_Payload(net, version, tuple(each.blob for each in brokers)))


def _check_payload(payload: _Payload, net: str) -> None:
    if payload.net != net:
        raise ProtocolError(f"it is for net {payload.net[:40]!r}, not {net}")
    if len(payload.certificates) > BROKERS_MAX:
        raise ProtocolError(f"it has {len(payload.certificates)} brokers: {BROKERS_MAX} are allowed")


def _check(net: str, version: int, brokers: tuple[Certificate, ...]) -> None:
    check_net(net)
    if not 1 <= version <= SERIAL_MAX:
        raise ConfigError(f"a roster's version must be from 1 to 2^63 - 1, not {version}")
    if len(brokers) > BROKERS_MAX:
        raise ConfigError(f"the net is full: it has {BROKERS_MAX} brokers")
    if any(each.role is not Role.BROKER for each in brokers):
        raise ConfigError("a roster names a node")
    if len({each.name for each in brokers}) < len(brokers):
        raise ConfigError("a roster names a broker twice")
