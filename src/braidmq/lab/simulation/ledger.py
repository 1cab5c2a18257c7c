"""What a simulated member keeps by the authority's signature: a broker its registry, a node its papers."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Final, TypeVar, cast

import msgspec

from braidmq.core.links.link import BrokerAddress
from braidmq.core.registry.ledger import Candidate
from braidmq.errors import ProtocolError
from braidmq.lab.simulation.edition import NET, Certified, Edition, Listed, open_signed, read
from braidmq.lab.simulation.registry import address_of, verify
from braidmq.members import Member, Role, Standing
from braidmq.wire.registry import CertificateIs
from braidmq.wire.registry_status import ClaimStatus, SeenStatus, TokenStatus

Signed = TypeVar("Signed", Listed, Certified)

SLICES: Final = 2
"""Turns that the check of a registry takes, as that of a large one does."""


class Ledger:
    """The registry that is in force at a broker: its Credentials (core/broker/registrar.py), and its Directory.

    Args:
        edition: what is in force at first.
        on_adopted: is called when a newer one is in force that has come through the net, with who has handed it on.
    """

    def __init__(self, edition: Edition, on_adopted: Callable[[str], None]) -> None:
        self.edition = edition
        self._on_adopted = on_adopted

    def member(self, principal: str) -> Member | None:
        """Look a key up."""
        return self.edition.member(principal)

    def standing(self, principal: str) -> Standing:
        """Say how a key stands."""
        return Standing.UNKNOWN if self.member(principal) is None else Standing.MEMBER

    # -- see Ledger in core/registry/ledger.py

    @property
    def version(self) -> int:
        """See Ledger."""
        return self.edition.version

    @property
    def digest(self) -> bytes:
        """See Ledger."""
        return self.edition.digest

    @property
    def brokers(self) -> tuple[str, ...]:
        """See Ledger."""
        return tuple(each.name for each in self.edition.brokers)

    def since(self, version: int) -> tuple[int, bytes]:
        """See Ledger."""
        return self.edition.since(version)

    def check(self, data: bytes, since: int) -> Generator[None, None, Candidate]:
        """See Ledger."""
        base = self.edition
        for _ in range(SLICES):
            yield
        return read(data, base if since else None)

    def adopt(self, candidate: Candidate, source: str, now: float) -> None:
        """See Ledger."""
        del now
        self.edition = cast("Edition", candidate)
        self._on_adopted(source)

    # -- see Credentials

    @property
    def addresses(self) -> list[BrokerAddress]:
        """See Credentials."""
        return self.edition.brokers

    @property
    def roster(self) -> tuple[int, bytes]:
        """See Credentials."""
        return self.edition.roster

    def certificate(self, principal: str) -> tuple[int, CertificateIs] | None:
        """See Credentials."""
        found = self.edition.certificate(principal)
        return None if found is None else (found[0], CertificateIs(found[1]))

    @property
    def roll(self) -> None:
        """See Credentials: there are no tokens."""
        return None

    def has(self, name: str) -> bool:
        """See Credentials."""
        return self.edition.has(name)

    # -- see Listed in core/broker/registry_report.py: nothing ends here

    @property
    def members_total(self) -> int:
        """See Listed."""
        return len(self.edition)

    def ending(self, after_s: float, until_s: float) -> list[tuple[int, str]]:
        """See Endings."""
        del after_s, until_s
        return []

    def tokens(self, unix_s: float) -> list[TokenStatus]:
        """See Listed."""
        del unix_s
        return []

    def enrolled(self, unix_s: float, most: int) -> tuple[list[SeenStatus], int]:
        """See Listed."""
        del unix_s, most
        return [], 0

    def claims(self, name: str, unix_s: float, most: int) -> list[ClaimStatus]:
        """See Listed."""
        del name, unix_s, most
        return []


class Papers:
    """A node's own certificate, and the list of the brokers (see core/links/papers.py).

    Args:
        name: of the node.
        on_roster: is called with the version of each list that is taken.

    Attributes:
        member: what the node is and may do, as of its start.
        blob: its certificate among those that workers prove their replies with.
        invitation: none: no node here is made by a token.
    """

    def __init__(self, name: str, on_roster: Callable[[int], None]) -> None:
        self.serial = 0
        self.roster = 0
        self.not_after = 0
        self.member = Member(name, Role.NODE)
        self.blob = name.encode()
        self.invitation = b""
        self._name = name
        self._on_roster = on_roster
        self._listed: dict[str, int] = {}

    def lacks(self, address: BrokerAddress) -> bool:
        """See Papers."""
        if address.serial > self.roster:
            return False
        listed = self._listed.get(address.name)
        return listed is None or listed > address.serial

    def verify(self, certificate: bytes) -> BrokerAddress:
        """Return the address in a broker's certificate. Raises ProtocolError if it is forged, or was taken back."""
        address = verify(certificate)
        if self.lacks(address):
            raise ProtocolError(f"{address.name} was removed from the net, or has a newer certificate")
        return address

    def take_roster(self, roster: bytes) -> bool:
        """See Papers."""
        listed = _opened(roster, Listed)
        if listed.version <= self.roster:
            return False
        self.roster, self._listed = listed.version, dict(listed.brokers)
        self._on_roster(listed.version)
        return True

    def take_certificate(self, message: CertificateIs) -> bool:
        """See Papers."""
        found = _opened(message.certificate, Certified)
        if found.name != self._name:
            raise ProtocolError(f"it is the certificate of {found.name}")
        if found.serial <= self.serial:
            return False
        self.serial = found.serial
        return True

    @property
    def addresses(self) -> list[BrokerAddress]:
        """See Papers."""
        return [address_of(name, serial) for name, serial in self._listed.items()]


def _opened(blob: bytes, kind: type[Signed]) -> Signed:
    try:
        found = msgspec.msgpack.decode(open_signed(blob), type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ProtocolError(f"not what it is said to be: {error}") from None
    if found.net != NET:
        raise ProtocolError(f"it is for {found.net[:40]!r}")
    return found
