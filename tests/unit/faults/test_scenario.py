import pytest

from faults.figures import Figures
from faults.runner import Options, run_row
from faults.scenario import Scenario, no_act
from faults.scenarios import SCENARIOS

ROW = Scenario("row", "a fault", "a target", no_act, most={"errors": 0}, least={"success": 0.99})

MEASURED_BY_ROWS = {
    "recovery_s",
    "gone_s",
    "merged_after_s",
    "jumped_s",
    "memory_growth_mib",
    "goodput",
    "back_after_s",
    "accepted_after_s",
    "cut_after_s",
}


def test_what_keeps_its_bounds_falls_short_of_nothing():
    assert ROW.shortfalls({"errors": 0, "success": 0.99}) == []


def test_each_bound_that_is_missed_is_named():
    assert ROW.shortfalls({"errors": 2, "success": 0.5}) == [
        "errors is 2, at most 0 wanted",
        "success is 0.5, at least 0.99 wanted",
    ]


def test_a_pending_row_is_not_run():
    row = run_row(Scenario("row", "a fault", "a target", no_act, pending="not built"), Options())
    assert (row.verdict, row.why, row.runs) == ("pending", "not built", 0)


def test_a_row_that_cannot_be_run_here_is_skipped_and_says_why():
    row = run_row(Scenario("row", "a fault", "a target", no_act, missing=lambda: "no root"), Options())
    assert (row.verdict, row.why, row.runs) == ("skipped", "no root", 0)


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_bounds_of_every_row_are_on_figures_that_there_are(name):
    scenario = SCENARIOS[name]
    assert {*scenario.most, *scenario.least} <= {*Figures().table(), *MEASURED_BY_ROWS}
    assert scenario.runs > 0
    assert scenario.quick_s <= scenario.length_s
