"""What a trial has shown, for people. Pure."""

import math
from collections.abc import Sequence
from typing import Final

from braidmq.cli.status_text import table
from braidmq.cli.trial.steps import Step, Verdict
from braidmq.cli.trial.tally import PERCENTILES, Tally, percentiles_ms
from braidmq.errors import BraidError
from braidmq.histogram import GROWTH, LOW_MS, Histogram
from braidmq.messages import Reply
from braidmq.printable import printable

BARS_MAX: Final = 12
"""Lines of a picture of latencies: it stands beside two tables on one screen."""

BAR_COLUMNS: Final = 40

BUSY: Final = 0.9
"""The share of a processor that a process takes which is at its own limit: Python runs one thread at a time."""

TITLES: Final = [f"{name.replace('_', '.').upper()} ms" for name in PERCENTILES]
"""What percentiles are called in tables."""


def end_line(number: int, end: Reply | BraidError, latency_s: float) -> str:
    """Return the line on a call that has ended."""
    took = f"{milliseconds(latency_s * 1000)} ms"
    if isinstance(end, BraidError):
        return printable(f"{number}: {type(end).__name__} after {took}: {end}")
    notes = [f"{len(end.payload):,} bytes"]
    if end.retry_count:
        notes.append(f"retry {end.retry_count}")
    if end.possible_duplicate:
        notes.append("a possible duplicate")
    return printable(f"{number}: {took} by {end.sender} over {end.broker}, {', '.join(notes)}")


def lost_lines(count: int) -> bytes:
    """Return the line that stands for some that nobody has read in time."""
    return f"... {count:,} lines were lost here: stdout was not read in time\n".encode()


def summary(service: str, tally: Tally, seconds: float) -> str:
    """Return what became of all calls, how long they took over each path, and a picture of that."""
    sections = [
        [f"{service}: {sum_line(tally, seconds)}", *error_lines(tally)],
        path_table(tally),
        picture(tally.latency),
    ]
    return "\n\n".join("\n".join(section) for section in sections if section)


def path_table(tally: Tally) -> list[str]:
    """Return the table of the paths: a row for each broker and worker, and their sum."""
    rows = [(path.broker, path.worker, f"{each.total:,}", *cells(each)) for path, each in sorted(tally.paths.items())]
    if len(rows) > 1:
        rows.append(("all", "all", f"{tally.answered:,}", *cells(tally.latency)))
    return table(("BROKER", "WORKER", "REPLIES", *TITLES), rows)


def cells(latency: Histogram) -> list[str]:
    """Return the percentiles of latencies as the cells of a row."""
    return [milliseconds(value) for value in percentiles_ms(latency).values()]


def milliseconds(value: float) -> str:
    """Return a time in milliseconds, with three digits that count."""
    return f"{value:,.{max(0, min(3, 2 - math.floor(math.log10(value)))) if value > 0 else 0}f}"


def picture(latency: Histogram) -> list[str]:
    """Return latencies as bars, each for the same factor in time; none if there is nothing to compare."""
    if len(latency.counts) < 2:
        return []
    first, last = min(latency.counts), max(latency.counts)
    wide = -(-(last - first + 1) // BARS_MAX)
    bars = [0] * -(-(last - first + 1) // wide)
    for bucket, count in latency.counts.items():
        bars[(bucket - first) // wide] += count
    most = max(bars)
    rows = [
        (
            f"{milliseconds(LOW_MS * GROWTH ** (first + wide * place - 1))} to",
            milliseconds(LOW_MS * GROWTH ** (first + wide * (place + 1) - 1)),
            f"{count:,}",
            "#" * math.ceil(BAR_COLUMNS * count / most),
        )
        for place, count in enumerate(bars)
    ]
    return table(("FROM", "TO ms", "REPLIES", ""), rows)


def error_lines(tally: Tally) -> list[str]:
    """Return a line for each kind of error, the most frequent first."""
    return [f"  {count:,} x {kind}" for kind, count in tally.errors.most_common()]


def sum_line(tally: Tally, seconds: float) -> str:
    """Return in one line what became of all calls."""
    parts = [f"{tally.sent:,} sent", f"{tally.answered:,} answered", f"{tally.failed:,} failed"]
    if tally.under_way:
        parts.append(f"{tally.under_way:,} under way")
    if tally.retries:
        parts.append(f"{tally.retries:,} retries")
    if tally.possible_duplicates:
        parts.append(f"{tally.possible_duplicates:,} possible duplicates")
    return f"{', '.join(parts)}, in {seconds:,.1f} s"


def progress_line(tally: Tally, seconds: float) -> str:
    """Return how far a load is."""
    ends = f"{tally.answered:,} answered, {tally.failed:,} failed, {tally.under_way:,} under way"
    return f"{seconds:5.0f} s  {ends}, p99 {milliseconds(tally.latency.percentile_ms(99))} ms"


def load_text(service: str, payload_bytes: int, steps: Sequence[Step], verdict: Verdict | None) -> str:
    """Return what a load has shown."""
    sections = [step_table(steps)]
    if len(steps) == 1:
        tally = steps[0].tally
        sections += [
            [sum_line(tally, steps[0].seconds), *error_lines(tally)],
            path_table(tally),
            picture(tally.latency),
        ]
    sections[0].insert(0, f"{service}: calls of {payload_bytes:,} bytes")
    if verdict is not None:
        sections.append([verdict_line(service, verdict)])
    held_back = sum(step.held_back for step in steps)
    if held_back:
        sections.append([f"{held_back:,} calls were due and did not begin, as too many were under way"])
    if any(step.busy >= BUSY for step in steps):
        sections.append(
            ["This command took a whole processor, so the service may be able to do more: run several of them at once."]
        )
    return "\n\n".join("\n".join(section) for section in sections if section)


def step_table(steps: Sequence[Step]) -> list[str]:
    """Return the table of the steps of a load."""
    is_open = bool(steps[0].rate)
    rows = [
        (
            f"{step.rate:,.1f}" if is_open else f"{step.in_flight:,}",
            f"{step.per_s:,.1f}",
            f"{step.tally.failed:,}",
            *cells(step.tally.latency),
        )
        for step in steps
    ]
    return table(("RATE" if is_open else "IN FLIGHT", "REPLIES/S", "FAILED", *TITLES), rows)


def verdict_line(service: str, verdict: Verdict) -> str:
    """Return where a service is at its limit."""
    step = verdict.step
    if step is None:
        return f"{service} does not take the least of these loads: {verdict.why}"
    with_what = f"at {step.rate:,.1f} a second" if step.rate else f"with {step.in_flight:,} in flight"
    p99 = milliseconds(step.tally.latency.percentile_ms(99))
    how_much = f"{step.per_s:,.0f} replies a second ({with_what}, p99 {p99} ms)"
    if verdict.full:
        return f"{service} is full at about {how_much}: beyond, {verdict.why}"
    return f"{service} takes {how_much}, and is not full: {verdict.why}"
