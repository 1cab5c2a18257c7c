import json

from faults import report
from faults.figures import Figures
from faults.report import Row


def row(name="kill", verdict="met", **changes):
    figures = {**Figures().table(), "rate": 100.0, "recovery_s": 0.5, "requests": 12_345, "affected": 3}
    shown = {"figures": figures, "runs": 3, "date": "2026-01-02", "version": "1.2", "machine": "2 cores"}
    return Row(name, f"fault of {name}", "0 lost", verdict, **{**shown, **changes})


def test_a_report_can_be_read_back(tmp_path):
    report.write(tmp_path / "new", [row()], ["kill"])
    found = report.read(tmp_path / "new")
    assert (found[0].name, found[0].runs, found[0].figures["requests"]) == ("kill", 3, 12_345)


def test_rows_keep_their_order_and_newer_ones_take_the_place_of_older_ones(tmp_path):
    report.write(tmp_path, [row("stop"), row("kill")], ["kill", "stop"])
    report.write(tmp_path, [row("stop", "missed", why="too slow")], ["kill", "stop"])
    assert [(each.name, each.verdict) for each in report.read(tmp_path)] == [("kill", "met"), ("stop", "missed")]


def test_rows_that_are_no_more_are_dropped(tmp_path):
    report.write(tmp_path, [row("old")], ["old"])
    report.write(tmp_path, [row("kill")], ["kill"])
    assert [each.name for each in report.read(tmp_path)] == ["kill"]


def test_what_never_recovers_is_null_for_programs_and_never_for_people(tmp_path):
    report.write(tmp_path, [row(figures={**row().figures, "recovery_s": float("inf")})], ["kill"])
    assert json.loads((tmp_path / "fault-matrix.json").read_text())["rows"][0]["figures"]["recovery_s"] is None
    assert "| never |" in (tmp_path / "fault-matrix.md").read_text()
    report.write(tmp_path, [], ["kill"])
    assert "| never |" in (tmp_path / "fault-matrix.md").read_text()


def test_a_row_that_was_not_run_says_why():
    text = report.markdown([row("delay", "skipped", why="no root", figures={}), row("kill")])
    assert "Of 2 rows 1 meet their target, 0 miss it, 1 could not be run, 0 wait" in text
    assert "- skipped: no root" in text


def test_a_row_tells_its_length_and_that_it_was_shortened():
    text = report.markdown([row(length_s=600.0), row("stop", length_s=6.0, quick=True)])
    assert "| fault of kill, 10 min |" in text
    assert "| fault of stop, 6 s |" in text
    assert "2 cores, shortened" in text


def test_a_rival_stands_beside_and_not_among_our_rows():
    text = report.markdown([row(), row(system="NATS, plain", verdict="missed")])
    assert "Of 1 rows 1 meet" in text
    assert "| fault of kill | NATS, plain |" in text
