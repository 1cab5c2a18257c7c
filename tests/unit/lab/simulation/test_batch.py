import pytest

from braidmq.core.client import attempts
from braidmq.lab.simulation.batch import outcome_of, outcomes
from braidmq.lab.simulation.plan import plan_of
from braidmq.lab.simulation.run import run

SEEDS = range(3)


def measured(outcome):
    """All of an outcome but how long it took."""
    return [getattr(outcome, name) for name in outcome.__slots__ if name != "seconds"]


@pytest.mark.nightly
def test_jobs_do_not_change_what_comes_out_nor_its_order():
    alone, shared = list(outcomes(SEEDS, "calm", 1)), list(outcomes(SEEDS, "calm", 2))
    assert [each.seed for each in alone] == list(SEEDS)
    assert list(map(measured, alone)) == list(map(measured, shared))


def test_an_outcome_is_what_is_kept_of_a_run():
    outcome, found = outcome_of((1, "calm")), run(1, "calm")
    assert measured(outcome) == [
        1, found.digest, str(plan_of(1, "calm")), len(found.record.calls), found.events, found.simulated_s, (),
    ]  # fmt: skip
    assert outcome.calls
    assert outcome.seconds > 0.0


def test_the_violations_of_a_run_are_kept(patch_cores):
    patch_cores.setattr(attempts, "_DUPLICATE", 0)
    for outcome in outcomes(range(100), "brokers-die", 1):
        if outcome.violations:
            break
    assert outcome.violations[0].startswith("I3: ")


def test_outcomes_come_one_by_one():
    found = outcomes(range(1_000_000), "calm", 1)
    assert next(found).seed == 0
    assert next(found).seed == 1


def test_one_seed_needs_no_other_process():
    (outcome,) = outcomes([5], "calm", 8)
    assert outcome.seed == 5


def test_an_unknown_scenario_is_none():
    with pytest.raises(KeyError, match="nonsense"):
        list(outcomes(SEEDS, "nonsense", 1))
