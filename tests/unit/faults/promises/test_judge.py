import pytest

from braidmq.lab.simulation.record import Call, Error, Reply
from faults.promises import judge
from faults.promises.jobs import Begun, Over


def ran(key, at, *, flagged=False, worker="w1", deadline=0.0):
    return Begun(key, worker, b"", at, flagged, int(flagged), deadline=deadline)


def replied(key, *, flagged=False, answers=None, at=1.0):
    return Call(key, "c", 0.0, 9.0, 3, ends=[(at, Reply(answers or key, "w1", b"", flagged, int(flagged)))])


def failed(key, *, maybe=True):
    return Call(key, "c", 0.0, 9.0, 3, ends=[(1.0, Error("NoWorker", 1, maybe))])


@pytest.mark.parametrize(
    ("flags", "broken"),
    [
        ([False], False),
        ([True], False),
        ([False, True], False),
        ([True, True], False),
        ([False, False], True),
        ([True, False], True),
        ([False, True, False], True),
    ],
)
def test_only_the_first_run_may_be_unflagged(flags, broken):
    runs = [ran("x", at, flagged=flagged) for at, flagged in enumerate(flags)]
    assert judge.unflagged_again(runs) is broken
    counts = judge.tally([replied("x", flagged=True)], reversed(runs))
    assert counts["unflagged"] == broken
    assert counts["run twice"] == (len(flags) > 1)


def test_what_became_of_calls_is_counted():
    given_up = Call("gone", "c", 0.0, 9.0, 3, given_up_at=1.0)
    twice = replied("twice")
    twice.ends = twice.ends * 2
    calls = [replied("a"), failed("b"), Call("c", "c", 0.0, 9.0, 3), given_up, replied("d", answers="a"), twice]
    counts = judge.tally(calls, [ran("a", 0.5)])
    assert (counts["calls"], counts["failed"], counts["lost"]) == (6, 1, 1)
    assert (counts["wrong"], counts["ended twice"], counts["error NoWorker"]) == (1, 1, 1)


def test_a_caller_must_be_told_of_a_second_run():
    twice = [ran("x", 1.0), ran("x", 2.0, flagged=True)]
    assert judge.untold(twice, replied("x").outcome)
    assert not judge.untold(twice, replied("x", flagged=True).outcome)
    assert not judge.untold(twice[:1], replied("x").outcome)


def test_a_promise_that_nothing_was_run_is_one():
    assert judge.untold([ran("x", 1.0)], failed("x", maybe=False).outcome)
    assert not judge.untold([ran("x", 1.0)], failed("x", maybe=True).outcome)
    assert not judge.untold([], failed("x", maybe=False).outcome)


def test_all_ends_of_a_call_are_under_one_key():
    first, second = replied("x"), failed("x")
    assert [len(call.ends) for call in judge.merged([first, replied("y"), second])] == [2, 1]


def test_a_handler_without_an_end_has_its_place_until_now():
    begun = [ran("a", 0.0, deadline=2.0), ran("b", 0.0, deadline=2.0), ran("c", 0.0, deadline=2.0)]
    over = [Over("a", "w1", 1.5), Over("b", "w1", 2.25)]
    assert judge.places_held(begun, over, 7.0) == [0.0, 0.25, 5.0]


def test_latencies_are_those_of_replies():
    assert judge.latencies([replied("a", at=0.5), failed("b"), Call("c", "c", 0.0, 9.0, 3)]) == [0.5]


def test_each_worker_has_its_share():
    runs = [ran("a", 0.0), ran("b", 1.0), ran("c", 2.0), ran("d", 3.0, worker="w2")]
    assert judge.shares(runs) == {"w1": 0.75, "w2": 0.25}


def test_only_work_between_the_two_moments_counts():
    runs = [ran("before", 0.0), ran("across", 9.5), ran("within", 11.0), ran("at the end", 19.5), ran("after", 20.0)]
    assert judge.used(runs, 1.0, 1, 10.0, 20.0) == pytest.approx(0.2)
    assert judge.used(runs, 1.0, 2, 10.0, 20.0) == pytest.approx(0.1)
