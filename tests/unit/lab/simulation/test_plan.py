from dataclasses import replace

import pytest

from braidmq.lab.simulation.faults import KINDS
from braidmq.lab.simulation.foreign.faults import KINDS as FOREIGN_KINDS
from braidmq.lab.simulation.plan import HOSTILE, SCENARIOS, plan_of

SEEDS = 2_000


@pytest.fixture(scope="module")
def plans():
    return [plan_of(seed) for seed in range(SEEDS)]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_scenario_draws_from_its_kinds_and_each_of_them_comes_up(scenario):
    drawn = [plan_of(seed, scenario).kinds for seed in range(100)]
    assert {kind for kinds in drawn for kind in kinds} == set(SCENARIOS[scenario])
    assert all(len(set(kinds)) == len(kinds) for kinds in drawn)
    assert len(SCENARIOS[scenario]) < 2 or len(set(drawn)) > 1, "each seed leaves out some"


def test_every_kind_of_fault_is_known_and_belongs_to_a_scenario_of_its_own():
    of_some = {kind for scenario, kinds in SCENARIOS.items() if scenario != "swarm" for kind in kinds}
    assert of_some == {*KINDS, *FOREIGN_KINDS}
    assert set(SCENARIOS["swarm"]) == set(KINDS), "another kind would give its old seeds a new meaning"


def test_only_swarm_registry_and_its_own_scenario_have_an_intruder():
    shares = {scenario: sum(plan_of(seed, scenario).intruder for seed in range(100)) / 100 for scenario in SCENARIOS}
    assert shares.pop("intruder") == 1.0
    assert 0.1 < shares.pop("swarm") < 0.5
    assert 0.3 < shares.pop("registry") < 0.7
    assert set(shares.values()) == {0.0}


def test_a_hostile_member_is_in_its_own_scenarios_and_besides_some_intruders():
    for scenario in SCENARIOS:
        plans = [plan_of(seed, scenario) for seed in range(200)]
        drawn = [plan.hostile for plan in plans]
        if scenario in HOSTILE:
            assert set(drawn) == {HOSTILE[scenario]}
        elif scenario in ("swarm", "intruder"):
            assert set(drawn) == {"", "client", "worker", "broker"}
            assert all(plan.intruder for plan in plans if plan.hostile)
            assert 0.1 < sum(map(bool, drawn)) / sum(plan.intruder for plan in plans) < 0.4
        elif scenario == "registry":
            assert set(drawn) == {"", "broker"}
        else:
            assert set(drawn) == {""}


@pytest.mark.parametrize("scenario", HOSTILE)
def test_who_is_besieged_has_all_that_it_needs(scenario):
    for seed in range(100):
        plan = plan_of(seed, scenario)
        assert plan.besieged
        assert plan.kinds == ()
        assert not plan.intruder
        assert len(plan.brokers) + (plan.hostile == "broker") == 3, "the honest ones are more than the others"
        for service in plan.services:
            assert sum(service in serves for serves in plan.nodes.values()) >= 2
        places = sum(sum(serves.values()) for serves in plan.nodes.values())
        assert plan.calls / plan.safety_s * max(plan.work.durations_s) < places / 2
        assert set(plan.late) < set(plan.nodes)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_same_seed_is_the_same_plan(scenario):
    for seed in range(50):
        assert plan_of(seed, scenario) == plan_of(seed, scenario)


def test_different_seeds_and_scenarios_are_different_plans():
    assert len({repr(plan_of(seed)) for seed in range(100)}) == 100
    assert plan_of(1).settings != plan_of(1, "network").settings


def test_an_unknown_scenario_is_none():
    with pytest.raises(KeyError):
        plan_of(1, "nonsense")


def test_all_settings_are_valid(plans):
    for plan in plans:
        assert replace(plan.settings) == plan.settings, "it checks itself when it is made"


def test_all_plans_can_be_carried_out(plans):
    for plan in plans:
        assert plan.brokers
        assert 1 <= plan.known <= max(2, len(plan.brokers))
        assert plan.clients
        assert set(plan.clients) <= set(plan.nodes)
        assert {service for serves in plan.nodes.values() for service in serves} == set(plan.services)
        assert all(concurrency > 0 for serves in plan.nodes.values() for concurrency in serves.values())
        assert min(plan.timeouts_s) > 0.0
        assert min(plan.attempts) >= 1
        assert max(plan.payload_bytes) + 100 < plan.settings.payload_bytes_max
        assert 0.0 < plan.delay_s[0] < plan.delay_s[1]
        assert plan.frames_max >= 1
        assert plan.fault_every_s > 0.0
        assert plan.calls
        assert plan.burst >= 1


def test_a_seed_in_a_row_leaves_nothing_out(plans):
    """What is drawn differs: the sizes of nets, and every option."""
    assert {len(plan.brokers) for plan in plans} == {1, 2, 3, 4}
    assert {len(plan.services) for plan in plans} == {1, 2}
    assert {plan.stubborn for plan in plans} == {True, False}
    assert any("n0" in plan.nodes for plan in plans), "a node that calls and serves"
    assert len({len(plan.kinds) for plan in plans}) > 8


def test_a_plan_says_in_one_line_what_it_is():
    plan = plan_of(1, "brokers-die")
    line = str(plan)
    assert "\n" not in line
    counts = (len(plan.brokers), len(plan.nodes), len(plan.services), plan.calls)
    assert line.startswith("{} brokers, {} nodes, {} services, {} calls in ".format(*counts))
    assert line.endswith(f" s; faults: {', '.join(plan.kinds) or 'none'}")
    assert str(plan_of(1, "calm")).endswith("; faults: none")
    assert str(replace(plan_of(1, "intruder"), hostile="")).endswith("; an intruder")
    assert str(plan_of(1, "hostile-worker")).endswith("; faults: none; a hostile worker")
