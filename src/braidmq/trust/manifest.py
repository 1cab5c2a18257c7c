"""The signed list of every valid certificate of a net.

On the wire a manifest is an Ed25519 signature (64 bytes) followed by a MessagePack map of the net's id, the version and
the certificates (each with its own signature). Unknown fields of a newer version are skipped.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

import msgspec

from braidmq.errors import ConfigError, ProtocolError
from braidmq.members import Role
from braidmq.trust import certificate
from braidmq.trust.certificate import SERIAL_MAX, Certificate, check_net
from braidmq.trust.signed import SIGNATURE_BYTES, open_signed, sign
from braidmq.wire.limits import BROKERS_MAX

DOMAIN: Final = b"BRAID/1 manifest\0"

MEMBERS_MAX: Final = 65_536
"""Members of one net: each costs one signature check (about 40 us) whenever a manifest is read."""

MANIFEST_BYTES_MAX: Final = 32 * 1024 * 1024
"""Largest manifest with its signature: 512 bytes for each of `MEMBERS_MAX`, about twice what a certificate takes."""


class _Payload(msgspec.Struct, frozen=True):
    net: str
    version: int
    certificates: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """The valid certificates of a net; only `issue` and `verify` make one.

    Attributes:
        net: the net's id.
        version: grows with each manifest of the net, from 0; the larger of two is the valid one.
        certificates: verified, names and keys unique, sorted as they were signed.
        blob: the manifest as it travels: signature and payload, byte for byte as they were signed.
    """

    net: str
    version: int
    certificates: tuple[Certificate, ...] = field(repr=False)
    blob: bytes = field(repr=False)

    @property
    def brokers(self) -> tuple[Certificate, ...]:
        """The certificates of the net's brokers."""
        return tuple(each for each in self.certificates if each.role is Role.BROKER)


_decoder = msgspec.msgpack.Decoder(_Payload)


def issue(net: str, version: int, certificates: Iterable[Certificate], seed: bytes) -> Manifest:
    """Return the manifest of `certificates`, signed with the authority's `seed` (32 bytes).

    Raises:
        ConfigError: two certificates share a name or key, or a limit is exceeded.
    """
    certificates = tuple(sorted(certificates, key=lambda each: each.name))
    _check(net, version, certificates)
    payload = msgspec.msgpack.encode(_Payload(net, version, tuple(each.blob for each in certificates)))
    if SIGNATURE_BYTES + len(payload) > MANIFEST_BYTES_MAX:
        raise ConfigError(f"the net is full: its manifest would exceed {MANIFEST_BYTES_MAX} bytes")
    return Manifest(net, version, certificates, sign(DOMAIN, payload, seed))


def verify(blob: bytes, authority_key: bytes, net: str) -> Manifest:
    """Return the manifest in `blob`, which may come from anyone.

    Args:
        blob: signature and payload.
        authority_key: the Ed25519 public key of the net's authority, 32 bytes.
        net: the id of the net that the manifest must be for.

    Raises:
        ProtocolError: `blob` is not a manifest that the authority signed for this net, or breaks a rule.
    """
    if not SIGNATURE_BYTES < len(blob) <= MANIFEST_BYTES_MAX:
        raise ProtocolError(f"a manifest cannot be {len(blob)} bytes long")
    try:
        payload = _decoder.decode(open_signed(DOMAIN, blob, authority_key))
        certificates = _verify_certificates(payload, authority_key, net)
        _check(net, payload.version, certificates)
    except (ProtocolError, msgspec.MsgspecError, ValueError, RecursionError) as error:  # a ConfigError is a ValueError
        raise ProtocolError(f"not a manifest: {error}") from None
    return Manifest(net, payload.version, certificates, blob)


def _verify_certificates(payload: _Payload, authority_key: bytes, net: str) -> tuple[Certificate, ...]:
    if payload.net != net:
        raise ProtocolError(f"it is for net {payload.net[:40]!r}, not {net}")
    if len(payload.certificates) > MEMBERS_MAX:
        raise ProtocolError(f"it has {len(payload.certificates)} members: {MEMBERS_MAX} are allowed")
    return tuple(_verify_once(each, authority_key, net) for each in payload.certificates)


_verify_once = lru_cache(MEMBERS_MAX)(certificate.verify)
"""A broker reads a manifest anew whenever a member is added; only what is new in it costs a verification."""


def _check(net: str, version: int, certificates: tuple[Certificate, ...]) -> None:
    check_net(net)
    if not 0 <= version <= SERIAL_MAX:
        raise ConfigError(f"a manifest's version must be from 0 to 2^63 - 1, not {version}")
    if len(certificates) > MEMBERS_MAX:
        raise ConfigError(f"the net is full: it has {MEMBERS_MAX} members")
    if sum(each.role is Role.BROKER for each in certificates) > BROKERS_MAX:
        raise ConfigError(f"the net is full: it has {BROKERS_MAX} brokers")
    names: set[str] = set()
    keys: set[bytes] = set()
    for each in certificates:
        if each.name in names:
            raise ConfigError(f"two members are named {each.name!r}")
        if not keys.isdisjoint(each.keys):
            raise ConfigError(f"{each.name!r} has the key of another member")
        names.add(each.name)
        keys.update(each.keys)
