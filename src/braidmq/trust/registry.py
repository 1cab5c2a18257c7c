"""Looks up the members of one manifest. A new manifest makes a new registry."""

from bisect import bisect_right
from collections.abc import Container, Generator, Mapping

from braidmq.members import Member, Standing
from braidmq.trust.certificate import Certificate
from braidmq.trust.manifest import SLICE, Manifest


class Registry:
    """The members of a net by key and by name; a `members.Directory`.

    Attributes:
        manifest: what it was made from.
        version: the manifest's.
        brokers: the certificates of the net's brokers.
        keys: of its members, and those that were revoked.
        revoked: whose keys are never to be accepted again, by key in lower-case hex.
    """

    __slots__ = (
        "_by_name",
        "_by_principal",
        "_closing",
        "_ended",
        "_ends",
        "_over",
        "brokers",
        "keys",
        "manifest",
        "revoked",
        "version",
    )

    def __init__(self, manifest: Manifest) -> None:
        for _ in self._fill(manifest):
            pass

    @classmethod
    def filled(cls, manifest: Manifest) -> Generator[None, None, "Registry"]:
        """Make a registry; yields whenever others should have a turn."""
        registry = cls.__new__(cls)
        yield from registry._fill(manifest)  # noqa: SLF001 - the same class
        return registry

    def _fill(self, manifest: Manifest) -> Generator[None, None, None]:
        self.manifest = manifest
        self.version = manifest.version
        self.brokers = manifest.brokers
        self.revoked: Mapping[str, str] = {each.key.hex(): each.name for each in manifest.extras.revoked}
        self._by_name: dict[str, Certificate] = {}
        self._by_principal: dict[str, tuple[Member, Certificate]] = {}
        self._ends: list[tuple[int, str, tuple[Member, Certificate]]] = []
        self._closing: list[tuple[int, str]] = []
        self._ended = 0
        self._over: dict[str, Certificate] = {}
        self.keys: set[bytes] = {each.key for each in manifest.extras.revoked}
        for number, each in enumerate(manifest.certificates, 1):
            self.keys.update(each.keys)
            self._by_name[each.name] = each
            found = (each.member, each)
            if each.not_after:
                self._closing.append((each.not_after, each.name))
            for principal in each.principals:
                self._by_principal[principal] = found
                if each.not_after:
                    self._ends.append((each.not_after, principal, found))
            if each.old_key_until:
                self._ends.append((each.old_key_until, each.principals[0], found))
            if number % SLICE == 0:
                yield
        self._ends.sort(key=lambda end: end[:2])
        self._closing.sort()

    @property
    def names(self) -> Container[str]:
        """The names of its members."""
        return self._by_name.keys()

    def member(self, principal: str) -> Member | None:
        """Return the member with this key (lower-case hex), or None. One dict lookup."""
        found = self._by_principal.get(principal)
        return None if found is None else found[0]

    def holder(self, principal: str) -> Certificate | None:
        """Return the certificate of the member with this key, or None."""
        found = self._by_principal.get(principal)
        return None if found is None else found[1]

    def standing(self, principal: str) -> Standing:
        """Return how a key stands, as far as this registry tells: of those that were removed it has names only."""
        if principal in self._by_principal:
            return Standing.MEMBER
        if principal in self.revoked:
            return Standing.REVOKED
        return Standing.UNKNOWN if self.has_ended(principal) is None else Standing.EXPIRED

    def certificate(self, name: str) -> Certificate | None:
        """Return the certificate of the member with this name, or None; also if it has ended."""
        return self._by_name.get(name)

    def has_ended(self, principal: str) -> Certificate | None:
        """Return the certificate of the member with this key, if it or the key has ended, or None."""
        return self._over.get(principal)

    def ending(self, after_s: float, until_s: float) -> list[tuple[int, str]]:
        """Return the certificates that end later than a Unix time, and no later than another one.

        Returns:
            The end of each in Unix seconds, and the name of its member; the earliest first.
        """
        first, last = (bisect_right(self._closing, at, key=lambda end: end[0]) for at in (after_s, until_s))
        return self._closing[first:last]

    def review(self, unix_s: float) -> bool:
        """Look which certificates and keys have ended by a Unix time; return whether they are others than before."""
        ended = bisect_right(self._ends, unix_s, key=lambda end: end[0])
        before, self._ended = self._ended, ended
        if ended == before:
            return False
        for _, principal, found in self._ends[ended:before]:  # the clock was set back
            self._by_principal[principal] = found
        self._over = {principal: found[1] for _, principal, found in self._ends[:ended]}
        for principal in self._over:
            self._by_principal.pop(principal, None)
        return True
