"""Draws the rooms of the source from its imports: `make docs-tables`.

It writes docs/rooms.svg, docs/cores.svg, and the table in docs/architecture.md.
What is said here by hand is which modules make a room, what a room is for, and on which floor it is. Who imports whom
comes from the source. An import that goes up, or to another room of the same floor, is an error.
"""

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grimp

DOCS: Final = Path(__file__).parent

_TABLE: Final = re.compile(r"(<!-- rooms -->\n).*?(<!-- end of rooms -->)", re.DOTALL)

_PACKAGE: Final = "braidmq"

NO_ROOM: Final = ("braidmq",)
"""Modules that stand in no room: the package itself holds the public names, which it loads late, and the version."""


@dataclass(frozen=True)
class Room:
    """Some modules that belong together.

    Attributes:
        name: what it is called here.
        floor: 0 is the ground. A room stands on rooms of lower floors only.
        column: where it is drawn: 0 is left.
        what: what it is for, in some words.
        modules: the modules in it, each with all below it.
        shown: its folder or files, under src/braidmq/.
    """

    name: str
    floor: int
    column: int
    what: str
    modules: tuple[str, ...]
    shown: str


def _folder(name: str, floor: int, column: int, what: str, *stems: str) -> Room:
    modules = tuple(f"{_PACKAGE}.{each.replace('/', '.')}" for each in (name, *stems))
    return Room(name, floor, column, what, modules, ", ".join((f"`{name}/`", *(f"`{stem}.py`" for stem in stems))))


def _files(name: str, floor: int, column: int, what: str, *stems: str) -> Room:
    modules = tuple(f"{_PACKAGE}.{stem}" for stem in stems)
    return Room(name, floor, column, what, modules, ", ".join(f"`{stem}.py`" for stem in stems))


HOUSE: Final = (
    _folder("cli", 8, 0, "the command `braidmq`", "__main__"),
    _folder("lab", 7, 0, "simulator, benchmark and demo"),
    _folder("testing", 7, 1, "nets in one process, for users' tests", "pytest_plugin"),
    _folder("bridges", 6, 1, "programs of other protocols"),
    _folder("monitor", 6, 0, "how a net is: reports of brokers in, findings out; and over HTTP"),
    _files(
        "api", 5, 0, "what a program uses: Node, Services",
        "node", "blocking", "runner", "services", "handler", "outcome", "presence", "provider", "remembered", "renewal",
        "inside", "enrolment", "publication", "claims", "operating", "telling", "serving",
    ),
    _folder("carrier", 4, 0, "the carrier: sockets, loops, who gets in"),
    _folder("turn", 3, 0, "the order in which a core is served"),
    _folder("core", 2, 0, "all decisions, without I/O or clock"),
    _folder("trust", 2, 1, "keys, certificates, registry, join files"),
    _folder("observability", 2, 2, "what a node tells, as metrics and traces"),
    _folder("wire", 1, 0, "BRAID/1 as bytes"),
    _folder("host", 1, 1, "the process: threads, DNS, clock, log", "journal", "log_fields", "log_json", "stderr"),
    _files(
        "words", 0, 0, "what all others speak of",
        "messages", "members", "observer", "settings", "checks", "bounds", "errors", "histogram", "printable",
        "version",
    ),
    _folder("zmtp", 0, 1, "ZMTP 3.1 with CURVE as bytes"),
)  # fmt: skip
"""All rooms, from the roof to the ground."""

CORES: Final = (
    _folder("core/node", 3, 0, "a node: its client, worker and links"),
    _folder("core/broker", 3, 1, "a broker: sessions, dispatch, queues"),
    _folder("core/client", 2, 0, "calls: paths, attempts, deadlines"),
    _folder("core/worker", 2, 1, "jobs: places, credit, duplicates"),
    _folder("core/membership", 2, 2, "brokers among brokers: SWIM"),
    _folder("core/registry", 2, 3, "the registry in motion"),
    _folder("core/links", 1, 0, "connections to brokers"),
    Room(
        "core/*.py", 0, 0, "parts that several cores use",
        tuple(
            f"braidmq.core.{each}"
            for each in (
                "backoff", "balancing", "containment", "events", "fair_queue", "histogram", "ids", "intake", "liveness",
                "patience", "proofs", "reasons", "send_queue", "share", "staleness", "timers",
            )
        ),
        "the files of `core/`, and `core/events/`",
    ),
)  # fmt: skip
"""The rooms within core/."""

Edges = dict[str, set[str]]


class CrookedError(Exception):
    """A room imports from one that is not below it, or a module stands in no room."""


def edges(rooms: Iterable[Room], under: str = _PACKAGE) -> Edges:
    """Return which rooms each room imports from.

    Raises:
        CrookedError: an import does not go down, or a module below `under` is in no room.
    """
    graph = grimp.build_graph(_PACKAGE, cache_dir=None)
    by_module = {module: room for room in rooms for module in room.modules}
    found: Edges = {room.name: set() for room in rooms}
    homes = {module: _home(module, by_module) for module in graph.modules if module.startswith(under)}
    for module, room in homes.items():
        if room is None:
            if module not in (*NO_ROOM, under):
                raise CrookedError(f"{module} is in no room")
            continue
        for imported in graph.find_modules_directly_imported_by(module):
            other = homes.get(imported)
            if other is None or other is room:
                continue
            if other.floor >= room.floor:
                raise CrookedError(f"{module} imports {imported}, but {other.name} is not below {room.name}")
            found[room.name].add(other.name)
    return found


def _home(module: str, by_module: dict[str, Room]) -> Room | None:
    while module:
        if module in by_module:
            return by_module[module]
        module = module.rpartition(".")[0]
    return None


def reduced(found: Edges) -> Edges:
    """Return the edges without those that a longer way stands for."""

    def reach(name: str) -> set[str]:
        return found[name].union(*(reach(each) for each in found[name]))

    return {name: targets - set().union(*(reach(each) for each in targets)) for name, targets in found.items()}


# -- the table


def table() -> str:
    """Return the rooms, what they are for, and what each imports from."""
    rows = ["| Room | Under `src/braidmq/` | What it is | Imports from |", "|---|---|---|---|"]
    for rooms, under in ((HOUSE, _PACKAGE), (CORES, f"{_PACKAGE}.core")):
        found = edges(rooms, under)
        order = [room.name for room in rooms]
        for room in rooms:
            below = ", ".join(sorted(found[room.name], key=order.index)) or "nothing"
            rows.append(f"| {_cell(room.name)} | {room.shown} | {room.what} | {_cell(below)} |")
    return "\n".join(rows) + "\n"


def _cell(text: str) -> str:
    return text.replace("*", "\\*")


def written(document: str) -> str:
    """Return a document with its table as it should be."""
    return _TABLE.sub(lambda found: f"{found[1]}\n{table()}\n{found[2]}", document)


# -- the pictures

_BOX: Final = (300, 46)
_GAP: Final = (40, 34)
_MARGIN: Final = 16
_TIP_LENGTH: Final = 10
_LANDING: Final = 0.18
"""How far from the middle of a box an arrow ends for each column that it comes from aside, as a share of the width."""
_TIP: Final = (
    '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
    '<path d="M0 0L8 4L0 8z" fill="#555"/></marker></defs>'
)


def picture(rooms: tuple[Room, ...], under: str = _PACKAGE) -> str:
    """Return the rooms as an SVG: an arrow goes to each room that one imports from, but where a longer way says it."""
    (width, height), (gap_x, gap_y) = _BOX, _GAP
    floors, columns = max(room.floor for room in rooms) + 1, max(room.column for room in rooms) + 1
    wide, high = 2 * _MARGIN + columns * (width + gap_x) - gap_x, 2 * _MARGIN + floors * (height + gap_y) - gap_y
    by_name = {room.name: room for room in rooms}
    corners = {
        room.name: (_MARGIN + room.column * (width + gap_x), _MARGIN + (floors - 1 - room.floor) * (height + gap_y))
        for room in rooms
    }
    arrows = [
        _arrow(by_name[name], by_name[target], corners[name], corners[target], rooms)
        for name, targets in reduced(edges(rooms, under)).items()
        for target in sorted(targets)
    ]
    return "\n".join((
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide}" height="{high}" viewBox="0 0 {wide} {high}">',
        "<!-- Written by docs/rooms.py from the imports: make docs-tables -->",
        _TIP,
        f'<rect width="{wide}" height="{high}" fill="#fff"/>',
        *arrows,
        *(_box(room, *corners[room.name]) for room in rooms),
        "</svg>\n",
    ))  # fmt: skip


def _box(room: Room, x: int, y: int) -> str:
    width, height = _BOX
    text = f'<text x="{x + width // 2}" text-anchor="middle" font-family="sans-serif"'
    what = room.what.replace("`", "")
    return "\n".join((
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="5" fill="#eef3f8" stroke="#456"/>',
        f'{text} y="{y + 19}" font-size="14" font-weight="bold" fill="#123">{room.name}</text>',
        f'{text} y="{y + 37}" font-size="12" fill="#345">{what}</text>',
    ))  # fmt: skip


def _arrow(room: Room, target: Room, start: tuple[int, int], end: tuple[int, int], rooms: tuple[Room, ...]) -> str:
    """Draw an arrow that touches no third box and ends upright, apart from those of other columns."""
    width, height = _BOX
    aside = target.column - room.column
    x, y = start[0] + width // 2, start[1] + height
    end_x, end_y = end[0] + width // 2 - round(aside * width * _LANDING), end[1]
    if not aside:
        way = f"M{x} {y}V{end_y}"
    elif room.floor - target.floor == 1:
        middle = (y + end_y - _TIP_LENGTH) // 2
        way = f"M{x} {y}C{x} {middle} {end_x} {middle} {end_x} {end_y - _TIP_LENGTH}V{end_y}"
    else:  # out at its side, as there are boxes below it
        x, y = start[0] + (width if aside > 0 else 0), start[1] + height // 2
        if any(each.column == target.column and target.floor < each.floor < room.floor for each in rooms):
            end_x = end[0] + (0 if aside > 0 else width)  # down between the columns, and in at the other side
            way = f"M{x} {y + height // 4}H{(x + end_x) // 2}V{end_y + height // 2}H{end_x}"
        else:
            way = f"M{x} {y}Q{end_x} {y} {end_x} {end_y}"
    return f'<path d="{way}" fill="none" stroke="#555" stroke-width="1.3" marker-end="url(#tip)"/>'


def pictures() -> dict[str, str]:
    """Return all pictures by the names of their files."""
    return {"rooms.svg": picture(HOUSE), "cores.svg": picture(CORES, f"{_PACKAGE}.core")}


def main() -> int:
    """Write the table and the pictures; return 0."""
    page = DOCS / "architecture.md"
    page.write_text(written(page.read_text(encoding="utf-8")), encoding="utf-8")
    for name, text in pictures().items():
        (DOCS / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
