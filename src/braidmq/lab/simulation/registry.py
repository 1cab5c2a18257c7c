"""Who is who. Keys are names, and certificates are names with a serial: cryptography is not what is simulated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256

from braidmq.core.links.link import BrokerAddress
from braidmq.core.proofs import Certified, Keyring
from braidmq.errors import ProtocolError
from braidmq.members import Member, Role


def principal_of(name: str) -> str:
    """Return the key of a member, in the form of a real one."""
    return name.encode().hex().ljust(64, "0")


def address_of(name: str, serial: int = 1) -> BrokerAddress:
    """Return a broker's address as its certificate tells it; that of its first certificate by default."""
    certificate = name if serial == 1 else f"{name}.{serial}"
    return BrokerAddress(name, (f"tcp://{name}:1",), name.encode().ljust(32), certificate.encode(), serial)


def verify(certificate: bytes) -> BrokerAddress:
    """Return the address in a certificate. Raises ProtocolError if it is forged."""
    name, dot, serial = certificate.partition(b".")
    if not name.isalnum() or (dot and not serial.isdigit()):
        raise ProtocolError("the authority of this net has not signed it")
    return address_of(name.decode(), int(serial) if dot else 1)


def keyring_of(name: str, nodes: Mapping[str, Iterable[str]]) -> Keyring:
    """Return what a node proves and checks replies with; `nodes` says what each of them may serve."""
    own = address_of(name).key

    def agree(key: bytes) -> bytes:
        return sha256(b"".join(sorted((own, key)))).digest()

    def verify_node(certificate: bytes, _invitation: bytes) -> Certified:
        known = nodes.get(certificate.decode("ascii", "replace"))
        if known is None:
            raise ProtocolError("the authority of this net has not signed it")
        found = certificate.decode()
        return Certified(Member(found, Role.NODE, serves=tuple(known)), 1, (address_of(found).key,))

    return Keyring(name.encode(), own, agree, verify_node)
