import pytest

from braidmq.lab.simulation import world as module
from braidmq.lab.simulation.world import World


@pytest.fixture
def world():
    return World(1)


class Log:
    """Notes its calls with their times."""

    def __init__(self, world):
        self.happened = []
        self._world = world

    def __call__(self, name):
        return lambda: self.happened.append((name, self._world.now))


@pytest.fixture
def log(world):
    return Log(world)


def test_events_happen_in_the_order_of_their_times(world, log):
    for when in (3.0, 1.0, 2.0):
        world.at(when, log(when))
    world.run(10.0)
    assert log.happened == [(1.0, 1.0), (2.0, 2.0), (3.0, 3.0)]
    assert world.now == 10.0


def test_events_of_one_time_happen_in_the_order_in_which_they_were_made(world, log):
    for name in "dacb":
        world.at(1.0, log(name))
    world.at(1.0, lambda: world.later(0.0, log("made then")))
    world.at(1.0, log("last"))
    world.run(1.0)
    assert [name for name, _ in log.happened] == [*"dacb", "last", "made then"]


def test_events_after_the_end_wait_for_the_next_run(world, log):
    world.at(1.0, log("now"))
    world.at(1.5, log("later"))
    world.run(1.0)
    assert log.happened == [("now", 1.0)]
    world.run(2.0)
    assert log.happened == [("now", 1.0), ("later", 1.5)]


def test_what_was_due_before_happens_now(world, log):
    world.run(5.0)
    world.at(1.0, log("late"))
    world.run(6.0)
    assert log.happened == [("late", 5.0)]


def test_a_delay_counts_from_now(world, log):
    world.run(5.0)
    world.later(0.5, log("it"))
    world.run(6.0)
    assert log.happened == [("it", 5.5)]


def test_time_never_goes_back(world):
    world.run(5.0)
    world.run(1.0)
    assert world.now == 5.0


def test_a_run_ends_as_soon_as_its_condition_holds(world, log):
    world.at(1.0, log("one"))
    world.at(2.0, log("two"))
    world.at(3.0, log("three"))
    assert world.run(10.0, lambda: len(log.happened) == 2)
    assert [name for name, _ in log.happened] == ["one", "two"]
    assert world.now == 2.0


def test_a_run_says_whether_its_condition_holds_at_its_end(world, log):
    world.at(1.0, log("one"))
    assert not world.run(0.5, lambda: bool(log.happened))
    assert world.run(1.0, lambda: bool(log.happened)), "the last event made it true"
    assert not world.run(2.0), "nothing was asked for"


def test_events_without_end_end(world, monkeypatch):
    monkeypatch.setattr(module, "EVENTS_MAX", 100)

    def again():
        world.later(0.0, again)

    again()
    with pytest.raises(AssertionError, match="100 events"):
        world.run(1.0)


def test_nobodys_draws_change_anothers():
    one, other = World(7), World(7)
    busy = one.chance("a")
    for _ in range(100):
        busy.random()
    assert one.chance("b").random() == other.chance("b").random()


def test_draws_depend_on_the_seed_and_on_whose_they_are():
    draws = [World(7).chance("a").random(), World(7).chance("b").random(), World(8).chance("a").random()]
    assert len(set(draws)) == len(draws)
    assert World(7).chance("a").random() == draws[0]
