from attacks import report
from attacks.report import COLUMNS, Row

FIGURES = {**dict.fromkeys(COLUMNS.values(), 0.0), "calls": 1_000.0, "late": 0.01}


def row(name="flood", *runs):
    made = Row(name, f"attack of {name}", "no error", "met", date="2026-01-02", version="1.2", machine="2 cores")
    for number, (changes, missed) in enumerate(runs or (({}, False),)):
        made.add({**FIGURES, **changes}, ["errors is 1"] if missed else [], 7 + number, missed=missed)
    return made


def test_a_report_can_be_read_back(tmp_path):
    report.write(tmp_path / "new", [row("flood", ({"p99_ms": 12.0}, False), ({}, True))], ["flood"])
    [found] = report.read(tmp_path / "new")
    assert (found.name, found.verdict, found.seeds) == ("flood", "missed", [7, 8])
    assert [each["p99_ms"] for each in found.figures] == [12.0, 0.0]
    assert found.notes == [[], ["errors is 1"]]


def test_newer_rows_take_the_place_of_older_ones_and_keep_their_order(tmp_path):
    report.write(tmp_path, [row("lie"), row("flood")], ["flood", "lie"])
    report.write(tmp_path, [row("lie", ({}, True))], ["flood", "lie"])
    assert [(each.name, each.verdict) for each in report.read(tmp_path)] == [("flood", "met"), ("lie", "missed")]


def test_rows_that_are_no_more_are_dropped(tmp_path):
    report.write(tmp_path, [row("old")], ["old"])
    report.write(tmp_path, [row("flood")], ["flood"])
    assert [each.name for each in report.read(tmp_path)] == ["flood"]


def test_one_run_that_misses_decides():
    assert row("flood", ({}, True), ({}, False)).verdict == "missed"


def test_each_cell_has_the_figure_of_each_run():
    figures = {"goodput_lost": 0.25, "p99_ms": 1234.0, "broker_rss_mib": 99.6, "log_lines": 3}
    text = report.markdown([row("flood", (figures, True), ({}, False))])
    assert "| attack of flood | **missed** | 25 %, 0 % |" in text
    assert "| 1,234 ms, 0 ms |" in text
    assert "| 100 MiB, 0 MiB |" in text
    assert "Of 1 rows 0 meet their target, 1 miss it." in text
    assert "- run 1: errors is 1" in text
    assert "- run 1, seed 7: calls 1,000, late 1 %" in text


def test_a_row_that_could_not_be_run_says_why():
    failed = Row("flood", "attack of flood", "no error", "met").ended("failed", "no port")
    text = report.markdown([failed])
    assert "- failed: no port" in text
    assert "| attack of flood | **failed** |" in text
