import random

import pytest

from braidmq.lab.simulation.process import CHECK_EVERY, LATE_S
from braidmq.lab.simulation.world import World
from tests.support.rigs.hosts import Plain


@pytest.fixture
def world():
    return World(1)


@pytest.fixture
def process(world):
    """A process that is up, and has had its first turn."""
    found = Plain(world)
    found.start()
    world.run(world.now)
    found.turns.clear()
    return found


def test_a_process_begins_with_a_turn(world):
    process = Plain(world)
    assert not process.up
    process.start()
    world.run(world.now)
    assert (process.up, process.life, process.begun, len(process.turns)) == (True, 1, 1, 1)


def test_any_number_of_wakes_at_one_moment_are_one_turn(world, process):
    for _ in range(5):
        process.wake()
    world.later(1.0, process.wake)
    world.run(2.0)
    assert [at for at, _ in process.turns] == [0.0, 1.0]


def test_errands_are_done_in_the_order_of_their_times_each_before_a_turn(world, process):
    done = []
    for delay_s in (0.2, 0.1):
        process.later(delay_s, lambda delay_s=delay_s: done.append((delay_s, world.now, len(process.turns))))
    world.run(1.0)
    assert done == [(0.1, 0.1, 0), (0.2, 0.2, 1)]


# -- pauses


def test_a_stopped_process_has_no_turn(world, process):
    process.pause()
    process.wake()
    process.later(0.1, lambda: pytest.fail("it was stopped"))
    world.run(5.0)
    assert process.turns == []
    assert process.up


def test_a_pause_keeps_errands_in_their_order(world, process):
    done = []
    process.later(0.5, lambda: done.append(("before", world.now)))
    world.run(0.1)
    process.pause()
    process.later(0.1, lambda: done.append(("during", world.now)))
    world.run(2.0)
    process.later(0.1, lambda: done.append(("after", world.now)))
    process.resume()
    world.run(3.0)
    assert done == [("during", 2.0), ("before", 2.0), ("after", 2.1)]


def test_a_timer_of_a_stopped_process_fires_when_it_goes_on(world, process):
    due = process.clock + 1.0
    process.due = lambda now: due if now < due else float("inf")
    process.wake()
    world.run(0.5)
    process.pause()
    world.run(3.0)
    assert len(process.turns) == 1
    process.resume()
    world.run(10.0)
    assert [at for at, _ in process.turns] == [0.0, 3.0]


def test_a_timer_that_is_due_after_a_pause_fires_on_time(world, process):
    due = process.clock + 5.0
    process.due = lambda now: due if now < due else float("inf")
    process.wake()
    world.run(0.5)
    process.pause()
    world.run(3.0)
    process.resume()
    world.run(10.0)
    assert [at for at, _ in process.turns] == pytest.approx([0.0, 3.0, 5.0], abs=2 * LATE_S)


# -- lives


def test_a_new_life_forgets_the_errands_of_the_old_one(world, process):
    process.later(0.1, lambda: pytest.fail("done, by a dead process"))
    process.later(1.0, lambda: pytest.fail("done, in another life"))
    process.kill()
    world.run(0.5)
    process.start()
    world.run(2.0)
    assert process.life == 2


def test_a_new_life_forgets_the_errands_that_a_pause_had_kept(world, process):
    process.pause()
    process.later(0.1, lambda: pytest.fail("done, in another life"))
    world.run(1.0)
    process.kill()
    process.start()
    assert not process.paused
    world.run(2.0)


def test_a_new_life_forgets_the_timers_of_the_old_one(world, process):
    due = process.clock + 1.0
    process.due = lambda _now: due
    process.wake()
    world.run(0.5)
    process.due = lambda _now: float("inf")
    process.kill()
    process.start()
    world.run(5.0)
    assert [at for at, _ in process.turns] == [0.0, 0.5]


def test_a_dead_process_has_no_turn(world, process):
    process.wake()
    process.later(0.0, lambda: pytest.fail("it is dead"))
    process.kill()
    process.wake()
    world.run(1.0)
    assert process.turns == []


def test_a_process_that_ends_in_its_turn_sets_no_timer(world, process):
    def die(now):
        process.kill()
        return now + 1.0

    process.due = die
    process.wake()
    world.run(5.0)
    assert len(process.turns) == 1


# -- clocks and timers


@pytest.mark.parametrize("rate", [1.0, 0.9, 1.0001])
def test_a_clock_goes_at_its_rate_from_any_beginning(world, rate):
    process = Plain(world, clock_rate=rate)
    other = Plain(world, "other")
    before = process.clock
    assert before != other.clock
    world.run(100.0)
    assert process.clock - before == pytest.approx(100.0 * rate, abs=1e-6)


@pytest.mark.parametrize("rate", [1.0, 1.0001, 0.9999, 1.05])
def test_timers_never_fire_early_and_soon_afterwards(rate):
    rng = random.Random(1)
    for seed in range(100):
        world = World(seed)
        process = Plain(world, clock_rate=rate)
        dues, late_s = [], []

        def due(now, dues=dues, late_s=late_s):
            if dues:
                late_s.append(now - dues[-1])
            dues.append(now + rng.choice((0.0001, 0.1, 1 / 3)))
            return dues[-1]

        process.due = due
        process.start()
        world.run(1.0)
        assert late_s
        assert min(late_s) >= 0.0
        assert max(late_s) < 10 * LATE_S


def test_a_timer_fires_once(world, process):
    due = process.clock + 1.0
    process.due = lambda now: due if now < due else float("inf")
    for delay_s in (0.0, 0.1, 0.2, 0.3):
        world.later(delay_s, process.wake)
    world.run(10.0)
    assert [at for at, _ in process.turns] == pytest.approx([0.0, 0.1, 0.2, 0.3, 1.0], abs=2 * LATE_S)


def test_a_timer_may_be_set_to_an_earlier_time(world, process):
    dues = [process.clock + after_s for after_s in (5.0, 1.0, 7.0)]
    process.due = lambda _now: dues.pop(0) if dues else float("inf")
    process.wake()
    world.later(0.5, process.wake)
    world.run(10.0)
    assert [at for at, _ in process.turns] == pytest.approx([0.0, 0.5, 1.0, 7.0], abs=2 * LATE_S)


def test_what_was_due_before_is_due_now_and_time_goes_on(world, process):
    dues = [0.0, 0.0]
    process.due = lambda _now: dues.pop(0) if dues else float("inf")
    process.wake()
    world.run(10.0)
    assert len(process.turns) == 3


def test_an_outage_lasts_until_somebody_ends_it(world, process):
    world.run(1.0)
    outage = process.mark_outage("pause")
    assert world.record.outages == [outage]
    assert (outage.process, outage.kind, outage.start, outage.end) == ("p", "pause", 1.0, float("inf"))


def test_a_turn_that_takes_its_time_puts_the_next_one_off(world, process):
    for delay_s in (0.0, 0.1, 0.2):
        world.later(delay_s, process.wake)
    process.due = lambda _now: process.spend(0.15) or float("inf")
    world.run(10.0)
    assert [at for at, _ in process.turns] == pytest.approx([0.0, 0.15, 0.3])


def test_what_takes_its_time_adds_up(world, process):
    process.spend(0.5)
    process.spend(0.25)
    process.wake()
    world.run(10.0)
    assert [at for at, _ in process.turns] == [0.75]


def test_a_process_that_is_started_anew_has_nothing_to_do_yet(world, process):
    process.spend(5.0)
    process.kill()
    process.start()
    world.run(1.0)
    assert [at for at, _ in process.turns] == [0.0]


def test_a_core_that_holds_much_checks_itself_less_often(process):
    for held, often in ((0, 100), (40, 100), (160, 8)):
        assert abs(sum(process.is_check_due(1, held) for _ in range(CHECK_EVERY * 100)) - often) <= 1
    process.is_check_due(1_000, 160)
    assert process.is_check_due(100, 160)


def test_in_a_run_with_a_trace_a_core_checks_itself_each_time():
    process = Plain(World(1, keep_trace=True))
    process.is_check_due(CHECK_EVERY, 0)
    assert all(process.is_check_due(1, held) for held in range(15))
