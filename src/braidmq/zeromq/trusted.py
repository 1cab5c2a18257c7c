"""Certificates as the cores see them."""

from braidmq.core.link import BrokerAddress, Verify
from braidmq.errors import ProtocolError
from braidmq.members import Role
from braidmq.trust import certificate
from braidmq.trust.certificate import Certificate


def address_of(broker: Certificate) -> BrokerAddress:
    """Return where and under which key to find a broker. While it rotates, its newest key is the last."""
    return BrokerAddress(broker.name, broker.endpoints, broker.keys[-1], broker.blob, broker.serial)


def verifier(authority_key: bytes, net: str) -> Verify:
    """Return what checks the certificates of brokers that are heard of."""

    def verify(blob: bytes) -> BrokerAddress:
        found = certificate.verify(blob, authority_key, net)
        if found.role is not Role.BROKER:
            raise ProtocolError(f"{found.name} is a node, and was told to be a broker")
        return address_of(found)

    return verify
