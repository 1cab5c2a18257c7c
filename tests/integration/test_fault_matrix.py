"""A few rows of the fault matrix, short and on a small net, through the harness that `make faults` runs.

Their targets in time are left out: no test asserts how fast something is.
"""

from dataclasses import replace

import pytest

from faults import wire
from faults.loaded import Shape
from faults.runner import Options, run_row
from faults.scenarios import SCENARIOS
from tests.support.nights import nightly_but

SMALL = Shape(workers=3, clients=4, client_processes=1, timeout_s=10.0)

ROWS = {
    "kill-broker": {"lost": 0, "errors": 0},
    "kill-worker": {"lost": 0, "errors": 0},
    "partition": {"lost": 0, "errors": 0},
}


@pytest.mark.parametrize("name", nightly_but({"kill-broker"}, ROWS))
def test_a_row_is_run_and_nothing_is_lost(name):
    scenario = SCENARIOS[name]
    if scenario.wired and (why := wire.missing()):
        pytest.skip(why)
    small = replace(scenario, shape=SMALL, most=ROWS[name], least={}, quick_s=4.0, after_s=1.0)
    said = []
    row = run_row(small, Options(runs=1, quick=True, peak=100.0), said.append)
    assert (row.verdict, row.why, row.violations) == ("met", "", [])
    assert row.figures["requests"] > 100
    assert row.figures["affected"] <= row.figures["requests"]
    assert len(said) == 1
