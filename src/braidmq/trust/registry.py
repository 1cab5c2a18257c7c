"""Looks up the members of one manifest. A new manifest makes a new registry."""

from braidmq.members import Member, Standing
from braidmq.trust.certificate import Certificate
from braidmq.trust.manifest import Manifest


class Registry:
    """The members of a net by key and by name; a `members.Directory`.

    Attributes:
        version: the manifest's version.
        brokers: the certificates of the net's brokers.
    """

    __slots__ = ("_by_name", "_by_principal", "brokers", "version")

    def __init__(self, manifest: Manifest) -> None:
        self.version = manifest.version
        self.brokers = manifest.brokers
        self._by_name = {each.name: each for each in manifest.certificates}
        self._by_principal: dict[str, Member] = {}
        for each in manifest.certificates:
            member = each.member
            for principal in each.principals:
                self._by_principal[principal] = member

    def member(self, principal: str) -> Member | None:
        """Return the member with this key (lower-case hex), or None. One dict lookup."""
        return self._by_principal.get(principal)

    def standing(self, principal: str) -> Standing:
        """Return whether a key is a member's. A manifest has members only, so of others nothing is known."""
        return Standing.MEMBER if principal in self._by_principal else Standing.UNKNOWN

    def certificate(self, name: str) -> Certificate | None:
        """Return the certificate of the member with this name, or None."""
        return self._by_name.get(name)
