import pytest

from braidmq.cli.trial.calls import IN_FLIGHT_MAX
from braidmq.cli.trial.steps import Step, is_enough, judge, next_step
from braidmq.cli.trial.tally import Tally
from braidmq.errors import NoWorker
from tests.support.trials import reply


def step(per_s, in_flight=0, rate=0.0, failed=0, held_back=0):
    tally = Tally()
    tally.sent = 100
    for number in range(100):
        if number < failed:
            tally.on_error(NoWorker("x"))
        else:
            tally.on_reply(reply(), 0.001)
    return Step(in_flight, rate, 5.0, per_s, tally, held_back, 0.1)


def closed(*per_s):
    return [step(each, in_flight=2**place) for place, each in enumerate(per_s)]


def climbed(capacity_of):
    """Take the steps that a service with this capacity would get."""
    steps = [step(capacity_of(1), in_flight=1)]
    while not is_enough(steps):
        in_flight, rate = next_step(steps[-1])
        assert rate == 0.0
        steps.append(step(capacity_of(in_flight), in_flight=in_flight))
    return steps


def test_a_closed_load_rises_until_more_in_flight_bring_no_more():
    steps = climbed(lambda in_flight: min(1_000, 100 * in_flight))
    assert [each.in_flight for each in steps] == [1, 2, 4, 8, 16, 32, 64]
    verdict = judge(steps)
    assert (verdict.step.in_flight, verdict.full) == (16, True)
    assert verdict.why == "more calls in flight only wait longer"


def test_one_step_without_a_gain_may_be_chance():
    assert not is_enough(closed(100, 200, 400, 410))
    assert not is_enough(closed(100, 200, 400, 410, 900))
    assert is_enough(closed(100, 200, 400, 410, 420))


def test_the_least_load_that_is_good_enough_is_named():
    assert judge(closed(100, 910, 1_000, 1_000)).step.in_flight == 2


def test_a_closed_load_ends_where_brokers_take_no_more():
    steps = climbed(lambda in_flight: 100 * in_flight)
    assert steps[-1].in_flight == IN_FLIGHT_MAX
    assert not judge(steps).full


def test_an_open_load_rises_until_the_service_does_not_keep_up():
    steps = [step(100, rate=100.0)]
    while not is_enough(steps):
        in_flight, rate = next_step(steps[-1])
        assert in_flight == 0
        steps.append(step(min(rate, 300), rate=rate))
    assert [each.rate for each in steps] == [100.0, 150.0, 225.0, 337.5]
    verdict = judge(steps)
    assert (verdict.step.rate, verdict.full, verdict.why) == (225.0, True, "89 % of what is asked for is answered")


@pytest.mark.parametrize("bad", [{"failed": 2}, {"held_back": 5}])
def test_a_step_of_which_more_than_one_in_a_hundred_fails_is_the_last_and_does_not_count(bad):
    steps = [step(100, rate=100.0), step(150, rate=150.0, **bad)]
    assert is_enough(steps)
    assert judge(steps).step is steps[0]
    assert "of the calls fail" in judge(steps).why
    assert not is_enough([step(100, rate=100.0, failed=1)])


def test_what_was_interrupted_is_not_called_full():
    verdict = judge([step(100, rate=100.0), step(150, rate=150.0)])
    assert (verdict.step.rate, verdict.full) == (150.0, False)
