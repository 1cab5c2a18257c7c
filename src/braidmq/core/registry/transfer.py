"""A registry on its way, part by part: who sends it, and who asks for it."""

from typing import Final

from braidmq.core.registry.ledger import Edition
from braidmq.wire.registry import PART_BYTES, PARTS_AHEAD, RegistryPart, RegistryWanted

EDITIONS_MAX: Final = 4
"""Encoded registries that are kept for those who ask: brokers that were away for different times, and a new one."""


class Shelf:
    """Hands out parts of the newest registry.

    Attributes:
        made: how many editions it has encoded so far.

    Args:
        newest: what is the newest one at any time.
    """

    __slots__ = ("_editions", "_newest", "_version", "made")

    def __init__(self, newest: Edition) -> None:
        self.made = 0
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
            self.made += 1
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
        ends_at: until when all of it has to be here.
        asked: the version that the source was told this broker has; 0 if all of a registry was asked for.
        version: of the registry that comes, once a part has come.
        since: what it is the difference from.
    """

    __slots__ = ("_data", "_total", "_until", "asked", "due", "ends_at", "since", "version")

    def __init__(self, asked: int, due: float, ends_at: float) -> None:
        self.asked = asked
        self.due = due
        self.ends_at = ends_at
        self.version = 0
        self.since = 0
        self._data = bytearray()
        self._total = 0
        self._until = 0

    def wanted(self) -> RegistryWanted:
        """Return what to ask for next."""
        self._until = len(self._data) + PARTS_AHEAD * PART_BYTES
        return RegistryWanted(self.asked, len(self._data), PARTS_AHEAD)

    def add(self, part: RegistryPart) -> bool:
        """Take a part; return whether it goes on where the last one has ended.

        Others are passed over: the source may have got a newer registry meanwhile, and answer what was asked before.
        The first part of another registry begins anew.
        """
        if part.since not in (0, self.asked) or part.offset + len(part.data) > part.total or not part.data:
            return False
        if part.offset == 0:
            self.version, self.since, self._total = part.version, part.since, part.total
            self._data = bytearray(part.data)
            return True
        if (part.version, part.since, part.total, part.offset) != (
            self.version, self.since, self._total, len(self._data),
        ):  # fmt: skip
            return False
        self._data += part.data
        return True

    @property
    def asks(self) -> bool:
        """Whether more has to be asked for."""
        return not self.complete and len(self._data) >= self._until

    @property
    def complete(self) -> bool:
        """Whether all of it has come."""
        return self._total > 0 and len(self._data) == self._total

    @property
    def data(self) -> bytes:
        """All of it."""
        return bytes(self._data)
