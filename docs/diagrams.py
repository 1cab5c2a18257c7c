"""Draws the diagrams of docs/concepts/: `make docs-tables`. What they show is said here by hand."""

import itertools
import sys
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent / "concepts"

_MARGIN: Final = 16
_BOX: Final = (132, 40)
_LANE: Final = 180
"""From the middle of one lane to that of the next."""
_STEP: Final = 46
_GONE: Final = "#b3261e"
_LINE: Final = "#456"
_TEXT: Final = "#123"
_TIPS: Final = "".join(
    f'<marker id="{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
    f'<path d="M0 0L8 4L0 8z" fill="{colour}"/></marker>'
    for name, colour in (("tip", _LINE), ("lost", _GONE))
)


@dataclass(frozen=True)
class Message:
    """Something that one lane says to another, from top to bottom.

    Attributes:
        start: the lane that it comes from.
        end: the lane that it goes to.
        text: what it says.
        lost: it does not arrive.
    """

    start: str
    end: str
    text: str
    lost: bool = False


@dataclass(frozen=True)
class Note:
    """Something that happens at a lane.

    Attributes:
        lane: where.
        text: what.
        end: whether the lane ends by it.
    """

    lane: str
    text: str
    end: bool = False


Step = Message | Note

SEQUENCES: Final[dict[str, tuple[tuple[str, ...], tuple[Step, ...]]]] = {
    "request.svg": (
        ("client", "broker b1", "worker"),
        (
            Message("worker", "broker b1", "CREDIT 64"),
            Message("client", "broker b1", "REQUEST, 5 s left"),
            Note("broker b1", "right, limits, worker"),
            Message("broker b1", "worker", "REQUEST, 4.99 s left"),
            Note("worker", "the handler runs"),
            Message("worker", "broker b1", "WORKING"),
            Message("broker b1", "client", "WORKING"),
            Message("worker", "broker b1", "REPLY"),
            Message("broker b1", "client", "REPLY"),
        ),
    ),
    "failover.svg": (
        ("client", "broker b1", "broker b2", "worker"),
        (
            Message("client", "broker b1", "REQUEST"),
            Message("broker b1", "worker", "REQUEST"),
            Note("worker", "the handler runs"),
            Note("broker b1", "kill -9", end=True),
            Message("client", "broker b2", "REQUEST, same id, duplicate"),
            Message("broker b2", "worker", "REQUEST"),
            Note("worker", "joins the run"),
            Message("worker", "broker b2", "REPLY"),
            Message("broker b2", "client", "REPLY"),
        ),
    ),
    "membership.svg": (
        ("b1", "b2", "b3"),
        (
            Message("b1", "b2", "PING"),
            Message("b2", "b1", "ACK, and news"),
            Note("b2", "kill -9", end=True),
            Message("b1", "b2", "PING", lost=True),
            Message("b1", "b3", "PING b2 for me"),
            Message("b3", "b2", "PING", lost=True),
            Message("b1", "b3", "b2 is suspect"),
            Note("b1", "nobody refutes it"),
            Message("b1", "b3", "b2 is dead"),
        ),
    ),
    "registry.svg": (
        ("authority", "b1", "b2", "new member"),
        (
            Note("new member", "makes its key"),
            Message("new member", "authority", "CODE: its public key, by you"),
            Note("authority", "signs registry 8"),
            Message("authority", "b1", "registry 8"),
            Message("b1", "b2", "registry 8"),
            Message("new member", "b2", "CURVE handshake"),
            Note("b2", "its key is registered"),
            Message("b2", "new member", "its certificate"),
        ),
    ),
}
"""Diagrams of messages between lanes, by the names of their files."""

NET: Final = (("shop", "orders", "web"), ("b1", "b2", "b3"), ("pricing-1", "pricing-2", "mail-1"))
"""Callers, brokers, workers."""


def sequence(lanes: tuple[str, ...], steps: tuple[Step, ...]) -> str:
    """Return messages between lanes as an SVG."""
    width, height = _BOX
    at = {lane: _MARGIN + width // 2 + number * _LANE for number, lane in enumerate(lanes)}
    top = _MARGIN + height
    bottom = top + (len(steps) + 1) * _STEP - _STEP // 3
    ends = dict.fromkeys(lanes, bottom)
    parts = []
    for number, step in enumerate(steps, 1):
        y = top + number * _STEP
        if isinstance(step, Message):
            parts.append(_message(step, at[step.start], at[step.end], y))
        else:
            parts.append(_note(step, at[step.lane], y))
            if step.end:
                ends[step.lane] = y
    lines = [f'<path d="M{at[lane]} {top}V{ends[lane]}" stroke="#9ab" stroke-dasharray="4 4"/>' for lane in lanes]
    boxes = [_box(at[lane], _MARGIN, lane) for lane in lanes]
    return _svg(2 * _MARGIN + width + (len(lanes) - 1) * _LANE, bottom + _MARGIN, [*lines, *parts, *boxes])


def net() -> str:
    """Return a net as an SVG: each node is connected to each broker, and each broker to each other one."""
    width, height = _BOX
    gap_x, gap_y = 210, 84
    places = {
        name: (_MARGIN + width // 2 + column * gap_x, _MARGIN + 22 + row * gap_y)
        for column, names in enumerate(NET)
        for row, name in enumerate(names)
    }
    callers, brokers, workers = NET
    lines = []
    for nodes, side in ((callers, 1), (workers, -1)):
        for node in nodes:
            for broker in brokers:
                (x, y), (end_x, end_y) = places[node], places[broker]
                ends = (x + side * width // 2, y + height // 2, end_x - side * width // 2, end_y + height // 2)
                lines.append(f'<path d="M{ends[0]} {ends[1]}L{ends[2]} {ends[3]}" stroke="{_LINE}"/>')
    for upper, lower in itertools.pairwise(brokers):
        (x, y), (_, end_y) = places[upper], places[lower]
        lines.append(f'<path d="M{x} {y + height}V{end_y}" stroke="{_LINE}"/>')
    (x, y), (_, end_y) = places[brokers[0]], places[brokers[-1]]
    side, reach = x + width // 2, x + width // 2 + 22
    lines.append(
        f'<path d="M{side} {y + 12}C{reach} {y + 12} {reach} {end_y + 28} {side} {end_y + 28}" stroke="{_LINE}"/>'
    )
    heads = [
        _text(_MARGIN + width // 2 + column * gap_x, _MARGIN + 10, text)
        for column, text in enumerate(("nodes that call", "brokers", "nodes that serve"))
    ]
    boxes = [_box(x, y, name) for name, (x, y) in places.items()]
    high = 2 * _MARGIN + 22 + 2 * gap_y + height
    return _svg(2 * _MARGIN + width + 2 * gap_x, high, [*lines, *heads, *boxes])


def _message(step: Message, start: int, end: int, y: int) -> str:
    side = 1 if end > start else -1
    colour, tip = (_GONE, "lost") if step.lost else (_LINE, "tip")
    arrow = f'<path d="M{start} {y}H{end - 2 * side}" stroke="{colour}" stroke-width="1.5" marker-end="url(#{tip})"/>'
    near = start + side * _LANE // 2  # beside the lane that it comes from, where nothing is in the way
    return arrow + _text(near, y - 8, step.text, colour if step.lost else _TEXT)


def _note(step: Note, x: int, y: int) -> str:
    colour = _GONE if step.end else _LINE
    half = 4 * len(step.text) + 6
    box = f'<rect x="{x - half}" y="{y - 20}" width="{2 * half}" height="26" rx="4" fill="#fff" stroke="{colour}"/>'
    return box + _text(x, y - 3, step.text, colour)


def _box(x: int, y: int, text: str) -> str:
    width, height = _BOX
    place = f'x="{x - width // 2}" y="{y}" width="{width}" height="{height}"'
    return f'<rect {place} rx="5" fill="#eef3f8" stroke="{_LINE}"/>' + _text(
        x, y + height // 2 + 5, text, _TEXT, "bold"
    )


def _text(x: int, y: int, text: str, colour: str = _TEXT, weight: str = "normal") -> str:
    kind = f'font-family="sans-serif" font-size="13" font-weight="{weight}" fill="{colour}"'
    halo = 'stroke="#fff" stroke-width="4" paint-order="stroke"'
    return f'<text x="{x}" y="{y}" text-anchor="middle" {kind} {halo}>{escape(text)}</text>'


def _svg(wide: int, high: int, parts: list[str]) -> str:
    return "\n".join((
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide}" height="{high}" viewBox="0 0 {wide} {high}">',
        "<!-- Written by docs/diagrams.py: make docs-tables -->",
        f'<defs>{_TIPS}</defs><rect width="{wide}" height="{high}" fill="#fff"/><g fill="none">',
        *parts,
        "</g></svg>\n",
    ))  # fmt: skip


def pictures() -> dict[str, str]:
    """Return all diagrams by the names of their files."""
    return {"net.svg": net(), **{name: sequence(*told) for name, told in SEQUENCES.items()}}


def main() -> int:
    """Write the diagrams; return 0."""
    for name, text in pictures().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
