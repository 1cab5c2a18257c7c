import json

from faults.promises import table
from faults.promises.promise import Bound, Evidence, Promise, Row


def row(name="calm", **counts):
    bounds = (Bound("failed", most=0, of="calls"), Bound("late", most=0.5, at=1.0), Bound("run twice"))
    found = Evidence()
    found.count(counts)
    found.sample("late", 0.25)
    return Row(Promise(name, "nothing fails", lambda _stage: None, bounds), 2, found)


def test_each_figure_has_a_line_and_each_promise_one_verdict():
    lines = table.text([row(calls=3), row("storm", calls=3, failed=1)]).splitlines()
    assert [line.split()[0] for line in lines] == ["promise", "calm", "late:", "run", "storm", "late:", "run"]
    assert [line.rsplit(maxsplit=1)[-1] for line in lines if line[0] != " "] == ["verdict", "met", "missed"]
    assert lines[1].split("  ") != lines[4].split("  ")
    assert "failed: 1 of 3 (33.3 %)" in lines[4]


def test_what_could_not_be_tried_is_said():
    untried = row()
    untried.why = "run 1: no broker listens"
    text = table.text([untried])
    assert "not tried" in text
    assert "run 1: no broker listens" in text


def test_json_holds_only_numbers_that_json_knows():
    [found] = json.loads(json.dumps(table.as_json([row()]), allow_nan=False))
    assert found["verdict"] == "missed"
    assert [each["value"] for each in found["figures"]] == [None, 0.25, 0.0]
    assert [each["kept"] for each in found["figures"]] == [False, True, True]
