"""Whole nets, from seeds: always the same ones, those that failed once, and some that nobody has seen before."""

import os
import subprocess
import sys

import pytest

from braidmq.lab.simulation.checkers import right_answer
from braidmq.lab.simulation.plan import SCENARIOS
from braidmq.lab.simulation.run import run
from tests.simulation.failed import FAILED
from tests.support.examples import TIMES
from tests.support.nights import cases

LATELY = 5
"""Seeds of failures that are likely to be the same runs still: the older one is, the more draws have changed since."""


def failures(seeds, scenario="swarm"):
    found = [(seed, violation) for seed in seeds for violation in run(seed, scenario).violations]
    return [f"braidmq simulate --seed {seed} --scenario {scenario}: {violation}" for seed, violation in found]


@cases("scenario", SCENARIOS, one_in=3)
def test_known_seeds_are_sound(scenario):
    assert failures(range(TIMES), scenario) == []


def test_seeds_that_failed_lately_are_sound():
    assert [line for scenario, seed, _ in FAILED[-LATELY:] for line in failures([seed], scenario)] == []


@pytest.mark.nightly
def test_seeds_that_failed_once_are_sound():
    assert [line for scenario, seed, _ in FAILED[:-LATELY] for line in failures([seed], scenario)] == []


def test_new_seeds_are_sound(new_seeds):
    assert failures(new_seeds) == []


@pytest.mark.nightly
@pytest.mark.parametrize("seed", [0, 11])
def test_a_seed_is_the_same_run_in_any_process(seed):
    code = f"from braidmq.lab.simulation.run import run; print(run({seed}).digest)"
    digests = {run(seed).digest, run(seed, keep_trace=True).digest}
    for hash_seed in ("0", "4242"):
        environment = os.environ | {"PYTHONHASHSEED": hash_seed}
        child = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
        )
        digests.add(child.stdout.strip())
    assert len(digests) == 1


@pytest.mark.nightly
def test_different_seeds_are_different_runs():
    assert len({run(seed).digest for seed in range(3)}) == 3


@pytest.mark.nightly
def test_runs_meet_what_they_are_about():
    """A simulator that nothing happens in finds nothing: over some seeds there is some of everything."""
    ends, faults, flagged, twice = set(), set(), 0, 0
    for seed in range(40):
        record = run(seed).record
        faults |= {outage.kind for outage in record.outages}
        for call in record.calls:
            ends |= {getattr(outcome, "kind", "Reply") for _, outcome in call.ends}
        flagged += sum(each.possible_duplicate for each in record.executions)
        twice += sum(len(runs) > 1 for runs in record.executions_by_key().values())
    assert ends >= {
        "Reply",
        "ServiceError",
        "DeadlineExceeded",
        "NoBroker",
        "NoWorker",
        "Overloaded",
        "AttemptsExhausted",
    }
    assert faults >= {"kill", "vanish", "stop", "pause", "cut", "loss", "delay", "reset", "silence", "revoke"}
    assert flagged > 50
    assert twice > 10


def test_an_enemy_does_what_checkers_are_there_for():
    """Brokers make replies up, and others foretell ids in vain."""
    forged, foretold = 0, 0
    for seed in (5, 1):  # it answers for workers; it makes requests up
        record = run(seed, "hostile-broker").record
        forged += len(right_answer.forged(record))
        foretold += len(record.foreseen)
    assert forged
    assert foretold
