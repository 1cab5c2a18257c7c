"""The screen of `braidmq top` as rich draws it; the only module of it that imports rich, which is an extra."""

from itertools import islice
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from braidmq.cli.status_text import per_s, unreached_lines
from braidmq.cli.top.details import detail_lines, finding_lines
from braidmq.cli.top.pages import PAGES, Kind, Mood, Net, Row, broker_state
from braidmq.cli.top.state import HELP, Screen
from braidmq.monitor.diagnoses import is_well
from braidmq.monitor.rates import UNKNOWN
from braidmq.printable import printable

FINDING_LINES_MAX: Final = 4
"""Lines on what is wrong, above each list: more than half of a small screen is for the list."""

ASKING: Final = "asking the brokers"

_STYLES: Final = {Mood.PLAIN: "", Mood.NOTE: "yellow", Mood.BAD: "bold red"}

_KEYS: Final = "q quit  ? help  Tab next list  Enter open  / filter  s sort  r reverse"

_DETAIL_KEYS: Final = "q quit  ? help  Esc back  up down scroll"


def frame(console: Console, screen: Screen, net: Net, at: str) -> list[str]:
    """Return the lines of the screen, as many as it is high, with what sets colours if it has any.

    Args:
        console: how wide and high the screen is, and which colours it has.
        screen: what is to be shown.
        net: what was seen.
        at: when, as text.
    """
    width, height = console.size
    top = _head(net, width)
    parts = [*top, *_body(screen, net, width, rows_shown(net, width, height))]
    with console.capture() as capture:
        console.print(Group(*parts), end="")
    lines = capture.get().split("\n")[: max(1, height - 1)]
    lines += [""] * (height - 1 - len(lines))
    with console.capture() as capture:
        console.print(Group(_foot(screen, at, width)), end="")
    return [*lines, capture.get().rstrip("\n")][:height]


def rows_shown(net: Net, width: int, height: int) -> int:
    """Return how many rows of a list fit: below the head, the names of the lists and those of the columns."""
    return max(1, height - len(_head(net, width)) - 3)


def _line(text: str, style: str = "") -> Text:
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")


def _head(net: Net, width: int) -> list[RenderableType]:
    """Return the sentence, what is wrong, the brokers in one line, and an empty line."""
    if not net.views:
        return [_line(ASKING, "bold"), _line("")]
    told = any(view.told for view in net.views)
    style = "bold green" if told and is_well(net.findings) else "bold red"
    lines: list[RenderableType] = [_line(net.sentence, style)]
    first = net.findings[: FINDING_LINES_MAX + 1]  # each has a line at least
    about = finding_lines(first, width) if told else unreached_lines(net.views)
    lines += [_line(line, "red" if line.startswith("!") else "") for line in about[:FINDING_LINES_MAX]]
    if len(about) > FINDING_LINES_MAX:
        lines[-1] = _line("  ... 5 shows all of it")
    return [*lines, *([_brokers(net)] if told else []), _line("")]


def _brokers(net: Net) -> Text:
    strip = _line("")
    for view in net.views:
        name, state = printable(view.info.name), printable(broker_state(net, view))
        rate = net.rates.get(view.info.name, UNKNOWN).requests
        style = "green" if state == "up" else "yellow" if state == "draining" else "bold red"
        strip.append("  " if strip.plain else "")
        strip.append(f"{name} {state}", style)
        strip.append(f" {per_s(rate)}/s" if rate is not None else "")
    return strip


def _body(screen: Screen, net: Net, width: int, room: int) -> list[RenderableType]:
    if screen.helping:
        return _scrolled("Help", list(HELP), screen, room)
    if screen.opened is not None:
        title = f"{screen.kind} > {screen.opened}"
        return _scrolled(title, detail_lines(net, screen.kind, screen.opened, width), screen, room)
    rows = screen.rows(net)
    if not rows:
        return [_tabs(screen, ""), _line(_nothing(screen), "dim")]
    first = max(0, min(screen.selected(rows) - room // 2, len(rows) - room))
    last = min(len(rows), first + room)
    part = f"  {first + 1:,} to {last:,} of {len(rows):,}" if last - first < len(rows) else ""
    return [_tabs(screen, part), _list(screen, rows, first, last)]


def _scrolled(title: str, lines: list[str], screen: Screen, room: int) -> list[RenderableType]:
    """Return a part of some lines; the screen is told if it has been scrolled too far."""
    screen.scroll = min(screen.scroll, max(0, len(lines) - room - 1))
    shown = lines[screen.scroll : screen.scroll + room + 1]
    below = len(lines) - screen.scroll - len(shown)
    more = f"  ({below:,} more lines below)" if below else ""
    return [_line(f"{title}{more}", "bold"), *(_line(line, "red" if line.startswith("!") else "") for line in shown)]


def _tabs(screen: Screen, part: str) -> Text:
    line = _line("")
    for number, kind in enumerate(Kind, 1):
        chosen = kind is screen.kind
        line.append(f"[{number} {kind}]" if chosen else f" {number} {kind} ", "bold reverse" if chosen else "dim")
    if screen.filter:
        line.append(f"  filter: {screen.filter}", "yellow")
    return line.append(part)


def _nothing(screen: Screen) -> str:
    what = screen.kind.lower()
    return f"none of the {what} fits {screen.filter!r}: Esc shows all" if screen.filter else f"there are no {what}"


def _list(screen: Screen, rows: list[Row], first: int, last: int) -> Table:
    selected = screen.selected(rows)
    table = Table(box=None, expand=True, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("", width=2, no_wrap=True)
    for place, column in enumerate(PAGES[screen.kind].columns):
        mark = ("^" if column.number == screen.sorting.reverse else "v") if place == screen.sorting.column else ""
        table.add_column(
            f"{column.title}{mark}",
            justify="right" if column.number else "left",
            no_wrap=True,
            overflow="ellipsis",
            ratio=1 if column.wide else None,
            min_width=len(column.title) + 1 if place == 0 or not column.wide else None,
        )
    for place, row in enumerate(islice(rows, first, last), first):
        chosen = place == selected
        style = f"{_STYLES[row.mood]}{' reverse' if chosen else ''}"
        table.add_row(f"{'>' if chosen else ' '}{row.mood}", *map(Text, row.cells), style=style)
    return table


def _foot(screen: Screen, at: str, width: int) -> Text:
    if screen.editing:
        return _line(f"filter: {screen.filter}_   Enter keeps it, Esc takes it away", "bold")
    keys = _DETAIL_KEYS if screen.helping or screen.opened is not None else _KEYS
    return _line(f"{keys:<{max(0, width - len(at) - 1)}} {at}", "reverse")
