"""What the demo shows: the choice of the view, the plain one, and the summary."""

import importlib.util
import sys
from collections.abc import Callable
from typing import Final, Protocol, Self

from braidmq import stderr
from braidmq.host.writer import Writer
from braidmq.lab.demo.board import Board, BrokerState
from braidmq.lab.demo.summary import Summary

LINE_S: Final = 1.0
"""From one line of the plain view to the next."""

LIVE_HINT: Final = "A live picture of this needs rich: pip install 'braidmq[tui]'"


class View(Protocol):
    """Shows a demo while it runs. It is entered before the first picture and left after the last."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(self, *_: object) -> None:
        """End, and leave the terminal as it was."""

    def show(self, board: Board, now: float) -> None:
        """Show the demo as it is now; called several times a second."""


class PlainView:
    """A line per second, and one for whatever happens.

    Args:
        write: takes a line.
        flush: waits, for a short time, until all lines are written.
        hint: the first line, if there is one.
    """

    def __init__(self, write: Callable[[str], None], flush: Callable[[], object], hint: str = "") -> None:
        self._write = write
        self._flush = flush
        self._hint = hint
        self._told = 0
        self._line_at = 0.0
        self._starting = True

    def __enter__(self) -> Self:
        if self._hint:
            self._write(self._hint)
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing was changed; what follows comes after the lines."""
        self._flush()

    def show(self, board: Board, now: float) -> None:
        """Write what is new."""
        fresh = min(board.told - self._told, len(board.events))
        for at, text in list(board.events)[len(board.events) - fresh :]:
            self._write(f"{at:6.1f} s  {text}")
        self._told = board.told
        if board.started_at is None:
            if self._starting:
                self._starting = False
                self._write(_start_line(board))
        elif now >= self._line_at and board.stopped_at is None:
            self._line_at = now + LINE_S
            self._write(_line(board, now))


def choose_view(as_json: bool) -> View:
    """Return the live view where it can be shown, else plain lines; on stderr if stdout is for JSON."""
    if as_json:
        return PlainView(stderr.say, stderr.flush)
    drawable = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8" and sys.stdout.isatty()
    if drawable and importlib.util.find_spec("rich") is not None:
        from braidmq.lab.demo.live import LiveView  # noqa: PLC0415 - rich is an extra

        return LiveView()
    writer = Writer(sys.stdout.fileno())
    encoding = sys.stdout.encoding or "utf-8"

    def write(line: str) -> None:
        writer.write(f"{line}\n".encode(encoding, "backslashreplace"))

    return PlainView(write, writer.flush, LIVE_HINT if drawable else "")


def headline(summary: Summary) -> str:
    """Return the outcome in one line."""
    killed = f"{summary.brokers_killed} broker{'s' * (summary.brokers_killed != 1)} killed"
    if summary.ok:
        return f"{killed} with kill -9 in {summary.duration_s:.1f} s of load: nothing lost."
    causes = [f"{count} {cause}" for cause, count in summary.lost_because.items()]
    causes += [f"{count} {kind}" for kind, count in summary.error_types.items()]
    return f"FAILED. {killed}; {summary.lost} lost, {summary.errors} errors{': ' * bool(causes)}{', '.join(causes)}."


def summary_lines(summary: Summary) -> list[str]:
    """Return the outcome as lines of plain text."""
    recovery = summary.recovery
    shares = ", ".join(f"{name} {count:,}" for name, count in summary.replies_by_broker.items())
    rows = [
        (
            "requests",
            f"{summary.requests:,}",
            f"{summary.rate_per_s:,.0f} per second, of {summary.payload_bytes:,} bytes",
        ),
        ("replies", f"{summary.replies:,}", "each checked byte for byte"),
        ("lost", f"{summary.lost:,}", "no right reply, no typed error by the deadline"),
        ("errors", f"{summary.errors:,}", "typed errors: no worker, overloaded, ..."),
        ("brokers killed", f"{summary.brokers_killed:,}", f"with kill -9; {summary.brokers_restarted:,} restarted"),
        ("retries", f"{summary.retries:,}", "attempts that may have been lost with a broker"),
        ("possible duplicates", f"{summary.possible_duplicates:,}", "replies flagged: it may have run twice"),
    ]
    if summary.held_back:
        rows.append(("held back", f"{summary.held_back:,}", "due, but not issued: too many were under way"))
    lines = [headline(summary), ""]
    lines += [f"  {name:<20}{figure:>9}   {note}" for name, figure, note in rows]
    lines += [
        "",
        _latencies("latency", p50=summary.p50_ms, p99=summary.p99_ms, max=summary.max_ms),
    ]
    if recovery.retried:
        lines.append(
            _latencies("retried", p50=recovery.retried_p50_ms, p99=recovery.retried_p99_ms, max=recovery.retried_max_ms)
        )
    lines.append(f"  through    {shares}")
    lines.append(
        f"  work       {summary.work_ms[0]:g} to {summary.work_ms[1]:g} ms per request, which the latencies include"
    )
    lines += [f"  problem    {problem}" for problem in summary.problems]
    return lines


def _latencies(name: str, **latencies_ms: float) -> str:
    return f"  {name:<11}{'   '.join(f'{key} {value:,.1f} ms' for key, value in latencies_ms.items())}"


def _start_line(board: Board) -> str:
    plan = board.plan
    return f"{'':8} starting {plan.brokers} brokers, {plan.workers} workers, {plan.clients} clients"


def _line(board: Board, now: float) -> str:
    latency = board.latency()
    states = "  ".join(
        f"{row.name} {row.state.upper() if row.state is BrokerState.DOWN else row.state}"
        for row in board.brokers.values()
    )
    return (
        f"{board.elapsed_s(now):6.1f} s  {board.rate(now):7,.0f}/s  p50 {latency.percentile_ms(50):5.1f} ms  "
        f"p99 {latency.percentile_ms(99):6.1f} ms  lost {board.totals.lost}  errors {board.totals.failed}  {states}"
    )
