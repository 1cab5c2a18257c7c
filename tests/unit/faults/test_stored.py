from dataclasses import dataclass, field

from faults import stored


@dataclass
class Row:
    name: str
    figures: dict[str, float] = field(default_factory=dict)


@dataclass
class Runs:
    name: str
    figures: list[dict[str, float]] = field(default_factory=list)


def test_rows_are_read_back_and_never_stays_never(tmp_path):
    rows = [Row("a", {"x": float("inf"), "y": 1.5})]
    stored.write(tmp_path / "new" / "rows.json", rows)
    assert stored.read(tmp_path / "new" / "rows.json", Row) == rows


def test_so_are_rows_with_figures_for_each_run(tmp_path):
    rows = [Runs("a", [{"x": float("inf")}, {"x": 2.0}])]
    stored.write(tmp_path / "rows.json", rows)
    assert stored.read(tmp_path / "rows.json", Runs) == rows


def test_without_a_file_there_are_no_rows(tmp_path):
    assert stored.read(tmp_path / "rows.json", Row) == []
