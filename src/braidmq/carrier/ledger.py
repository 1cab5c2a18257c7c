"""The registry that is in force at a broker: its Credentials (core/broker/registrar.py), and its Directory."""

from collections.abc import Callable, Generator
from hashlib import blake2b
from typing import cast

from braidmq.carrier.trusted import address_of
from braidmq.core.links.link import BrokerAddress
from braidmq.core.registry.ledger import Candidate
from braidmq.members import Member
from braidmq.trust import manifest as manifests
from braidmq.trust.registry import Registry
from braidmq.trust.signed import SIGNATURE_BYTES
from braidmq.wire.registry import DIGEST_BYTES, CertificateIs


class NetLedger:
    """See Credentials.

    Attributes:
        registry: what is in force.

    Args:
        registry: what is in force at first.
        authority_key: the Ed25519 public key of the net's authority, 32 bytes.
        on_adopted: is called when a newer one is in force that has come through the net.
    """

    def __init__(self, registry: Registry, authority_key: bytes, on_adopted: Callable[[], object]) -> None:
        self.registry = registry
        self._authority_key = authority_key
        self._on_adopted = on_adopted
        self._addresses: list[BrokerAddress] = []
        self._digest = b""
        self.install(registry)

    def install(self, registry: Registry) -> None:
        """Put a registry in force that has come from a file."""
        self.registry = registry
        self._digest = blake2b(registry.manifest.blob[:SIGNATURE_BYTES], digest_size=DIGEST_BYTES).digest()
        self._addresses = [address_of(each) for each in registry.brokers]

    # -- see Directory

    def member(self, principal: str) -> Member | None:
        """Look a key up."""
        return self.registry.member(principal)

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
        manifest = self.registry.manifest
        difference = manifest.difference(version) if version else None
        return (0, manifest.blob) if difference is None else (version, difference)

    def check(self, data: bytes, since: int) -> Generator[None, None, Candidate]:
        """See Ledger."""
        base = self.registry.manifest
        manifest = yield from manifests.checked(data, self._authority_key, base.net, base if since else None)
        registry = yield from Registry.filled(manifest)
        return registry

    def adopt(self, candidate: Candidate, source: str, now: float) -> None:
        """See Ledger."""
        del source, now
        self.install(cast("Registry", candidate))
        self._on_adopted()

    # -- see Credentials

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
        return None if found is None else (found.serial, CertificateIs(found.blob))

    @property
    def roll(self) -> None:
        """See Credentials."""
        return None
