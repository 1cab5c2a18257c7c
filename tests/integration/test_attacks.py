"""A few attacks, short, through the harness that `make attack` runs. Targets in time are left out, as in all tests."""

from dataclasses import replace

import pytest

from attacks.runner import Options, run_row
from attacks.scenarios import SCENARIOS
from tests.support.nights import nightly_but

HARMLESS = {"forged": 0, "ended": 0, "broker_rss_mib": 256.0, "log_lines": 200}

ROWS = {
    "bundles-heartbeat": {"errors": 0.0, "goodput_lost": 0.2},
    "paths-busy": {"errors": 0.02, "goodput_lost": 0.2},
    "services-early": {"errors": 0.0, "goodput_lost": 0.2},
    "poisoned-poisoner": {"errors": 0.05, "goodput_lost": 0.5},
}


@pytest.mark.parametrize("name", nightly_but({"bundles-heartbeat"}, ROWS))
def test_an_attack_harms_nobody_else(name):
    scenario = replace(SCENARIOS[name], quick_s=3.0, most={**HARMLESS, **ROWS[name]})
    said = []
    row = run_row(scenario, Options(quick=True, seed=1), said.append)
    assert row.verdict == "met", said
    assert row.figures[0]["calls"] > 0
