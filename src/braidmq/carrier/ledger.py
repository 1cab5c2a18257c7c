"""The registry that is in force at a broker: its Credentials (core/broker/registrar.py), and its Directory."""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, Self, cast

from braidmq.carrier.roll import TokenRoll
from braidmq.carrier.trusted import address_of
from braidmq.core.links.link import BrokerAddress
from braidmq.core.registry.ledger import Candidate
from braidmq.members import Member, Standing
from braidmq.trust import manifest as manifests
from braidmq.trust.invitation import Invitation
from braidmq.trust.manifest import Manifest
from braidmq.trust.registry import Registry
from braidmq.trust.signed import SIGNATURE_BYTES
from braidmq.wire.registry import DIGEST_BYTES, CertificateIs
from braidmq.wire.registry_status import ClaimStatus, SeenStatus, TokenStatus

REMOVED_MAX: Final = 1_000
"""Keys of members that were removed while this broker ran: whoever still comes with one is told so."""


def digest_of(manifest: Manifest) -> bytes:
    """Return what tells a registry from others with the same version."""
    return blake2b(manifest.blob[:SIGNATURE_BYTES], digest_size=DIGEST_BYTES).digest()


def since(manifest: Manifest, version: int) -> tuple[int, bytes]:
    """Return a registry as it is handed on to whoever has an older version of it (see Edition)."""
    difference = manifest.difference(version) if version else None
    return (0, manifest.blob) if difference is None else (version, difference)


@dataclass(frozen=True, slots=True)
class Checked:
    """A registry that has been checked, and the invitations in it (see Candidate).

    Attributes:
        registry: the members.
        invitations: whose tokens make members.
    """

    registry: Registry
    invitations: tuple[Invitation, ...]

    @classmethod
    def of(cls, manifest: Manifest) -> Self:
        """Make a registry ready whose signature was checked: of 10,000 members in some 20 ms, for any thread."""
        return cls(Registry(manifest), manifest.invited())

    @property
    def version(self) -> int:
        """See Candidate."""
        return self.registry.version


class NetLedger:
    """See Credentials.

    Attributes:
        registry: what is in force.
        roll: who was enrolled by tokens.

    Args:
        manifest: what is in force at first.
        authority_key: the Ed25519 public key of the net's authority, 32 bytes.
        on_adopted: is called when a newer one is in force that has come through the net.
        unix_s: what time it is.
    """

    def __init__(
        self, manifest: Manifest, authority_key: bytes, on_adopted: Callable[[], object], unix_s: float
    ) -> None:
        self.roll = TokenRoll()
        self._authority_key = authority_key
        self._on_adopted = on_adopted
        self._unix_s = unix_s
        self._removed: dict[str, None] = {}
        checked = Checked.of(manifest)
        self.registry = checked.registry
        self._use(checked)

    def install(self, checked: Checked) -> None:
        """Put a registry in force that has come from a file."""
        self._use(checked)

    def _use(self, checked: Checked) -> None:
        known, registry = self.registry, checked.registry
        for each in registry.manifest.extras.removals:
            gone = known.certificate(each.name) if each.version > known.version else None
            for principal in () if gone is None else gone.principals:
                self._removed[principal] = None
        while len(self._removed) > REMOVED_MAX:
            del self._removed[next(iter(self._removed))]
        self.registry = registry
        self._digest = digest_of(registry.manifest)
        self._addresses = [address_of(each) for each in registry.brokers]
        self.roll.use(checked.invitations, registry, self._unix_s)

    def review(self, unix_s: float) -> bool:
        """Look what has expired by a time of the net; return whether anything is as it was not before."""
        self._unix_s = unix_s
        return self.registry.review(unix_s)

    # -- see Directory

    def member(self, principal: str) -> Member | None:
        """Look a key up: that of a member, of one that a token has made, or of a token."""
        return self.registry.member(principal) or self.roll.member(principal)

    def standing(self, principal: str) -> Standing:
        """Say how a key stands."""
        if self.roll.member(principal) is not None:
            return Standing.MEMBER
        found = self.registry.standing(principal)
        if found is Standing.UNKNOWN and principal in self._removed:
            return Standing.REMOVED
        return found

    # -- see Ledger

    @property
    def version(self) -> int:
        """See Ledger."""
        return self.registry.version

    @property
    def digest(self) -> bytes:
        """See Ledger."""
        return self._digest

    @property
    def brokers(self) -> tuple[str, ...]:
        """See Ledger."""
        return tuple(each.name for each in self.registry.brokers)

    def since(self, version: int) -> tuple[int, bytes]:
        """See Ledger."""
        return since(self.registry.manifest, version)

    def check(self, data: bytes, since: int) -> Generator[None, None, Candidate]:
        """See Ledger."""
        base = self.registry.manifest
        manifest = yield from manifests.checked(data, self._authority_key, base.net, base if since else None)
        registry = yield from Registry.filled(manifest)
        return Checked(registry, manifest.invited())

    def adopt(self, candidate: Candidate, source: str, now: float) -> None:
        """See Ledger."""
        del source, now
        self._use(cast("Checked", candidate))
        self._on_adopted()

    # -- see Listed

    @property
    def members_total(self) -> int:
        """See Listed."""
        return len(self.registry.manifest.certificates)

    def ending(self, after_s: float, until_s: float) -> list[tuple[int, str]]:
        """See Endings."""
        return self.registry.ending(after_s, until_s)

    def tokens(self, unix_s: float) -> list[TokenStatus]:
        """See Listed."""
        return self.roll.tokens(unix_s)

    def enrolled(self, unix_s: float, most: int) -> tuple[list[SeenStatus], int]:
        """See Listed."""
        return self.roll.enrolled(unix_s, most)

    def claims(self, name: str, unix_s: float, most: int) -> list[ClaimStatus]:
        """See Listed."""
        return self.roll.claims(name, unix_s, most)

    # -- see Credentials

    def has(self, name: str) -> bool:
        """See Credentials."""
        return name in self.registry.names or self.roll.has(name)

    @property
    def addresses(self) -> list[BrokerAddress]:
        """See Credentials."""
        return self._addresses

    @property
    def roster(self) -> tuple[int, bytes]:
        """See Credentials."""
        roster = self.registry.manifest.roster
        return (0, b"") if roster is None else (roster.version, roster.blob)

    def certificate(self, principal: str) -> tuple[int, CertificateIs] | None:
        """See Credentials."""
        found = self.registry.holder(principal)
        if found is not None:
            return found.serial, CertificateIs(found.blob)
        enrolled = self.roll.enrolment(principal)
        return None if enrolled is None else (enrolled.serial, CertificateIs(enrolled.blob, enrolled.invitation.blob))
