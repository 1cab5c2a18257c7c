"""Writes the tables of the documents that repeat the source: `make docs-tables`.

A table stands between two comments, `<!-- table: NAME -->` and `<!-- end of table -->`. A test says when it is no
longer what this would write.
"""

import ast
import dataclasses
import importlib
import inspect
import json
import logging
import pkgutil
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

from braidmq import errors, settings
from braidmq.cli.exit_codes import ExitCode, exit_code
from braidmq.core import events
from braidmq.core.events.event import INFO, Event
from braidmq.errors import BraidError
from braidmq.monitor.finding import DIAGNOSES
from braidmq.monitor.web.figures import FIGURES
from braidmq.observability.instruments import INSTRUMENTS
from braidmq.observability.spans import SPANS
from braidmq.settings import KIB, MIB, Settings

DOCS: Final = Path(__file__).parent

T = TypeVar("T")

_TABLE: Final = re.compile(r"(<!-- table: ([a-z-]+) -->\n).*?(<!-- end of table -->)", re.DOTALL)

_TUNING: Final = (
    ("probe_s",), ("probe_timeout_s",), ("suspicion_s",), ("gossip_s",), ("sync_s",), ("tombstone_s",),
    ("heartbeat_s", "suspect_after_s", "dead_after_s"), ("reconnect_s", "reconnect_s_max"), ("settle_s", "drain_s"),
)  # fmt: skip
"""The rows of the table of presets: settings that are told together."""


def written(document: str) -> str:
    """Return a document with its tables as they should be."""
    return _TABLE.sub(lambda table: f"{table[1]}\n{TABLES[table[2]]()}\n{table[3]}", document)


def documents() -> list[Path]:
    """Return the documents that have such tables."""
    return [path for path in sorted(DOCS.rglob("*.md")) if _TABLE.search(path.read_text(encoding="utf-8"))]


def _settings() -> str:
    """Every setting with its default, its bounds and its reason, as the source tells them."""
    told = _reasons()
    rows = ["| Setting | Default | From | To | Meaning |", "|---|---:|---:|---:|---|"]
    for knob in dataclasses.fields(Settings):
        bounds = [_number(knob.name, knob.metadata[each]) if knob.metadata else "" for each in ("low", "high")]
        default = f"`{knob.default}`" if isinstance(knob.default, str) else _number(knob.name, knob.default)
        rows.append(f"| `{knob.name}` | {default} | {bounds[0]} | {bounds[1]} | {_quoted(told[knob.name])} |")
    return "\n".join(rows) + "\n"


def _tuning() -> str:
    """The settings that differ between the presets, with what each of these sets."""
    presets = (Settings(), Settings.wan(), Settings.test())
    rows = ["| Setting | Default (`lan`) | `wan` | `test` |", "|---|---:|---:|---:|"]
    for names in _TUNING:
        told = [", ".join(_number(name, getattr(preset, name)) for name in names) for preset in presets]
        rows.append(f"| {', '.join(f'`{name}`' for name in names)} | {' | '.join(told)} |")
    return "\n".join(rows) + "\n"


def _metrics() -> str:
    """Every instrument with its names, its unit, its labels and its meaning."""
    rows = ["| OpenTelemetry | Prometheus | Kind | Unit | Labels | Meaning |", "|---|---|---|---|---|---|"]
    for each in INSTRUMENTS:
        labels = ", ".join(f"`{label}`" for label in each.labels)
        names = f"| `{each.name}` | `{each.prometheus_name}`"
        rows.append(f"{names} | {each.kind.value} | `{each.unit}` | {labels} | {each.help} |")
    return "\n".join(rows) + "\n"


def _spans() -> str:
    """Every kind of span."""
    rows = ["| Span of | Name | Kind | Child of |", "|---|---|---|---|"]
    rows += [f"| {each.of} | `{each.name}` | `{each.kind}` | {each.parent} |" for each in SPANS]
    return "\n".join(rows) + "\n"


def _attributes() -> str:
    """Every attribute of each kind of span."""
    rows = ["| Attribute | Of | Meaning |", "|---|---|---|"]
    for each in SPANS:
        rows += [f"| `{name}` | {each.of} | {meaning} |" for name, meaning in each.attributes.items()]
    return "\n".join(rows) + "\n"


def _findings() -> str:
    """Every kind of finding with what it means and what to do."""
    rows = ["| Kind | Wrong | What has happened | What to do |", "|---|---|---|---|"]
    for kind, diagnosis in DIAGNOSES.items():
        remedy = diagnosis.remedy.format(name="NAME", one="NAME")
        cells = (f"`{kind.value}`", "yes" if diagnosis.wrong else "", diagnosis.meaning, remedy)
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def _monitor() -> str:
    """Every metric of the monitor."""
    rows = ["| Metric | Kind | Labels | Meaning |", "|---|---|---|---|"]
    for each in FIGURES:
        labels = ", ".join(f"`{label}`" for label in each.labels)
        name = f"{each.name}_total" if each.kind == "counter" else each.name
        rows.append(f"| `{name}` | {each.kind} | {labels} | {each.help} |")
    return "\n".join(rows) + "\n"


def _named() -> str:
    """Whether each fault of the matrix was named, by which sentence, and after how many seconds."""
    rows = ["| Fault | Verdict | Named after | As | The first sentence |", "|---|---|---:|---|---|"]
    for row in _named_rows():
        fault = f"{row['fault']}, {row['length_s']:g} s" if row["length_s"] else row["fault"]
        named_s = row["figures"].get("named_s")
        kinds = ", ".join(f"`{kind}`" for kind in row["kinds"]) or "nothing"
        cells = (fault, f"**{row['verdict']}**", "" if named_s is None else f"{named_s:.1f} s", kinds, row["sentence"])
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def _named_notes() -> str:
    """What is to be known of each row of that table: why it is as it is, what else was said, when it was run."""
    lines = []
    for row in _named_rows():
        notes = [row["note"], row["why"]] if row["note"] or row["why"] else []
        notes += [f"before it: {text}" for text in row["false_alarms"]]
        notes += [f"besides: {text}" for text in row["strange"]]
        notes += [f"as the machine itself stood still: {text}" for text in row["starved"]]
        runs = f"{row['runs']} run{'' if row['runs'] == 1 else 's'}, {row['date']}, {row['machine']}"
        lines += [f"- {row['fault']}: {'; '.join(filter(None, [*notes, runs]))}"]
    return "\n".join(lines) + "\n"


def _named_rows() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((DOCS / "named-faults.json").read_bytes())["rows"]
    return rows


def _errors() -> str:
    """Every error with the exit code of a command that it ends."""
    rows = ["| Error | Is a | Exit code | Meaning |", "|---|---|---:|---|"]
    for kind in _below(BraidError):
        if kind.__module__ == errors.__name__:
            bases = ", ".join(f"`{base.__name__}`" for base in kind.__bases__)
            code = exit_code(kind.__new__(kind)).value
            rows.append(f"| `{kind.__name__}` | {bases} | {code} | {_first_words(kind)} |")
    return "\n".join(rows) + "\n"


def _exit_codes() -> str:
    """Every exit code with its name and the errors that lead to it."""
    rows = ["| Code | Name | After |", "|---:|---|---|"]
    for code in ExitCode:
        kinds = [kind for kind in (*_below(BraidError), OSError) if exit_code(kind.__new__(kind)) is code]
        told = ", ".join(f"`{kind.__name__}`" for kind in kinds if kind.__module__ in (errors.__name__, "builtins"))
        rows.append(f"| {code.value} | `{code.name}` | {told} |")
    return "\n".join(rows) + "\n"


def _events() -> str:
    """Every event with its level, its fields and its meaning."""
    for module in pkgutil.iter_modules(events.__path__):
        importlib.import_module(f"{events.__name__}.{module.name}")
    rows = ["| Event | Of | Level | Fields | Meaning |", "|---|---|---|---|---|"]
    kinds = [kind for kind in _below(Event) if kind.__module__.startswith(events.__name__)]
    for kind in sorted(kinds, key=lambda kind: (kind.__module__, kind.__name__)):
        fields = ", ".join(f"`{name}`" for name in kind.__struct_fields__)
        of = kind.__module__.rpartition(".")[2]
        rows.append(f"| `{kind.__name__}` | {of} | {_level(kind)} | {fields} | {_first_words(kind)} |")
    return "\n".join(rows) + "\n"


def _level(kind: type[Event]) -> str:
    """Return the level of an event, as `logging` calls it; some have several."""
    level = inspect.getattr_static(kind, "level")
    if level is inspect.getattr_static(Event, "level"):
        level = INFO
    return logging.getLevelName(level).lower() if isinstance(level, int) else "depends"


def _below(kind: type[T]) -> Iterator[type[T]]:
    """Yield the classes below another one, each behind its base."""
    for each in kind.__subclasses__():
        yield each
        yield from _below(each)


def _first_words(kind: type) -> str:
    """Return what the docstring of a class says before its first empty line, on one line."""
    return " ".join(inspect.cleandoc(kind.__doc__ or "").partition("\n\n")[0].split())


TABLES: Final[dict[str, Callable[[], str]]] = {
    "attributes": _attributes, "errors": _errors, "events": _events, "exit-codes": _exit_codes, "findings": _findings,
    "metrics": _metrics, "monitor": _monitor, "named": _named, "named-notes": _named_notes, "settings": _settings,
    "spans": _spans, "tuning": _tuning,
}  # fmt: skip


def _reasons() -> dict[str, str]:
    """Return what the source says of each setting, on one line."""
    source = ast.parse(inspect.getsource(settings))
    [kind] = [each for each in source.body if isinstance(each, ast.ClassDef) and each.name == Settings.__name__]
    reasons = {}
    for field, reason in zip(kind.body, kind.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(reason, ast.Expr):
            assert isinstance(reason.value, ast.Constant)
            reasons[field.target.id] = " ".join(str(reason.value.value).split())
    return reasons


def _quoted(text: str) -> str:
    """Return a text with the settings that it names as code. Words that are settings besides stay as they are."""
    names = "|".join(knob.name for knob in dataclasses.fields(Settings) if "_" in knob.name)
    return re.sub(rf"(?<!`)\b({names})\b(?!`)", r"`\1`", text)


def _number(name: str, value: float) -> str:
    if name.endswith("bytes_max"):
        return f"{value / MIB:g} MiB" if value >= MIB else f"{value / KIB:g} KiB"
    return f"{value:,}" if isinstance(value, int) else f"{value:,g}"


def main() -> int:
    """Write the tables; return 0."""
    for path in documents():
        path.write_text(written(path.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
