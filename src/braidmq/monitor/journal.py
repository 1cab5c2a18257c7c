"""What has happened in a net, in order: a bounded list of numbered entries. Pure."""

from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import Final

from msgspec import Struct

from braidmq.monitor.finding import NAMES_MAX
from braidmq.monitor.happenings import Happening
from braidmq.printable import printable

ENTRIES_MAX: Final = 2_000
"""Entries that are kept: some days of a net that is well. Of TEXT_CHARS_MAX each they weigh 2 MB at most."""

TEXT_CHARS_MAX: Final = 500
"""Characters of an entry's text: no screen shows more of one in a list."""


class Entry(Struct, frozen=True):
    """What has happened.

    Attributes:
        id: its number, one more than that of the entry before.
        at: when, in seconds since 1970 (UTC).
        kind: see happenings.py; of a finding its kind.
        names: whom it is about.
        text: a sentence.
    """

    id: int
    at: float
    kind: str
    names: tuple[str, ...]
    text: str


class Journal:
    """The newest entries.

    Args:
        first_id: the number of the first entry. Readers come back to another process and name the last entry that they
            have seen: numbers that begin with the time of the start are never those of an earlier one.
    """

    def __init__(self, first_id: int) -> None:
        self._next_id = first_id
        self._entries: deque[Entry] = deque(maxlen=ENTRIES_MAX)

    @property
    def last_id(self) -> int:
        """The number of the newest entry, or of the one before the first."""
        return self._next_id - 1

    def add(self, happening: Happening, at: float) -> None:
        """Add an entry; the oldest one goes if there are too many."""
        names = tuple(map(printable, happening.names[:NAMES_MAX]))
        text = printable(happening.text)
        if len(text) > TEXT_CHARS_MAX:
            text = f"{text[: TEXT_CHARS_MAX - 3]}..."
        self._entries.append(Entry(self._next_id, at, happening.kind, names, text))
        self._next_id += 1

    def after(self, id_: int, limit: int) -> Sequence[Entry]:
        """Return at most `limit` of the entries after one, the oldest first; those that are gone are skipped."""
        first = max(0, id_ - self.last_id + len(self._entries))
        return list(islice(self._entries, first, first + limit))

    def before(self, id_: int | None, limit: int) -> Sequence[Entry]:
        """Return at most `limit` of the entries before one, or of all, the newest first."""
        skipped = 0 if id_ is None else max(0, self._next_id - id_)
        return list(islice(reversed(self._entries), skipped, skipped + limit))
