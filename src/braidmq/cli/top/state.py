"""What `braidmq top` is told by keys: which list, what is selected, sorted, filtered and opened. Pure."""

from dataclasses import dataclass, field
from typing import Final

from braidmq.cli.top.keys import ESCAPE
from braidmq.cli.top.pages import PAGES, Kind, Net, Row, shown_rows

FILTER_CHARS_MAX: Final = 64
"""Longest filter: longer ones do not fit beside their label on a line of 80 columns."""

HELP: Final = (
    "q ^C       quit",
    "1 to 5     services, brokers, callers, workers, findings; also Tab, left, right",
    "up down    select a row, or scroll; also k, j, PgUp, PgDn, Home, End",
    "Enter      open the selected row",
    "Esc        back; takes the filter away",
    "/          filter: rows that hold a text, or whose name fits, as in pay*",
    "s S        sort by the next column, by the one before",
    "r          reverse the order",
    "",
    "In front of a row: ! something is wrong with it, ~ something is worth a note.",
    "LOAD       asked for, as a share of CREDIT, with what waits in queues",
    "CREDIT     what workers let a broker give them at once",
    "IN FLIGHT  requests that await an answer",
    "REQ/S      requests that came; REP/S replies; REJ/S what was not run",
)
"""What the help shows."""


@dataclass
class Sorting:
    """How a list is sorted."""

    column: int
    reverse: bool = False


@dataclass
class Screen:
    """What is shown.

    Attributes:
        kind: which list.
        filter: what rows must hold; empty for all.
        editing: whether keys change the filter.
        opened: the name of the row that is shown in detail; None shows the list.
        scroll: the first line of the details, or of the help, that is shown.
        helping: whether the help is shown.
        leaving: whether it is to end.
    """

    kind: Kind = Kind.SERVICES
    filter: str = ""
    editing: bool = False
    opened: str | None = None
    scroll: int = 0
    helping: bool = False
    leaving: bool = False
    _sortings: dict[Kind, Sorting] = field(default_factory=lambda: {kind: Sorting(PAGES[kind].sort) for kind in Kind})
    _selected: dict[Kind, str] = field(default_factory=dict)

    @property
    def sorting(self) -> Sorting:
        """How the list is sorted."""
        return self._sortings[self.kind]

    def rows(self, net: Net) -> list[Row]:
        """Return the rows of the list, as they are filtered and sorted."""
        return shown_rows(net, self.kind, self.filter, self.sorting.column, self.sorting.reverse)

    def selected(self, rows: list[Row]) -> int:
        """Return which row is selected: the same one as before, wherever it stands now; else the first one."""
        name = self._selected.get(self.kind)
        return next((place for place, row in enumerate(rows) if row.name == name), 0)

    def on_key(self, key: str, net: Net, height: int) -> None:
        """Handle a key.

        Args:
            key: see Keys.
            net: what is shown.
            height: how many rows fit on the screen.
        """
        if self.editing:
            self._edit(key)
        elif key == "q":
            self.leaving = True
        elif key == "?":
            self.helping, self.scroll = not self.helping, 0
        elif key in (ESCAPE, "backspace"):
            self._back()
        elif self.helping or self.opened is not None:
            self._scroll_by(key, height)
        else:
            self._choose(key, net, height)

    def _edit(self, key: str) -> None:
        if key == "enter":
            self.editing = False
        elif key == ESCAPE:
            self.editing, self.filter = False, ""
        elif key == "backspace":
            self.filter = self.filter[:-1]
        elif len(key) == 1 and len(self.filter) < FILTER_CHARS_MAX:
            self.filter += key

    def _back(self) -> None:
        if self.helping:
            self.helping = False
        elif self.opened is not None:
            self.opened = None
        else:
            self.filter = ""
        self.scroll = 0

    def _scroll_by(self, key: str, height: int) -> None:
        self.scroll = max(0, self.scroll + _moved(key, height))

    def _choose(self, key: str, net: Net, height: int) -> None:
        if key in _KINDS:
            self.kind = _KINDS[key]
        elif key in _TURNS:
            every = list(Kind)
            self.kind = every[(every.index(self.kind) + _TURNS[key]) % len(every)]
        elif key == "/":
            self.editing = True
        elif key in ("s", "S"):
            columns = len(PAGES[self.kind].columns)
            self.sorting.column = (self.sorting.column + (1 if key == "s" else -1)) % columns
        elif key == "r":
            self.sorting.reverse = not self.sorting.reverse
        elif rows := self.rows(net):
            if key == "enter":
                self.opened, self.scroll = rows[self.selected(rows)].name, 0
            elif key in _STEPS:
                place = max(0, min(len(rows) - 1, self.selected(rows) + _moved(key, height)))
                self._selected[self.kind] = rows[place].name


_FAR: Final = 1_000_000
"""Further than any list is long."""

_STEPS: Final = {
    "up": (-1, 0), "k": (-1, 0), "down": (1, 0), "j": (1, 0), "pageup": (0, -1), "pagedown": (0, 1),
    "home": (-_FAR, 0), "g": (-_FAR, 0), "end": (_FAR, 0), "G": (_FAR, 0),
}  # fmt: skip
"""By how many rows a key moves, and by how many screens full of them."""


def _moved(key: str, height: int) -> int:
    """Return by how many rows a key moves."""
    rows, screens = _STEPS.get(key, (0, 0))
    return rows + screens * height


_TURNS: Final = {"tab": 1, "right": 1, "l": 1, "backtab": -1, "left": -1, "h": -1}

_KINDS: Final = {str(number): kind for number, kind in enumerate(Kind, 1)}
