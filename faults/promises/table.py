"""The table of what has become of the promises, as text and as JSON. Pure."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from faults.promises.promise import Row

HEADER: Final = ("promise", "runs", "figure", "target", "verdict")


def text(rows: Sequence[Row]) -> str:
    """Return the table: a line for each figure, the first of each promise with its name and verdict."""
    lines = [HEADER]
    for row in rows:
        head, verdict = (row.promise.name, str(row.runs)), row.verdict
        for bound in row.promise.bounds:
            lines.append((*head, bound.shown(row.evidence), bound.target, verdict))
            head, verdict = ("", ""), ""
        if row.why:
            lines.append(("", "", row.why.partition("\n")[0], "", ""))
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADER))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def as_json(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Return the same as data, with all that was counted and the notes."""
    return [
        {
            "promise": row.promise.name,
            "says": row.promise.says,
            "runs": row.runs,
            "verdict": row.verdict,
            "why": row.why,
            "took_s": round(row.took_s, 1),
            "figures": [
                {
                    "figure": bound.shown(row.evidence),
                    "value": _finite(bound.value(row.evidence)),
                    "target": bound.target,
                    "kept": bound.kept(row.evidence),
                }
                for bound in row.promise.bounds
            ],
            "counts": dict(row.evidence.counts),
            "notes": row.evidence.notes,
        }
        for row in rows
    ]


def _finite(value: float) -> float | None:
    return value if abs(value) < float("inf") else None
