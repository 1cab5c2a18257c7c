"""The signed list of every valid certificate of a net: its registry.

On the wire a manifest is an Ed25519 signature (64 bytes) followed by a MessagePack map of the net's id, the version,
the certificates and what else the authority says of the whole net. It can be rebuilt from its parts, so that whoever
has an older one needs no more than the difference (`Manifest.difference`): the same map with only the certificates that
are newer. Its signature covers all certificates, whose own ones are for those who see them alone.
"""

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from braidmq.errors import ConfigError, ProtocolError
from braidmq.members import NAME_BYTES_MAX, Role
from braidmq.trust import certificate, invitation, roster
from braidmq.trust.certificate import SERIAL_MAX, Certificate, check_net
from braidmq.trust.invitation import INVITATIONS_MAX, Invitation, check_invitations
from braidmq.trust.roster import Roster
from braidmq.trust.signed import KEY_BYTES, SIGNATURE_BYTES, open_signed, sign
from braidmq.wire.limits import BROKERS_MAX

DOMAIN: Final = b"BRAID/1 manifest\0"

MEMBERS_MAX: Final = 65_536
"""Members of one net: each takes about 4 us whenever a whole manifest is read."""

MANIFEST_BYTES_MAX: Final = 32 * 1024 * 1024
"""Largest manifest with its signature: 512 bytes for each of `MEMBERS_MAX`, about twice what a certificate takes."""

REMOVALS_MAX: Final = 1_000
"""Removals of names that a manifest tells of: whoever missed more needs all of it."""

REVOKED_MAX: Final = 10_000
"""Keys that are never to be accepted again: some 60 bytes each, in every manifest for good."""

SLICE: Final = 500
"""Certificates that are read at a stretch, in about 2 ms."""

_Name = Annotated[str, Meta(min_length=1, max_length=NAME_BYTES_MAX)]
_Version = Annotated[int, Meta(ge=0, le=SERIAL_MAX)]


class Removal(msgspec.Struct, frozen=True, array_like=True):
    """A name that some version of the registry has dropped."""

    version: _Version
    name: _Name


class Revocation(msgspec.Struct, frozen=True, array_like=True):
    """A key that is never to be accepted again, whose it was, and since which version."""

    version: _Version
    key: Annotated[bytes, Meta(min_length=KEY_BYTES, max_length=KEY_BYTES)]
    name: _Name


class Extras(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What a manifest says beside who is in the net.

    Attributes:
        removals: the newest names that were dropped, in the order of their versions.
        removals_since: all that were dropped after this version are among them.
        revoked: keys that are never to be accepted again.
        invitations: signed by the authority, as they travel (invitation.py).
    """

    removals: Annotated[tuple[Removal, ...], Meta(max_length=REMOVALS_MAX)] = ()
    removals_since: _Version = 0
    revoked: Annotated[tuple[Revocation, ...], Meta(max_length=REVOKED_MAX)] = ()
    invitations: Annotated[tuple[bytes, ...], Meta(max_length=INVITATIONS_MAX)] = ()


class _Payload(Extras, frozen=True, omit_defaults=True, kw_only=True):
    net: str
    version: _Version
    certificates: Annotated[tuple[bytes, ...], Meta(max_length=MEMBERS_MAX)]
    roster_version: _Version = 0
    roster_signature: bytes = b""


NOTHING_ELSE: Final = Extras()


@dataclass(frozen=True, slots=True)
class Manifest:
    """The valid certificates of a net; only `issue` and `verify` and `checked` make one.

    Attributes:
        net: the net's id.
        version: grows with each manifest of the net, from 0; the larger of two is the valid one.
        certificates: names and keys unique, sorted by name.
        extras: what it says beside.
        roster: the list of its brokers for nodes; None in a manifest that an older braidmq has issued.
        blob: the manifest as it travels: signature and payload, byte for byte as they were signed.
    """

    net: str
    version: int
    certificates: tuple[Certificate, ...] = field(repr=False)
    extras: Extras = field(repr=False)
    roster: Roster | None = field(repr=False)
    blob: bytes = field(repr=False)

    @property
    def brokers(self) -> tuple[Certificate, ...]:
        """The certificates of the net's brokers."""
        return tuple(each for each in self.certificates if each.role is Role.BROKER)

    def invited(self) -> tuple[Invitation, ...]:
        """Return its invitations."""
        return tuple(invitation.covered(each, self.net) for each in self.extras.invitations)

    def difference(self, since: int) -> bytes | None:
        """Return what whoever has the manifest of version `since` needs to make this one.

        None if it needs all of it: more was removed since than this one tells of.
        """
        if not self.extras.removals_since <= since <= self.version:
            return None
        newer = tuple(each.blob for each in self.certificates if each.serial > since)
        return self.blob[:SIGNATURE_BYTES] + msgspec.msgpack.encode(
            _payload(self.net, self.version, newer, self.extras, self.roster)
        )


_decoder = msgspec.msgpack.Decoder(_Payload)


def issue(
    net: str,
    version: int,
    certificates: Iterable[Certificate],
    seed: bytes,
    *,
    extras: Extras = NOTHING_ELSE,
    roster: Roster | None = None,
) -> Manifest:
    """Return the manifest of `certificates`, signed with the authority's `seed` (32 bytes).

    Args:
        net: the net's id.
        version: larger than that of every manifest of the net before.
        certificates: of all members.
        seed: the authority's secret.
        extras: what it is to say beside.
        roster: the list of the brokers among `certificates`.

    Raises:
        ConfigError: two certificates share a name or key, or a limit is exceeded.
    """
    certificates = tuple(sorted(certificates, key=lambda each: each.name))
    _check_head(net, version, len(certificates))
    seen = _Seen()
    for each in certificates:
        seen.add(each)
    _check_roster(certificates, roster)
    payload = _payload(net, version, tuple(each.blob for each in certificates), extras, roster)
    blob = sign(DOMAIN, msgspec.msgpack.encode(payload), seed)
    if len(blob) > MANIFEST_BYTES_MAX:
        raise ConfigError(f"the net is full: its manifest would exceed {MANIFEST_BYTES_MAX} bytes")
    _read(blob[SIGNATURE_BYTES:], net)  # the limits of its fields
    return Manifest(net, version, certificates, extras, roster, blob)


def nobody(net: str) -> Manifest:
    """Return what stands for the registry where none has been seen yet: version 0, without members."""
    return Manifest(net, 0, (), NOTHING_ELSE, None, bytes(SIGNATURE_BYTES))


def verify(blob: bytes, authority_key: bytes, net: str, base: Manifest | None = None) -> Manifest:
    """Return the manifest in `blob`, which may come from anyone; see `checked`."""
    checking = checked(blob, authority_key, net, base)
    while True:
        try:
            next(checking)
        except StopIteration as end:
            manifest: Manifest = end.value
            return manifest


def checked(
    blob: bytes, authority_key: bytes, net: str, base: Manifest | None = None
) -> Generator[None, None, Manifest]:
    """Return the manifest in `blob`, which may come from anyone; yields whenever others should have a turn.

    Args:
        blob: signature and payload; with a `base`, the difference from there.
        authority_key: the Ed25519 public key of the net's authority, 32 bytes.
        net: the id of the net that the manifest must be for.
        base: what `blob` is the difference from; None if it is whole.

    Raises:
        ProtocolError: it is not a manifest that the authority signed for this net, or breaks a rule.
    """
    if not SIGNATURE_BYTES < len(blob) <= MANIFEST_BYTES_MAX:
        raise ProtocolError(f"a manifest cannot be {len(blob)} bytes long")
    try:
        manifest = yield from _checked(blob, authority_key, net, base)
    except (ProtocolError, msgspec.MsgspecError, ValueError, RecursionError) as error:  # a ConfigError is a ValueError
        raise ProtocolError(f"not a manifest: {error}") from None
    return manifest


def names_unverified(blob: bytes) -> tuple[str, ...]:
    """Return whom a manifest lists whose signature can no longer be checked, as the authority's key is lost.

    Raises:
        ProtocolError: it is no manifest.
    """
    try:
        payload = _decoder.decode(blob[SIGNATURE_BYTES:])
        return tuple(certificate.covered(each, payload.net).name for each in payload.certificates)
    except (ProtocolError, msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ProtocolError(f"not a manifest: {error}") from None


def _checked(blob: bytes, authority_key: bytes, net: str, base: Manifest | None) -> Generator[None, None, Manifest]:
    known = {} if base is None else {each.blob: each for each in base.certificates}
    if base is None:
        payload = _read(open_signed(DOMAIN, blob, authority_key), net)
    else:
        payload = yield from _completed(_read(blob[SIGNATURE_BYTES:], net), base)
        yield
        blob = blob[:SIGNATURE_BYTES] + msgspec.msgpack.encode(payload)
        if len(blob) > MANIFEST_BYTES_MAX:
            raise ProtocolError(f"it cannot be {len(blob)} bytes long")
        yield
        open_signed(DOMAIN, blob, authority_key)
    yield
    _check_head(net, payload.version, len(payload.certificates))
    seen = _Seen()
    certificates: list[Certificate] = []
    for number, each in enumerate(payload.certificates, 1):
        found = known.get(each) or certificate.covered(each, net)
        seen.add(found)
        certificates.append(found)
        if number % SLICE == 0:
            yield
    check_invitations(invitation.covered(each, net) for each in payload.invitations)
    listed = None
    if payload.roster_version:
        brokers = [each for each in certificates if each.role is Role.BROKER]
        listed = roster.rebuild(net, payload.roster_version, brokers, payload.roster_signature)
        roster.verify(listed.blob, authority_key, net)
    extras = Extras(**{name: getattr(payload, name) for name in Extras.__struct_fields__})
    return Manifest(net, payload.version, tuple(certificates), extras, listed, blob)


def _read(data: bytes, net: str) -> _Payload:
    payload = _decoder.decode(data)
    if payload.net != net:
        raise ProtocolError(f"it is for net {payload.net[:40]!r}, not {net}")
    return payload


def _completed(difference: _Payload, base: Manifest) -> Generator[None, None, _Payload]:
    """Return the whole payload of which `difference` tells what is not in `base`; nobody has signed it so far."""
    gone = {each.name for each in difference.removals if each.version > base.version}
    names = {each.name: each.blob for each in base.certificates if each.name not in gone}
    for number, blob in enumerate(difference.certificates, 1):
        names[certificate.covered(blob, base.net).name] = blob
        if number % SLICE == 0:
            yield
    return msgspec.structs.replace(difference, certificates=tuple(names[name] for name in sorted(names)))


def _payload(net: str, version: int, certificates: Sequence[bytes], extras: Extras, roster: Roster | None) -> _Payload:
    return _Payload(
        net=net,
        version=version,
        certificates=tuple(certificates),
        **{name: getattr(extras, name) for name in Extras.__struct_fields__},
        roster_version=0 if roster is None else roster.version,
        roster_signature=b"" if roster is None else roster.signature,
    )


class _Seen:
    """The names and keys of a manifest so far: none may come twice. Names come in their order."""

    __slots__ = ("_brokers", "_keys", "_name")

    def __init__(self) -> None:
        self._name = ""
        self._keys: set[bytes] = set()
        self._brokers = 0

    def add(self, member: Certificate) -> None:
        if member.name == self._name:
            raise ConfigError(f"two members are named {member.name!r}")
        if member.name < self._name:
            raise ConfigError(f"{member.name!r} stands behind {self._name!r}: it is not sorted by name")
        if not self._keys.isdisjoint(member.keys):
            raise ConfigError(f"{member.name!r} has the key of another member")
        self._brokers += member.role is Role.BROKER
        if self._brokers > BROKERS_MAX:
            raise ConfigError(f"the net is full: it has {BROKERS_MAX} brokers")
        self._name = member.name
        self._keys.update(member.keys)


def _check_head(net: str, version: int, members: int) -> None:
    check_net(net)
    if not 0 <= version <= SERIAL_MAX:
        raise ConfigError(f"a manifest's version must be from 0 to 2^63 - 1, not {version}")
    if members > MEMBERS_MAX:
        raise ConfigError(f"the net is full: it has {MEMBERS_MAX} members")


def _check_roster(certificates: tuple[Certificate, ...], roster: Roster | None) -> None:
    if roster is not None and roster.brokers != tuple(each for each in certificates if each.role is Role.BROKER):
        raise ConfigError("the list of brokers for nodes is not that of the manifest")
