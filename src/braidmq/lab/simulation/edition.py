"""Registries of the simulated net, as they travel. Whoever knows no secret of the authority's cannot make one.

A signature is a digest of what is signed and of that secret. It covers a whole registry, and a difference is the same
registry without the members that its reader has, as the real one is (trust/manifest.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import Final

import msgspec

from braidmq.core.links.link import BrokerAddress
from braidmq.errors import ProtocolError
from braidmq.lab.simulation.registry import address_of, principal_of
from braidmq.members import Member, Role
from braidmq.wire.registry import DIGEST_BYTES

NET: Final = "this net"

REMOVALS_MAX: Final = 4
"""Removals that a registry tells of: few, so that some brokers miss more of them, and need all of it."""

_SECRET: Final = b"nobody but the authority knows it"


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """A member, and since which version the registry has it so."""

    name: str
    serial: int
    role: Role
    calls: tuple[str, ...]
    serves: tuple[str, ...]
    publish: bool

    @property
    def member(self) -> Member:
        """As cores see it."""
        return Member(self.name, self.role, self.calls, self.serves, publish=self.publish)


class Payload(msgspec.Struct, frozen=True):
    """What is signed.

    Attributes:
        entries: the members, by their names; of a difference only the newer ones.
        removals: names that were dropped, each with the version that dropped it.
        removals_since: all that were dropped after this version are among them.
        roster: the version at which the brokers changed last.
    """

    net: str
    version: int
    entries: tuple[Entry, ...]
    removals: tuple[tuple[int, str], ...] = ()
    removals_since: int = 0
    roster: int = 0


class Listed(msgspec.Struct, frozen=True):
    """The list of the brokers for nodes, as it is signed: names and serials."""

    net: str
    version: int
    brokers: tuple[tuple[str, int], ...]


class Certified(msgspec.Struct, frozen=True):
    """A member's own certificate, as it is signed."""

    net: str
    name: str
    serial: int


_decoder = msgspec.msgpack.Decoder(Payload)


def sign(what: msgspec.Struct) -> bytes:
    """Return what is signed by the authority, as it travels."""
    data = msgspec.msgpack.encode(what)
    return _signature(data) + data


def open_signed(blob: bytes) -> bytes:
    """Return what the authority has signed. Raises ProtocolError."""
    data = blob[DIGEST_BYTES:]
    if blob[:DIGEST_BYTES] != _signature(data):
        raise ProtocolError("the authority of this net has not signed it")
    return data


class Edition:
    """One registry.

    Attributes:
        payload: what it says.
        blob: all of it, as it travels.
        version: see Payload.
        digest: tells it from another one of the same version.
        brokers: where they are.
        roster: the list of brokers, with its version, as nodes get it.
    """

    __slots__ = ("_members", "blob", "brokers", "digest", "payload", "roster", "version")

    def __init__(self, payload: Payload) -> None:
        self.payload = payload
        self.version = payload.version
        self.blob = sign(payload)
        self.digest = self.blob[:DIGEST_BYTES]
        self._members = {principal_of(each.name): (each.serial, each.member) for each in payload.entries}
        self.brokers: list[BrokerAddress] = [
            address_of(each.name, each.serial) for each in payload.entries if each.role is Role.BROKER
        ]
        listed = Listed(NET, payload.roster, tuple((each.name, each.serial) for each in self.brokers))
        self.roster = (payload.roster, sign(listed))

    def __len__(self) -> int:
        """Return how many members there are."""
        return len(self._members)

    def has(self, name: str) -> bool:
        """Whether a member has this name."""
        return principal_of(name) in self._members

    def member(self, principal: str) -> Member | None:
        """Return the member with a key, or None (see Directory)."""
        found = self._members.get(principal)
        return None if found is None else found[1]

    def certificate(self, principal: str) -> tuple[int, bytes] | None:
        """Return the serial and the certificate of the member with a key, or None."""
        found = self._members.get(principal)
        return None if found is None else (found[0], sign(Certified(NET, found[1].name, found[0])))

    def since(self, version: int) -> tuple[int, bytes]:
        """Return it for whoever has an older one (see Edition in core/registry/ledger.py)."""
        payload = self.payload
        if not version or not payload.removals_since <= version <= self.version:
            return 0, self.blob
        newer = tuple(each for each in payload.entries if each.serial > version)
        return version, self.digest + msgspec.msgpack.encode(msgspec.structs.replace(payload, entries=newer))


def read(blob: bytes, base: Edition | None) -> Edition:
    """Return the registry in `blob`, which may come from anyone.

    Args:
        blob: a registry, or, with a `base`, the difference from there.
        base: what it is the difference from; None if it is whole.

    Raises:
        ProtocolError: it is no registry of this net.
    """
    try:
        payload = _decoder.decode(blob[DIGEST_BYTES:])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ProtocolError(f"not a registry: {error}") from None
    if payload.net != NET:
        raise ProtocolError(f"it is for {payload.net[:40]!r}")
    if base is not None:
        payload = _completed(payload, base)
    check_signature(blob[:DIGEST_BYTES], payload)
    return Edition(payload)


def check_signature(signature: bytes, payload: Payload) -> None:
    """Raise ProtocolError unless the authority has signed this."""
    if signature != _signature(msgspec.msgpack.encode(payload)):
        raise ProtocolError("the signature is not valid")


def _completed(difference: Payload, base: Edition) -> Payload:
    """Return all of a registry of which `difference` tells what `base` has not."""
    gone = {name for version, name in difference.removals if version > base.version}
    entries = {each.name: each for each in base.payload.entries if each.name not in gone}
    entries |= {each.name: each for each in difference.entries}
    return msgspec.structs.replace(difference, entries=_ordered(entries.values()))


def _ordered(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    return tuple(sorted(entries, key=lambda each: each.name))


def _signature(data: bytes) -> bytes:
    return sha256(_SECRET + data).digest()[:DIGEST_BYTES]


class Authority:
    """Makes one registry after the other.

    Attributes:
        editions: all that there were; the last one is the newest.

    Args:
        members: of the first one.
        on_issued: is called with each.
    """

    def __init__(self, members: Iterable[Member], on_issued: Callable[[Edition], None]) -> None:
        self.editions: list[Edition] = []
        self._on_issued = on_issued
        self.change(add=members)

    @property
    def newest(self) -> Edition:
        """The newest registry."""
        return self.editions[-1]

    def member(self, name: str) -> Member | None:
        """Return the member with this name in the newest registry, or None."""
        return self.newest.member(principal_of(name))

    def change(self, *, add: Iterable[Member] = (), remove: Iterable[str] = ()) -> Edition:
        """Make the next registry: some members come, or come to have other rights, and others go."""
        before = self.editions[-1].payload if self.editions else Payload(NET, 0, ())
        version, gone, come = before.version + 1, tuple(remove), tuple(add)
        entries = {each.name: each for each in before.entries if each.name not in gone}
        entries |= {
            each.name: Entry(each.name, version, each.role, each.calls, each.serves, each.publish) for each in come
        }
        removals = (*before.removals, *((version, name) for name in gone))
        since = before.removals_since
        if len(removals) > REMOVALS_MAX:
            since = removals[-REMOVALS_MAX - 1][0]
            removals = tuple(each for each in removals if each[0] > since)
        changed = {each.name for each in before.entries if each.role is Role.BROKER and each.name in gone}
        changed |= {each.name for each in come if each.role is Role.BROKER}
        roster = version if changed else before.roster
        edition = Edition(Payload(NET, version, _ordered(entries.values()), removals, since, roster))
        self.editions.append(edition)
        self._on_issued(edition)
        return edition
