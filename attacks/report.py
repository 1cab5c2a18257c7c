"""The report: docs/security-matrix.json for programs, docs/security-matrix.md for people, a row for each attack."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, Self

from faults import stored

Verdict = Literal["met", "missed", "failed"]

NAME: Final = "security-matrix"

COLUMNS: Final = {
    "Goodput lost": "goodput_lost",
    "Errors": "errors",
    "Forged": "forged",
    "p50": "p50_ms",
    "p99": "p99_ms",
    "Worst": "worst_ms",
    "Broker": "broker_rss_mib",
    "Log lines": "log_lines",
    "Ended": "ended",
}
"""The figures in the table, by their headings."""

_PERCENT: Final = ("goodput_lost", "errors", "late", "lost_afterwards")


@dataclass
class Row:
    """What came out of one row.

    Attributes:
        name: of the scenario.
        attack: what was done.
        target: what was to hold.
        verdict: whether it did, in each run.
        why: why it could not be run to its end.
        date: of the run.
        version: of BraidMQ.
        machine: its class.
        length_s: how long the attack lasted.
        quick: whether it was shortened.
        seeds: what decided what was drawn, for each run.
        figures: for each run.
        notes: what fell short in each run, and what else is to be said of it.
    """

    name: str
    attack: str
    target: str
    verdict: Verdict
    why: str = ""
    date: str = ""
    version: str = ""
    machine: str = ""
    length_s: float = 0.0
    quick: bool = False
    seeds: list[int] = field(default_factory=list)
    figures: list[dict[str, float]] = field(default_factory=list)
    notes: list[list[str]] = field(default_factory=list)

    def add(self, figures: dict[str, float], notes: list[str], seed: int, *, missed: bool) -> None:
        """Handle a run."""
        self.figures.append(figures)
        self.notes.append(notes)
        self.seeds.append(seed)
        if missed:
            self.verdict = "missed"

    def ended(self, verdict: Verdict, why: str) -> Self:
        """Set how it ended, and return the row."""
        self.verdict, self.why = verdict, why
        return self


def read(directory: Path) -> list[Row]:
    """Return the rows of an earlier report; none, if there is no report."""
    return stored.read(directory / f"{NAME}.json", Row)


def write(directory: Path, rows: Iterable[Row], order: Sequence[str]) -> None:
    """Put rows in the place of older ones of the same name, and write both files."""
    known = {row.name: row for row in read(directory)} | {row.name: row for row in rows}
    kept = [known[name] for name in order if name in known]
    stored.write(directory / f"{NAME}.json", kept)
    (directory / f"{NAME}.md").write_text(markdown(kept))


def markdown(rows: Sequence[Row]) -> str:
    """Return the report for people."""
    met = sum(row.verdict == "met" for row in rows)
    lines = [
        "# Security matrix", "",
        "What hostile members, brokers and strangers can do to BraidMQ: real processes, each attack beside an honest",
        "load of 100 calls of 4 KiB per second where the row says nothing else. `make attack` makes this report;",
        "CONTRIBUTING.md tells how.", "",
        f"Of {len(rows)} rows {met} meet their target, {len(rows) - met} miss it.", "",
        f"| Attack | Verdict | {' | '.join(COLUMNS)} |",
        f"|---|---|{'---:|' * len(COLUMNS)}",
        *(_line(row) for row in rows), "",
        "- Each cell has the figure of each run.",
        "- *Goodput lost*: by how much the share of calls that are answered within a second is smaller during the",
        "  attack than before. *Errors*: calls that ended with an error, or not at all. *Forged*: replies that answer",
        "  another payload, unless a hostile broker answers itself. *p50*, *p99* and *Worst*: latencies from when each",
        "  was due.",
        "- *Broker*: the most memory that an honest broker had. *Log lines*: those of the honest process that wrote",
        "  most. *Ended*: honest processes that have.", "",
        "## Each row", "",
        *(line for row in rows for line in _details(row)),
    ]  # fmt: skip
    return "\n".join(lines).rstrip() + "\n"


def _line(row: Row) -> str:
    cells = [row.attack, f"**{row.verdict}**"]
    cells += [", ".join(_shown(name, each[name]) for each in row.figures) for name in COLUMNS.values()]
    return f"| {' | '.join(cells)} |"


def _shown(name: str, value: float) -> str:
    if name in _PERCENT:
        return f"{100 * value:.3g} %"
    if name.endswith("_ms"):
        return f"{value:,.0f} ms"
    if name.endswith("_mib"):
        return f"{value:,.0f} MiB"
    return f"{value:,.4g}"


def _details(row: Row) -> list[str]:
    """A paragraph on a row: its target, what falls short, its other figures, when and where it was run."""
    lines = [f"### {row.name}: {row.attack}", "", f"- target: {row.target}"]
    if row.why:
        lines.append(f"- {row.verdict}: {row.why}")
    for number, (figures, notes) in enumerate(zip(row.figures, row.notes, strict=True), start=1):
        lines += [f"- run {number}: {note}" for note in notes]
        others = [
            f"{name.replace('_', ' ')} {_shown(name, value)}"
            for name, value in figures.items()
            if name not in COLUMNS.values()
        ]
        lines.append(f"- run {number}, seed {row.seeds[number - 1]}: {', '.join(others)}")
    shortened = ", shortened" if row.quick else ""
    return [*lines, f"- {row.length_s:g} s each, {row.date}, version {row.version}, {row.machine}{shortened}", ""]
