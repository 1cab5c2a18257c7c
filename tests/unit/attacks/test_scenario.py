import pytest

from attacks.lies import LIES
from attacks.scenario import BESIDE_A_HOSTILE_BROKER, HARMLESS, Scenario
from attacks.scenarios import SCENARIOS

FINE = dict.fromkeys(HARMLESS, 0.0)


def test_a_figure_above_its_limit_is_a_shortfall():
    scenario = Scenario("x", "an attack")
    assert scenario.shortfalls(FINE) == []
    found = scenario.shortfalls({**FINE, "forged": 1, "p99_ms": 251.0})
    assert found == ["forged is 1, at most 0 wanted", "p99 ms is 251, at most 250 wanted"]


def test_a_figure_at_its_limit_is_none():
    assert Scenario("x", "an attack").shortfalls({**FINE, **HARMLESS}) == []


def test_beside_a_hostile_broker_few_errors_are_allowed_and_the_target_says_so():
    honest, hostile = Scenario("x", "an attack"), Scenario("y", "an attack", most=BESIDE_A_HOSTILE_BROKER)
    figures = {**FINE, "errors": 0.01}
    assert (len(honest.shortfalls(figures)), len(hostile.shortfalls(figures))) == (1, 0)
    assert "no error" in honest.target
    assert "errors ≤ 1 %" in hostile.target


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
def test_each_row_has_somebody_who_attacks_and_an_honest_broker(scenario):
    assert (scenario.act is None) != (not scenario.lie)
    assert not scenario.lie or scenario.lie in LIES
    assert scenario.shape.brokers > bool(scenario.lie)
    assert scenario.most.keys() <= HARMLESS.keys() or "errors" in scenario.most


def test_no_two_rows_tell_the_same():
    assert len({scenario.attack for scenario in SCENARIOS.values()}) == len(SCENARIOS)
