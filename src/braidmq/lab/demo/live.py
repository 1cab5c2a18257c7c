"""The live view in the terminal. The only module that imports rich."""

from typing import Final, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from braidmq.histogram import Histogram
from braidmq.lab.demo.board import SAMPLE_S, Board, BrokerRow, BrokerState

CHART_ROWS: Final = 5

_LABEL_COLUMNS: Final = 7
_EIGHTHS: Final = " ▁▂▃▄▅▆▇█"
_SHARE_COLUMNS: Final = 16

_LOOKS: Final = {
    BrokerState.UP: ("●", "green"),
    BrokerState.STARTING: ("◌", "yellow"),
    BrokerState.DOWN: ("✗", "bold red"),
}

_DIGITS: Final = {
    "0": ("█▀█", "█ █", "▀▀▀"),
    "1": ("▀█ ", " █ ", "▀▀▀"),
    "2": ("▀▀█", "█▀▀", "▀▀▀"),
    "3": ("▀▀█", " ▀█", "▀▀▀"),
    "4": ("█ █", "▀▀█", "  ▀"),
    "5": ("█▀▀", "▀▀█", "▀▀▀"),
    "6": ("█▀▀", "█▀█", "▀▀▀"),
    "7": ("▀▀█", "  █", "  ▀"),
    "8": ("█▀█", "█▀█", "▀▀▀"),
    "9": ("█▀█", "▀▀█", "▀▀▀"),
}


class LiveView:
    """Draws the board on a screen of its own; needs 80 columns and 24 lines, and shows less on fewer."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()
        self._live = Live(console=self._console, screen=True, auto_refresh=False, vertical_overflow="crop")

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Return to the screen that was there before."""
        self._live.stop()

    def show(self, board: Board, now: float) -> None:
        """Draw the board."""
        self._live.update(picture(board, now, self._console.width, self._console.height), refresh=True)


def picture(board: Board, now: float, width: int, height: int) -> RenderableType:
    """Return the whole picture for a terminal of this size."""
    fixed = 1 + (CHART_ROWS + 1 + 2) + 5
    rows_max = max(1, height - fixed - 2)
    rows = min(len(board.brokers), rows_max)
    parts: list[RenderableType] = [
        _header(board, now, width),
        _chart(board, now, width),
        _counters(board),
        _brokers(board, now, rows),
    ]
    events = height - fixed - (rows + 2) - 2
    if events > 0:
        parts.append(_events(board, events))
    return Group(*parts)


def _header(board: Board, now: float, width: int) -> RenderableType:
    plan = board.plan
    left = Text.assemble(
        (" BraidMQ demo ", "bold reverse"),
        f" {plan.brokers} brokers, {plan.workers} workers, {plan.clients} clients",
        ("  kill -9 every ", "dim"),
        (f"{plan.kill_every_s:g} s", "dim"),
    )
    if board.started_at is None:
        right = Text("starting", style="yellow")
    elif board.stopped_at is not None:
        right = Text("draining", style="yellow")
    else:
        right = Text(f"{board.elapsed_s(now):.1f} of {plan.duration_s:g} s")
    line = Table.grid(expand=True)
    line.add_column(no_wrap=True, overflow="ellipsis")
    line.add_column(justify="right", no_wrap=True)
    line.add_row(left, right)
    line.width = width
    return line


def _chart(board: Board, now: float, width: int) -> RenderableType:
    columns = max(10, width - 4 - _LABEL_COLUMNS)
    shown = max(1, round(board.plan.duration_s / SAMPLE_S))
    first = 0
    if shown > columns:
        shown, first = columns, max(0, board.samples - columns)
    rates = list(board.rates)[-shown:] if first else list(board.rates)
    top = max(board.plan.rate * 1.2, *rates) if rates else board.plan.rate * 1.2
    samples = [column * shown // columns for column in range(columns)]
    lines = []
    for row in reversed(range(CHART_ROWS)):
        label = f"{top:,.0f}" if row == CHART_ROWS - 1 else "0" if row == 0 else ""
        bar = "".join(_cell(rates[i] / top, row) if i < len(rates) else " " for i in samples)
        lines.append(Text.assemble((f"{label:>{_LABEL_COLUMNS - 1}} ", "dim"), (bar, "green")))
    lines.append(Text.assemble((f"{'kill -9':<{_LABEL_COLUMNS}}", "red"), (_kill_marks(board, samples, first), "red")))
    latency = board.latency()
    p50, p99 = _ms(latency, 50), _ms(latency, 99)
    held_back = board.totals.held_back
    title = Text.assemble(
        ("replies per second: ", ""),
        (f"{board.rate(now):,.0f}", "bold green"),
        (f"   {held_back:,} held back", "yellow") if held_back else f"   {board.totals.open:,} under way",
        f"   p50 {p50}   p99 {p99}",
    )
    return Panel(Group(*lines), title=title, title_align="left", border_style="dim", height=CHART_ROWS + 3)


def _cell(share: float, row: int) -> str:
    eighths = round(share * CHART_ROWS * 8) - row * 8
    return _EIGHTHS[max(0, min(8, eighths))]


def _kill_marks(board: Board, samples: list[int], first: int) -> str:
    marked = set(board.kills_at)
    marks, last = [], -1
    for sample in samples:
        marks.append("▲" if sample != last and sample + first in marked else " ")
        last = sample
    return "".join(marks)


def _counters(board: Board) -> RenderableType:
    totals = board.totals
    style = "bold red" if totals.lost else "bold green"
    big = Text("\n".join(" ".join(_DIGITS[digit][row] for digit in str(totals.lost)) for row in range(3)), style=style)
    figures = Table.grid(expand=True, padding=(0, 2))
    for _ in range(3):
        figures.add_column(no_wrap=True)
        figures.add_column(justify="right", no_wrap=True)
    latency = totals.latency
    failed = Text(f"{totals.failed:,}", style="bold red" if totals.failed else "green")
    figures.add_row("requests", f"{totals.requests:,}", "kills", f"{board.kills:,}", "p50", _ms(latency, 50))
    figures.add_row("replies", f"{totals.replies:,}", "retries", f"{totals.retries:,}", "p99", _ms(latency, 99))
    figures.add_row(
        "errors", failed, "possible duplicates", f"{totals.possible_duplicates:,}", "max", _ms(latency, 100)
    )
    both = Table.grid(expand=True)
    both.add_column(width=max(11, 4 * len(str(totals.lost)) + 5))
    both.add_column(ratio=1)
    both.add_row(
        Panel(big, title=Text("lost", style=style), title_align="left", border_style=style, height=5),
        Panel(figures, title="since the start", title_align="left", border_style="dim", height=5),
    )
    return both


def _brokers(board: Board, now: float, rows: int) -> RenderableType:
    table = Table.grid(expand=True, padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, width=10)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True, ratio=1)
    most = max(1, *(row.replies for row in board.brokers.values()))
    shown = list(board.brokers.values())[:rows]
    for row in shown:
        table.add_row(*_broker_cells(row, now, most))
    more = len(board.brokers) - len(shown)
    title = f"brokers, and {more} more" if more else "brokers"
    return Panel(table, title=title, title_align="left", border_style="dim", height=rows + 2)


def _broker_cells(row: BrokerRow, now: float, most: int) -> list[RenderableType]:
    mark, style = _LOOKS[row.state]
    gone = row.state is BrokerState.DOWN
    share = "█" * round(_SHARE_COLUMNS * row.replies / most)
    return [
        Text(row.name, style="bold"),
        Text(f"{mark} {row.state}", style=style),
        Text(f"pid {row.pid}" if row.pid else "", style="strike dim" if gone else ""),
        Text(f"for {max(0.0, now - row.since):.1f} s" if row.pid else "", style="dim"),
        f"{row.replies:,} replies",
        Text(share, style="red dim" if gone else "green dim"),
    ]


def _events(board: Board, rows: int) -> RenderableType:
    lines = [Text.assemble((f"{at:6.1f} s  ", "dim"), _coloured(text)) for at, text in list(board.events)[-rows:]]
    return Panel(Group(*lines), title="events", title_align="left", border_style="dim", height=rows + 2)


def _coloured(text: str) -> Text:
    return Text(text, style="red" if text.startswith("kill") else "green" if text.endswith("again") else "")


def _ms(latency: Histogram, percent: float) -> str:
    return f"{latency.percentile_ms(percent):,.1f} ms"
