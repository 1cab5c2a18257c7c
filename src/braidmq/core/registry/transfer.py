"""A registry on its way, part by part: who sends it, and who asks for it."""

from typing import Final

from braidmq.core.registry.ledger import Edition
from braidmq.errors import ProtocolError
from braidmq.wire.registry import PART_BYTES, PARTS_AHEAD, RegistryPart, RegistryWanted

EDITIONS_MAX: Final = 4
"""Encoded registries that are kept for those who ask: brokers that were away for different times, and a new one."""


class Shelf:
    """Hands out parts of the newest registry.

    Args:
        newest: what is the newest one at any time.
    """

    __slots__ = ("_editions", "_newest", "_version")

    def __init__(self, newest: Edition) -> None:
        self._newest = newest
        self._version = newest.version
        self._editions: dict[int, tuple[int, bytes]] = {}

    def parts(self, wanted: RegistryWanted) -> list[RegistryPart]:
        """Return the parts that somebody asks for; none where there is nothing at that place."""
        version = self._newest.version
        if version != self._version:
            self._version = version
            self._editions.clear()
        found = self._editions.get(wanted.since)
        if found is None:
            if len(self._editions) >= EDITIONS_MAX:
                del self._editions[next(iter(self._editions))]
            found = self._editions[wanted.since] = self._newest.since(wanted.since)
        since, data = found
        ends = min(len(data), wanted.offset + wanted.parts * PART_BYTES)
        return [
            RegistryPart(version, since, len(data), offset, data[offset : min(ends, offset + PART_BYTES)])
            for offset in range(wanted.offset, ends, PART_BYTES)
        ]


class Transfer:
    """A registry that comes from one source.

    Attributes:
        due: until when something more of it has to come.
        version: of the registry that comes, once a part has come.
        since: what it is the difference from.
    """

    __slots__ = ("_data", "_total", "_until", "due", "since", "version")

    def __init__(self, due: float) -> None:
        self.due = due
        self.version = 0
        self.since = 0
        self._data = bytearray()
        self._total = 0
        self._until = 0

    def wanted(self, since: int) -> RegistryWanted:
        """Return what to ask for next; `since` is the version that is in force here."""
        self._until = len(self._data) + PARTS_AHEAD * PART_BYTES
        return RegistryWanted(since, len(self._data), PARTS_AHEAD)

    def add(self, part: RegistryPart, since: int) -> bool:
        """Take a part; return whether more has to be asked for. `data` has all of it once `complete`.

        Raises:
            ProtocolError: it does not fit to the others.
        """
        if not self.version:
            self.version, self.since, self._total = part.version, part.since, part.total
        if (part.version, part.since, part.total) != (self.version, self.since, self._total):
            raise ProtocolError("its parts are of different registries")
        if part.since not in (0, since):
            raise ProtocolError(f"it is the difference from registry {part.since}, which was not asked for")
        if part.offset != len(self._data) or not part.data or part.offset + len(part.data) > part.total:
            raise ProtocolError("its parts do not follow one another")
        self._data += part.data
        return not self.complete and len(self._data) >= self._until

    @property
    def complete(self) -> bool:
        """Whether all of it has come."""
        return self._total > 0 and len(self._data) == self._total

    @property
    def data(self) -> bytes:
        """All of it."""
        return bytes(self._data)
