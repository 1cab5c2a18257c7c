"""What a member knows of its net by the authority's signature; whoever keeps it knows of cryptography."""

from typing import Protocol

from braidmq.core.links.link import BrokerAddress
from braidmq.members import Member
from braidmq.wire.registry import CertificateIs


class Papers(Protocol):
    """A node's own certificate, and the signed list of the brokers, as far as it has them."""

    @property
    def serial(self) -> int:
        """Of its own certificate; 0 if it has none yet."""

    @property
    def roster(self) -> int:
        """The version of the list of brokers; 0 if it has none."""

    @property
    def not_after(self) -> int:
        """When its own certificate ends, in Unix seconds; 0 if it does not."""

    @property
    def member(self) -> Member:
        """What its own certificate says of it."""

    @property
    def blob(self) -> bytes:
        """Its own certificate or enrolment, as it travels."""

    @property
    def invitation(self) -> bytes:
        """The invitation that its enrolment relies on, as it travels; empty if it has a certificate."""

    def lacks(self, address: BrokerAddress) -> bool:
        """Whether the list of brokers is newer than what an address is from, and has it no more."""

    @property
    def addresses(self) -> list[BrokerAddress]:
        """The brokers of the list of brokers; none if there is no list."""

    def take_roster(self, roster: bytes) -> bool:
        """Take a list of brokers; return whether it is newer than the last one.

        Raises:
            ProtocolError: this net's authority has not signed it.
        """

    def take_certificate(self, message: CertificateIs) -> bool:
        """Take this member's own certificate; return whether it is newer than the last one.

        Raises:
            ProtocolError: this net's authority has not signed it, or it is another member's.
        """
