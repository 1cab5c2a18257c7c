"""Which modules are compiled where BraidMQ is built so, and that they are."""

import importlib
import tomllib
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from pathlib import Path

import msgspec
import pytest

from braidmq.version import cores

ROOT = Path(__file__).parents[2]
HOOK = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"][
    "mypyc"
]
FILES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "src").rglob("*.py"))


def names(pattern, file):
    """Whether a pattern names a file: by its path, by a folder that it is in, or by its last part wherever it is."""
    return file.startswith(pattern) if pattern.endswith("/") else file in {pattern, f"{Path(file).parent}/{pattern}"}


def module(file):
    return file.removeprefix("src/").removesuffix(".py").removesuffix("/__init__").replace("/", ".")


INCLUDED = [file for file in FILES if any(names(pattern, file) for pattern in HOOK["include"])]
EXCLUDED = [file for file in INCLUDED if any(names(pattern, file) for pattern in HOOK["exclude"])]
COMPILED = [module(file) for file in INCLUDED if file not in EXCLUDED]


def is_compiled(name):
    spec = find_spec(name)
    assert spec is not None
    return spec.origin.endswith(tuple(EXTENSION_SUFFIXES))


def structs(name):
    """The classes of a module that msgspec makes: mypyc cannot."""
    made = importlib.import_module(name)
    return [each for each in vars(made).values() if isinstance(each, type(msgspec.Struct)) and each.__module__ == name]


@pytest.mark.parametrize("pattern", HOOK["include"] + HOOK["exclude"])
def test_each_pattern_names_something(pattern):
    assert any(names(pattern, file) for file in (FILES if pattern in HOOK["include"] else INCLUDED))


def test_whatever_is_on_the_way_of_a_message_is_compiled():
    ways = {"core.broker.broker", "core.client.client", "core.worker.worker", "core.node.node", "inside", "turn.broker"}
    ways |= {"turn.node", "wire.envelope", "wire.nesting", "carrier.node_loop", "carrier.listener"}
    ways |= {"carrier.dialer", "carrier.stream", "zmtp.engine"}
    assert {f"braidmq.{name}" for name in ways} <= {*COMPILED}


def test_no_class_of_msgspec_is_in_a_module_that_is_compiled():
    assert [name for name in COMPILED if structs(name)] == []


def test_only_modules_of_msgspecs_classes_are_left_out():
    left_out = [module(file) for file in EXCLUDED if not file.endswith("/__init__.py")]
    assert left_out
    assert [name for name in left_out if not structs(name)] == []


@pytest.mark.skipif(cores() == "interpreted", reason="this BraidMQ is not compiled: make test-compiled")
def test_what_is_to_be_compiled_is_and_nothing_else():
    assert [name for name in map(module, FILES) if is_compiled(name)] == COMPILED
