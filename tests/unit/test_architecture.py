"""docs/architecture.md is true: its pictures are those of the imports, and its example runs."""

import contextlib
import importlib.util
import io
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text()


@pytest.fixture(scope="module")
def rooms() -> ModuleType:
    spec = importlib.util.spec_from_file_location("rooms", ROOT / "docs" / "rooms.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["rooms"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_table_is_that_of_the_imports(rooms: ModuleType) -> None:
    assert "| core/links |" in PAGE
    assert rooms.written(PAGE) == PAGE, "run make docs-tables"


def test_pictures_are_those_of_the_imports(rooms: ModuleType) -> None:
    for name, picture in rooms.pictures().items():
        assert f"({name})" in PAGE
        assert (ROOT / "docs" / name).read_text() == picture, f"{name}: run make docs-tables"


@pytest.mark.parametrize(("house", "under"), [("HOUSE", "braidmq"), ("CORES", "braidmq.core")])
def test_no_room_stands_on_one_that_is_not_below_it(rooms: ModuleType, house: str, under: str) -> None:
    all_rooms = getattr(rooms, house)
    floors = {room.name: room.floor for room in all_rooms}
    found = rooms.edges(all_rooms, under)
    assert sum(map(len, found.values())) > len(all_rooms)
    for room, targets in found.items():
        assert all(floors[target] < floors[room] for target in targets), room


def test_an_import_that_goes_up_or_a_module_without_a_room_is_found_out(rooms: ModuleType) -> None:
    turned = tuple(rooms.Room(**{**vars(room), "floor": -room.floor}) for room in rooms.HOUSE)
    with pytest.raises(rooms.CrookedError, match="is not below"):
        rooms.edges(turned)
    with pytest.raises(rooms.CrookedError, match="is in no room"):
        rooms.edges(rooms.HOUSE[1:])


def test_what_a_longer_way_says_has_no_arrow(rooms: ModuleType) -> None:
    assert rooms.reduced({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == {"a": {"b"}, "b": {"c"}, "c": set()}


def test_the_example_runs() -> None:
    [example] = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    namespace: dict[str, Any] = {"__name__": "example"}
    with contextlib.redirect_stdout(io.StringIO()) as said:
        exec(example, namespace)
    assert said.getvalue().splitlines()[-1].startswith("b'HELLO' ")
    assert namespace["net"].call("shout", b"again").payload == b"AGAIN"
