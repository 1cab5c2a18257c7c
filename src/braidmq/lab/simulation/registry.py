"""Who is registered. Keys are names, and certificates are names: cryptography is not what is simulated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256

from braidmq.core.links.link import BrokerAddress
from braidmq.core.proofs import Certified, Keyring
from braidmq.errors import ProtocolError
from braidmq.members import Member, Role, Standing


def principal_of(name: str) -> str:
    """Return the key of a member, in the form of a real one."""
    return name.encode().hex().ljust(64, "0")


def address_of(name: str) -> BrokerAddress:
    """Return a broker's address as its certificate tells it."""
    return BrokerAddress(name, (f"tcp://{name}:1",), name.encode().ljust(32), name.encode(), 1)


def verify(certificate: bytes) -> BrokerAddress:
    """Return the address in a certificate. Raises ProtocolError if it is forged."""
    if not certificate.isalnum():
        raise ProtocolError("the authority of this net has not signed it")
    return address_of(certificate.decode())


def keyring_of(name: str, nodes: Mapping[str, Iterable[str]]) -> Keyring:
    """Return what a node proves and checks replies with; `nodes` says what each of them may serve."""
    own = address_of(name).key

    def agree(key: bytes) -> bytes:
        return sha256(b"".join(sorted((own, key)))).digest()

    def verify_node(certificate: bytes) -> Certified:
        known = nodes.get(certificate.decode("ascii", "replace"))
        if known is None:
            raise ProtocolError("the authority of this net has not signed it")
        found = certificate.decode()
        return Certified(Member(found, Role.NODE, serves=tuple(known)), 1, (address_of(found).key,))

    return Keyring(name.encode(), own, agree, verify_node)


class Registry:
    """The members of the net, by key."""

    def __init__(self, members: dict[str, Member] | None = None) -> None:
        self._members = dict(members or {})

    def member(self, principal: str) -> Member | None:
        """Return the registered member with this key, or None."""
        return self._members.get(principal)

    def standing(self, principal: str) -> Standing:
        """Return whether a key is a member's."""
        return Standing.MEMBER if principal in self._members else Standing.UNKNOWN

    def add(self, member: Member) -> None:
        """Register a member."""
        self._members[principal_of(member.name)] = member

    def remove(self, name: str) -> Member:
        """Take a member off, and return it."""
        return self._members.pop(principal_of(name))

    def copy(self) -> Registry:
        """Return what is registered now."""
        return Registry(self._members)
