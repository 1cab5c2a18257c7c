"""What keeps the registry for the core that moves it: it knows of signatures, and the core does not."""

from collections.abc import Generator
from typing import Protocol


class Candidate(Protocol):
    """A registry that has been checked."""

    @property
    def version(self) -> int:
        """Its version: the larger of two is the valid one."""


class Edition(Protocol):
    """A registry that can be handed on."""

    @property
    def version(self) -> int:
        """Its version; 0 if there is none yet."""

    @property
    def digest(self) -> bytes:
        """Of all of it, DIGEST_BYTES long."""

    def since(self, version: int) -> tuple[int, bytes]:
        """Return the registry for whoever has an older version of it: as the difference from there, or whole.

        Returns:
            The version that it is the difference from, 0 if it is whole; and its bytes.
        """


class Ledger(Edition, Protocol):
    """Holds the registry that is in force."""

    @property
    def brokers(self) -> tuple[str, ...]:
        """The names of the brokers of the net, this one included."""

    def check(self, data: bytes, since: int) -> Generator[None, None, Candidate]:
        """Check bytes that may come from anyone; yields whenever others should have a turn.

        Args:
            data: a whole registry, or a difference.
            since: the version that it is the difference from; 0 if it is whole.

        Raises:
            ProtocolError: they are no registry of this net.
        """

    def adopt(self, candidate: Candidate, source: str, now: float) -> None:
        """Put a registry in force that this ledger has checked, and that is newer than the last one.

        Args:
            candidate: the registry.
            source: who has handed it on.
            now: the time.
        """
