"""Certificates as the cores see them."""

from nacl.bindings import crypto_box_beforenm
from nacl.exceptions import CryptoError

from braidmq.core.links.link import BrokerAddress, Verify
from braidmq.core.proofs import Certified, Keyring
from braidmq.errors import ProtocolError
from braidmq.members import Role
from braidmq.trust import certificate
from braidmq.trust.certificate import Certificate
from braidmq.trust.enrolment import Enrolment
from braidmq.trust.joinfile import JoinFile, certified


def address_of(broker: Certificate) -> BrokerAddress:
    """Return where and under which key to find a broker. While it rotates, its newest key is the last."""
    former = broker.keys[0] if len(broker.keys) > 1 else b""
    return BrokerAddress(broker.name, broker.endpoints, broker.keys[-1], broker.blob, broker.serial, former)


def verifier(authority_key: bytes, net: str) -> Verify:
    """Return what checks the certificates of brokers that are heard of."""

    def verify(blob: bytes) -> BrokerAddress:
        found = certificate.verify(blob, authority_key, net)
        if found.role is not Role.BROKER:
            raise ProtocolError(f"{found.name} is a node, and was told to be a broker")
        return address_of(found)

    return verify


def keyring_of(identity: JoinFile, own: Certificate | None = None) -> Keyring:
    """Return what a node proves and checks replies with; `own` is its newest certificate, if not that of the file."""

    def agree(public_key: bytes) -> bytes:
        try:
            return crypto_box_beforenm(public_key, identity.secret_key)
        except CryptoError:  # a point that makes the same secret with every key
            raise ProtocolError("a CURVE key that is none") from None

    def verify(blob: bytes, invited: bytes) -> Certified:
        found = certified(blob, invited, identity.authority_key, identity.net)
        if not isinstance(found, Enrolment):
            return Certified(found.member, found.serial, found.keys)
        chosen = not found.invitation.name
        return Certified(found.member, found.serial, found.keys, made_at=found.made_at, chosen=chosen)

    own = own or identity.certificate
    return Keyring(own.blob, identity.public_key, agree, verify, invitation_of(own))


def invitation_of(own: Certificate) -> bytes:
    """Return the invitation that an enrolment relies on, as it travels; empty for a certificate."""
    return own.invitation.blob if isinstance(own, Enrolment) else b""
