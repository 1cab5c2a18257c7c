"""The report: docs/fault-matrix.json for programs, docs/fault-matrix.md for people, a row for each fault."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, Self

from faults import stored

Verdict = Literal["met", "missed", "failed", "skipped", "pending"]

NAME: Final = "fault-matrix"

OURS: Final = "BraidMQ"

OWN_COLUMN: Final = frozenset(
    (
        "requests", "lost", "errors", "success", "duplicated", "flagged", "affected", "affected_p99_ms",
        "affected_worst_ms", "recovery_s", "p50_ms", "p99_ms", "worst_ms", "violations", "attempts_per_request", "rate",
    )
)  # fmt: skip
"""Figures that have a column or a sentence of their own; the others are listed below the table."""

COLUMNS: Final = (
    "Fault", "Target", "Verdict", "Runs", "Requests", "Lost", "Errors", "Duplicated", "Flagged", "Affected", "p99",
    "Worst", "Back after",
)  # fmt: skip


@dataclass
class Row:
    """What came out of one row.

    Attributes:
        name: of the scenario.
        fault: what was done.
        target: what was to be reached.
        verdict: whether it was.
        why: what falls short, or why it was not run.
        system: who was put to the test.
        date: of the run.
        version: of BraidMQ.
        machine: its class.
        length_s: how long the fault lasted each time; 0 for a moment.
        quick: whether it was shortened.
        runs: how often it was run.
        figures: see Figures.table; those of the row itself are the worst of all runs.
        violations: what the checkers found, the first few.
    """

    name: str
    fault: str
    target: str
    verdict: Verdict
    why: str = ""
    system: str = OURS
    date: str = ""
    version: str = ""
    machine: str = ""
    length_s: float = 0.0
    quick: bool = False
    runs: int = 0
    figures: dict[str, float] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)

    def ended(self, verdict: Verdict, why: str) -> Self:
        """Set how it ended, and return the row."""
        self.verdict, self.why = verdict, why
        return self


def read(directory: Path) -> list[Row]:
    """Return the rows of an earlier report; none, if there is no report."""
    return stored.read(directory / f"{NAME}.json", Row)


def write(directory: Path, rows: Iterable[Row], order: Sequence[str]) -> None:
    """Put rows in the place of older ones of the same name and system, and write both files."""
    known = {(row.name, row.system): row for row in read(directory)} | {(row.name, row.system): row for row in rows}
    kept = sorted(
        (row for row in known.values() if row.name in order), key=lambda row: (order.index(row.name), row.system)
    )
    stored.write(directory / f"{NAME}.json", kept)
    (directory / f"{NAME}.md").write_text(markdown(kept))


def markdown(rows: Sequence[Row]) -> str:
    """Return the report for people."""
    own = [row for row in rows if row.system == OURS]
    lines = [
        "# Fault matrix", "",
        "What BraidMQ does under faults: real processes, 3 brokers, 10 workers, 20 clients, payloads of 4 KB, and a",
        "load of calls that begin at a fixed rate, half of what the machine can do where the row says nothing else.",
        "`make faults` makes this report; CONTRIBUTING.md tells how.", "",
        _summary(own), "",
        f"| {' | '.join(COLUMNS)} |",
        "|---|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
        *(_line(row) for row in own), "",
        "- *Lost*: calls that never ended. *Errors*: calls that ended with a typed error. *Duplicated*: run more than",
        "  once. *Flagged*: replies that say that this may be so.",
        "- *Affected*: calls that were at the broker or worker when something was done to it, or that were retried,",
        "  flagged or failed because of it. *p99* and *Worst* are their latencies, from when each was due.",
        "- *Back after*: seconds from the end of the fault (its beginning, if it is a moment) until the replies of a",
        "  second are at 99 % of their level before; the worst of all runs.", "",
    ]  # fmt: skip
    lines += _others(rows)
    lines += ["## Each row", "", *(line for row in own for line in _details(row))]
    return "\n".join(lines).rstrip() + "\n"


def _summary(rows: Sequence[Row]) -> str:
    def count(*verdicts: str) -> int:
        return sum(row.verdict in verdicts for row in rows)

    return (
        f"Of {len(rows)} rows {count('met')} meet their target, {count('missed', 'failed')} miss it, "
        f"{count('skipped')} could not be run, {count('pending')} wait for what is not built yet."
    )


def _line(row: Row) -> str:
    f = row.figures
    cells: list[str] = [_fault(row), row.target, f"**{row.verdict}**"]
    if not f:
        return f"| {' | '.join(cells)} |" + " |" * 10
    cells += [f"{value:,.0f}" for value in (row.runs, *(f[name] for name in _COUNTS))]
    cells += [_ms(f["affected_p99_ms"], f), _ms(f["affected_worst_ms"], f), _seconds(f.get("recovery_s"))]
    return f"| {' | '.join(cells)} |"


_COUNTS: Final = ("requests", "lost", "errors", "duplicated", "flagged", "affected")


def _fault(row: Row) -> str:
    return f"{row.fault}, {_seconds(row.length_s)}" if row.length_s else row.fault


def _ms(value: float, figures: dict[str, float]) -> str:
    return f"{value:,.0f} ms" if figures["affected"] else ""


def _seconds(value: float | None) -> str:
    if value is None:
        return ""
    if value == float("inf"):
        return "never"
    return f"{value / 60:g} min" if value >= 120 and value % 60 == 0 else f"{value:.3g} s"


def _others(rows: Sequence[Row]) -> list[str]:
    """The rows of rivals, beside those of BraidMQ."""
    rivals = {row.name for row in rows if row.system != OURS}
    if not rivals:
        return []
    lines = [
        "## Side by side",
        "",
        "The same load and the same fault. `plain` is one request of nats-py with the whole timeout; `retrying` makes",
        "attempts as BraidMQ's clients do. Nothing taps the servers of NATS: its affected calls are those that failed",
        "or took longer than any before the fault. So compare errors and the worst.",
        "",
    ]
    lines += [
        "| Fault | System | Requests | Lost | Errors | Affected | p99 | Worst | Back after |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        if row.name in rivals and (f := row.figures):
            numbers = " | ".join(f"{f[name]:,.0f}" for name in ("requests", "lost", "errors", "affected"))
            times = f"{_ms(f['affected_p99_ms'], f)} | {_ms(f['affected_worst_ms'], f)} | {_seconds(f['recovery_s'])}"
            lines.append(f"| {row.fault} | {row.system} | {numbers} | {times} |")
    return [*lines, ""]


def _details(row: Row) -> list[str]:
    """A paragraph on a row: when and where it was run, its other figures, and what falls short."""
    lines = [f"### {row.fault}", ""]
    if row.why:
        lines.append(f"- {row.verdict}: {row.why}")
    lines += [f"- {text}" for text in row.violations]
    if row.figures:
        f = row.figures
        others = {name: value for name, value in sorted(f.items()) if name not in OWN_COLUMN}
        lines.append(
            f"- load {f['rate']:,.0f}/s; all calls: p50 {f['p50_ms']:,.0f} ms, p99 {f['p99_ms']:,.0f} ms, "
            f"worst {f['worst_ms']:,.0f} ms; {100 * f['success']:.3f} % succeeded; "
            f"{f['attempts_per_request']:.3f} attempts for each request"
        )
        lines += [f"- {name.replace('_', ' ')}: {value:.4g}" for name, value in others.items()]
    shortened = ", shortened" if row.quick else ""
    return [*lines, f"- {row.date}, version {row.version}, {row.machine}{shortened}", ""]
