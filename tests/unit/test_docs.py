"""What the documents repeat of the source is what the source says: tables, lines of the log, commands."""

import ast
import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import click
import pytest

from braidmq.cli import cli
from braidmq.core.broker.transit import SessionState
from braidmq.core.links.link import Failure, LinkState
from braidmq.lab.simulation.faults import KINDS
from braidmq.lab.simulation.foreign.faults import KINDS as FOREIGN_KINDS
from braidmq.monitor.diagnoses import diagnose
from braidmq.wire.control import LossStatus, PeerStatus
from braidmq.wire.registry_status import RegistryStatus
from tests.support import looks

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    path
    for path in (
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *sorted((ROOT / "docs").glob("*.md")),
        *sorted((ROOT / "docs" / "how-to").glob("*.md")),
    )
    if not path.name.endswith("-matrix.md")  # they are reports, which make faults and make attack write
]

HOLE = "\0"
"""What stands for a detail in a line of the log, whatever it is."""

DETAIL = re.compile(
    r"tcp://|BRAID/2|dns\+srv://|'\w+'"
    r"|\b(?:NAME|ADDRESS|HOST|[bw]\d(?:-\d)?|x|pricing|thread|request|suspect|dead|SIGKILL)\b(?:, b\d)*"
    r"|\b\d+(?:\.\d+)?\b|a broker's certificate"
)
"""What stands for one in the documents."""


DOCUMENTS += [
    path for folder in ("concepts", "reference", "tutorials") for path in sorted((ROOT / "docs" / folder).glob("*.md"))
]

TELLING_CHARS = 8
"""A text of so many characters is told apart from others without the details at its ends."""


def tables() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tables", ROOT / "docs" / "tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_tables_are_those_of_the_source() -> None:
    told = tables()
    assert {path.name for path in told.documents()} == {
        "diagnoses.md", "errors.md", "events.md", "metrics.md", "observability.md", "operations.md", "settings.md",
    }  # fmt: skip
    for path in told.documents():
        text = path.read_text()
        assert told.written(text) == text, f"{path.name}: run make docs-tables"


# -- lines of the log


def text_of(node: ast.expr) -> str | None:
    """Return a text of the source with holes for its details; None if it is no text."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.sub(r"\{\w*\}|%(?:\.\d+)?[sdrfg]", HOLE, node.value)
    if isinstance(node, ast.JoinedStr):
        parts = (text_of(each) if isinstance(each, ast.Constant) else HOLE for each in node.values)
        return "".join(part or "" for part in parts)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = text_of(node.left), text_of(node.right)
        return left + right if left is not None and right is not None else None
    return None


def found() -> Iterator[str]:
    """Yield findings that the source puts together of words: of a broker that is gone for 12 s, and the like."""
    for problem in (Failure.UNREACHABLE, Failure.MUTE, Failure.NO_ANSWER):
        gone = PeerStatus("b1", "dead", "waiting", str(problem), since_ms=12_000)
        views = [looks.mute("b1", str(problem)), looks.told("b2", names=["b2"]), looks.told("b3", names=["b3"])]
        for view in views[1:]:
            assert view.report is not None
            view.report.brokers.append(gone)
        yield from (each.sentence for each in diagnose(views))
    lost = LossStatus("w1", 12_000, serves=["pricing"])
    yield from (each.sentence for each in diagnose([looks.told(name, losses=[lost]) for name in looks.NAMES]))
    versions = [RegistryStatus(version=version) for version in (5, 7, 7)]
    apart = [looks.told(name, registry=version) for name, version in zip(looks.NAMES, versions, strict=True)]
    yield from (each.sentence for each in diagnose(apart))


def said() -> list[str]:
    """Return every text of the source, without its docstrings."""
    texts = [f"{HOLE} is {state}" for state in (*LinkState, *SessionState)]
    texts += [DETAIL.sub(HOLE, sentence) for sentence in found()]
    for path in (ROOT / "src" / "braidmq").rglob("*.py"):
        tree = ast.parse(path.read_text())
        told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.expr) and id(node) not in told:
                text = text_of(node)
                if text is not None and " " in text.strip():
                    texts.append(text)
    return texts


LINES = re.compile(
    r"^\| (?:Line \| Meaning, and what to do|You see \| It means \| Do) \|\n(?:\|---)+\|\n((?:\|.*\n)+)", re.MULTILINE
)
"""Tables whose rows begin with lines of the log, errors and findings."""


def quoted() -> Iterator[str]:
    """Yield the lines of the log, the errors and the findings that the documents quote."""
    for name in ("operations.md", "troubleshooting.md"):
        for table in LINES.findall((ROOT / "docs" / name).read_text()):
            for row in table.splitlines():
                line, meaning = re.split(r"(?<!\\) \| ", row.removeprefix("| "), maxsplit=1)
                yield from re.findall(r"`([^`]+)`", line)
                yield from re.findall(r"`(\.\.\. [^`]+)`", meaning)


SAID = said()
QUOTED = sorted(set(quoted()))


def is_said(part: str) -> bool:
    """Whether the source says a part of a line, at the beginning of a text or behind a detail of one."""
    pieces = [re.sub(r"s\b", f"(?:s|{HOLE})", re.escape(piece)) for piece in DETAIL.split(part)]
    details = [f"(?:{HOLE}|'{HOLE}'|{re.escape(detail)})" for detail in DETAIL.findall(part)]
    if details and len(DETAIL.sub("", part)) >= TELLING_CHARS:  # a detail at an end may come from elsewhere
        first, last = pieces[0], pieces[-1]
        details[0] = details[0] if first else ""
        details[-1] = details[-1] if last else ""
        if not first:
            pieces[1] = pieces[1].removeprefix("\\ ")
        if not last:
            pieces[-2] = pieces[-2].removesuffix("\\ ")
    pattern = pieces[0] + "".join(detail + piece for detail, piece in zip(details, pieces[1:], strict=True))
    return any(re.search(pattern, text) for text in SAID)


def parts_of(line: str) -> Iterator[str]:
    """Yield what a quoted line says between its ellipses, as one text of the source or as several behind colons."""
    for fragment in line.split("..."):
        part = fragment.strip(" :;,()")
        if part and DETAIL.sub("", part).strip():
            if is_said(part):
                yield part
            else:
                yield from (each.strip(" ;") for each in part.split(": ") if DETAIL.sub("", each).strip())


def test_there_are_lines_of_the_log_to_look_at() -> None:
    assert len(QUOTED) > 70


def test_quoted_lines_of_the_log_are_those_of_the_source() -> None:
    parts = {line: list(parts_of(line)) for line in QUOTED}
    assert all(parts.values())
    assert [(line, part) for line in QUOTED for part in parts[line] if not is_said(part)] == []


@pytest.mark.parametrize("line", ["NAME is asleep", "no connection to b2: it is on holiday", "b2 has gone away"])
def test_line_that_nothing_says_is_found_out(line: str) -> None:
    assert not all(is_said(part) for part in parts_of(line))


# -- commands


FENCE = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
"""A block of code, perhaps within a list."""


def commands() -> Iterator[tuple[str, str]]:
    """Yield the commands that the documents quote, with their documents."""
    for path in DOCUMENTS:
        text = path.read_text()
        fences = re.findall(r"^ *```[a-z]*\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)
        lines = [line.strip() for fence in fences for line in fence.replace("\\\n", " ").splitlines()]
        text = FENCE.sub("", text)
        lines += [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", text)]
        for line in lines:
            found = re.match(r"(?:[\w/=.-]*/|.*(?:\| |IMAGE +))?(braidmq [^#]*)", line)
            if found:
                yield path.name, found[1].strip()


COMMANDS = sorted(set(commands()))


def argv_of(line: str) -> list[str]:
    """Return the arguments of a quoted command: up to a pipe or `&`, with files for what a shell would put there."""
    line = re.sub(r"<\([^)]*\)", "FILE", line.replace("...", ""))
    line = re.sub(r"\[[^\]]*\]", "", line)
    return shlex.split(re.split(r" 2?[&|>]", line)[0].rstrip("&"))[1:]


def test_there_are_commands_to_look_at() -> None:
    assert len(COMMANDS) > 30


def is_command(line: str) -> bool:
    """Whether `braidmq` takes these words as a command with its options."""
    arguments = argv_of(line)
    command: click.Command = cli
    context = click.Context(cli, info_name="braidmq")
    while isinstance(command, click.Group) and arguments and not arguments[0].startswith("-"):
        found = command.get_command(context, arguments[0])
        if found is None:
            return False
        context = click.Context(found, parent=context, info_name=arguments.pop(0))
        command = found
    try:
        _options, left, _order = command.make_parser(context).parse_args(list(arguments))
    except click.BadOptionUsage:  # it is quoted without its value
        _options, left, _order = command.make_parser(context).parse_args([*arguments, "VALUE"])
    except click.UsageError:
        return False
    return not left


def test_quoted_commands_are_some() -> None:
    assert [(document, line) for document, line in COMMANDS if not is_command(line)] == []


@pytest.mark.parametrize("line", ["braidmq conquer", "braidmq status --sideways", "braidmq status b1 b2"])
def test_command_that_is_none_is_found_out(line: str) -> None:
    assert not is_command(line)


def test_quoted_targets_of_make_are_there() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for path in DOCUMENTS:
        quoted_targets = re.findall(r"`make\s+([a-z-]+)[`\s]", path.read_text())
        assert set(quoted_targets) <= targets, path.name


def test_quoted_modules_are_there() -> None:
    for path in DOCUMENTS:
        for module in re.findall(r"python -m ((?:bench|faults|attacks|braidmq)[\w.]*)", path.read_text()):
            found = importlib.util.find_spec(module)
            assert found is not None, f"{path.name}: there is no {module}"


# -- paths

PAGES = [*DOCUMENTS, *sorted((ROOT / "docs" / "decisions").glob("*.md")), ROOT / "tests" / "vectors" / "README.md"]

PLACES = (ROOT, ROOT / "src" / "braidmq", ROOT / "docs", ROOT / "tests")
"""What a quoted path may be relative to, besides its document."""

FILES = {path.name for place in PLACES[1:] for path in place.rglob("*.*")} | {
    path.name for folder in ("attacks", "bench", "faults", "tools") for path in (ROOT / folder).rglob("*.py")
}

NOT_HERE = (
    "application/",
    "dist/",
    "site/",
    "net/",
    "caller.py",
    "manifest.json",
    "prometheus.yml",
    "watching.py",
    "worker.py",
)
"""What commands of the documents make, and what a reader writes."""

PATH = re.compile(r"(?:[\w.-]+/)+[\w.-]*|[\w-]+\.(?:py|json|md|toml|yml)")


def paths() -> Iterator[tuple[str, str]]:
    """Yield what looks like a path of the repository in the text of a document, with its document."""
    for path in PAGES:
        text = FENCE.sub("", path.read_text())
        made = set(re.findall(r"^ *`([\w.]+)`:$", text, re.MULTILINE))  # by the block that follows
        for code in re.findall(r"`([^`\s]+)`", text):
            if PATH.fullmatch(code) and "NNNN" not in code and code not in made:
                yield str(path.relative_to(ROOT)), code


def is_there(document: str, path: str) -> bool:
    """Whether a path that a document quotes is one of the repository, or of what a reader makes."""
    found = any((place / path).exists() for place in (*PLACES, (ROOT / document).parent))
    return found or path in FILES or path.startswith(NOT_HERE)


def test_quoted_paths_are_there() -> None:
    quoted_paths = sorted(set(paths()))
    assert len(quoted_paths) > 200
    assert [each for each in quoted_paths if not is_there(*each)] == []
    assert not is_there("README.md", "docs/nothing.md")


# -- tests


def test_tests_that_prove_a_clause_are_there() -> None:
    there = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE)
    }
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / "zmtp.md").read_text()))
    assert len(named) > 50
    assert named <= there


def test_the_faults_of_the_simulator_are_those_of_the_table() -> None:
    text = (ROOT / "docs" / "reliability.md").read_text()
    [table] = re.findall(r"^\| Fault \| What happens \|\n\|---\|---\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    named = {name for row in table.splitlines() for name in re.findall(r"`([\w-]+)`", row.split(" | ")[0])}
    assert named == {*KINDS, *FOREIGN_KINDS}
