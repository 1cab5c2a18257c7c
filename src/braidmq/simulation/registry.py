"""Who is registered. Keys are names, and certificates are names: cryptography is not what is simulated."""

from __future__ import annotations

from braidmq.core.link import BrokerAddress
from braidmq.errors import ProtocolError
from braidmq.members import Member


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


class Registry:
    """The members of the net, by key."""

    def __init__(self, members: dict[str, Member] | None = None) -> None:
        self._members = dict(members or {})

    def member(self, principal: str) -> Member | None:
        """Return the registered member with this key, or None."""
        return self._members.get(principal)

    def add(self, member: Member) -> None:
        """Register a member."""
        self._members[principal_of(member.name)] = member

    def remove(self, name: str) -> Member:
        """Take a member off, and return it."""
        return self._members.pop(principal_of(name))

    def copy(self) -> Registry:
        """Return what is registered now."""
        return Registry(self._members)
