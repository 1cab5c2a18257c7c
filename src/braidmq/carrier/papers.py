"""A node's own certificate and its list of brokers: from its join file, from an earlier run, and from brokers."""

from collections.abc import Iterable

from braidmq.carrier.trusted import address_of, invitation_of, verifier
from braidmq.core.links.link import BrokerAddress
from braidmq.errors import ConfigError, ProtocolError
from braidmq.members import Member
from braidmq.trust import roster as rosters
from braidmq.trust.certificate import Certificate
from braidmq.trust.joinfile import JoinFile, certified
from braidmq.trust.roster import Roster
from braidmq.wire.registry import CertificateIs


class NodePapers:
    """See Papers (core/links/papers.py).

    Attributes:
        certificate: the newest one of its own.
        listed: the newest list of brokers; None if there is none.
        version: counts the changes of both.

    Args:
        identity: the node's join file.
    """

    def __init__(self, identity: JoinFile) -> None:
        self.certificate: Certificate = identity.certificate
        self.listed: Roster | None = identity.roster
        self.version = 0
        self._identity = identity
        self._verify = verifier(identity.authority_key, identity.net)

    @property
    def serial(self) -> int:
        """See Papers."""
        return self.certificate.serial

    @property
    def roster(self) -> int:
        """See Papers."""
        return 0 if self.listed is None else self.listed.version

    @property
    def not_after(self) -> int:
        """See Papers."""
        return self.certificate.not_after

    @property
    def member(self) -> Member:
        """See Papers."""
        return self.certificate.member

    @property
    def blob(self) -> bytes:
        """See Papers."""
        return self.certificate.blob

    @property
    def invitation(self) -> bytes:
        """See Papers."""
        return invitation_of(self.certificate)

    def lacks(self, address: BrokerAddress) -> bool:
        """See Papers."""
        listed = self.listed
        if listed is None or address.serial > listed.version:
            return False
        return all(each.name != address.name or each.serial > address.serial for each in listed.brokers)

    def verify(self, blob: bytes) -> BrokerAddress:
        """Return the address in a broker's certificate that somebody has handed on.

        Raises:
            ProtocolError: the authority has not signed it, or has taken it back.
        """
        address = self._verify(blob)
        if self.lacks(address):
            raise ProtocolError(f"{address.name} was removed from the net, or has a newer certificate")
        return address

    @property
    def addresses(self) -> list[BrokerAddress]:
        """See Papers."""
        return [] if self.listed is None else [address_of(each) for each in self.listed.brokers]

    def take_roster(self, roster: bytes) -> bool:
        """See Papers."""
        found = rosters.verify(roster, self._identity.authority_key, self._identity.net)
        if found.version <= self.roster:
            return False
        self.listed = found
        self.version += 1
        return True

    def take_certificate(self, message: CertificateIs) -> bool:
        """See Papers."""
        identity = self._identity
        found = certified(message.certificate, message.invitation, identity.authority_key, identity.net)
        if identity.public_key not in found.keys:
            raise ProtocolError(f"it is the certificate of another key, that of {found.name}")
        if found.serial <= self.serial:
            return False
        self.certificate = found
        self.version += 1
        return True

    def change(self, identity: JoinFile) -> bool:
        """Take another join file of the same member; return whether its key is another one.

        Raises:
            ConfigError: it is the file of another net, or of another member.
        """
        known = self._identity
        if (identity.net, identity.authority_key) != (known.net, known.authority_key):
            raise ConfigError("it is the file of another net: restart the node if it is to be a member of that")
        same = identity.name == self.certificate.name or known.public_key in identity.certificate.keys
        if not same or identity.certificate.role is not known.certificate.role:
            raise ConfigError(f"it is the file of {identity.name}: restart the node if it is to be that")
        self._identity = identity
        if identity.certificate.serial > self.serial or identity.public_key not in self.certificate.keys:
            self.certificate = identity.certificate
            self.version += 1
        if identity.roster is not None and identity.roster.version > self.roster:
            self.listed = identity.roster
            self.version += 1
        return identity.public_key != known.public_key

    def brokers(self, remembered: Iterable[bytes] = ()) -> list[BrokerAddress]:
        """Return the brokers to begin with, the newest certificate of each.

        Args:
            remembered: certificates that were handed on in an earlier run; those that are not valid are left out.
        """
        found = {each.name: address_of(each) for each in self._identity.brokers}
        found |= {address.name: address for address in self.addresses}
        for blob in remembered:
            try:
                address = self.verify(blob)
            except ProtocolError:
                continue
            known = found.get(address.name)
            if known is None or address.serial > known.serial:
                found[address.name] = address
        return [address for address in found.values() if not self.lacks(address)]
