import random

import pytest

from faults.promises.scenarios.second_run_variants import VARIANTS
from faults.promises.ways import AT_WORKERS, Ways, exactly


def test_the_same_seed_draws_the_same_ways():
    ways = VARIANTS["random"][2]
    first, second = ([ways.draw(rng) for _ in range(20)] for rng in (random.Random("7"), random.Random("7")))
    assert first == second
    assert len({way.fault for way in first}) > 3


@pytest.mark.parametrize("name", VARIANTS)
def test_what_is_drawn_is_within_its_ranges(name):
    ways, rng = VARIANTS[name][2], random.Random(name)
    for way in (ways.draw(rng) for _ in range(200)):
        assert way.fault in ways.faults
        assert ways.stall_s[0] <= way.stall_s <= ways.stall_s[1]
        assert ways.job_s[0] <= way.job_s <= ways.job_s[1]
        assert way.queue == "worker" or way.fault not in AT_WORKERS


def test_a_single_way_is_always_drawn():
    ways = exactly("stop-broker", "broker", stall_s=1.4)
    drawn = {ways.draw(random.Random(number)) for number in range(5)}
    assert [(way.fault, way.queue, way.stall_s, way.job_s) for way in drawn] == [("stop-broker", "broker", 1.4, 3.0)]


def test_a_connection_that_is_held_up_or_reset_needs_a_proxy():
    assert exactly("hold-caller", "worker").draw(random.Random(1)).proxied
    assert not exactly("kill-broker", "worker").draw(random.Random(1)).proxied
    assert Ways(("stop-broker",), ("broker",)).draw(random.Random(1)).proxied


def test_a_fault_that_begins_early_is_for_a_call_that_goes_to_a_worker():
    ways, rng = VARIANTS["early"][2], random.Random(1)
    drawn = [ways.draw(rng) for _ in range(20)]
    assert {(way.early, way.queue) for way in drawn} == {(True, "worker")}
