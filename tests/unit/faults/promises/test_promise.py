import pytest

from faults.promises.promise import NOTES_MAX, Bound, Evidence, Promise, Row


def evidence(**counts):
    found = Evidence()
    found.count(counts)
    return found


def test_a_share_is_kept_up_to_its_bound():
    bound = Bound("failed", most=0.05, of="calls")
    assert bound.kept(evidence(failed=5, calls=100))
    assert not bound.kept(evidence(failed=6, calls=100))
    assert bound.target == "<= 5 %"
    assert bound.shown(evidence(failed=6, calls=100)) == "failed: 6 of 100 (6 %)"


def test_no_failure_is_the_target_of_zero():
    bound = Bound("failed", most=0, of="calls")
    assert bound.target == "0"
    assert bound.shown(evidence(failed=0, calls=1234)) == "failed: 0 of 1,234"


def test_what_was_not_seen_is_not_kept():
    assert not Bound("failed", most=0, of="calls").kept(evidence(failed=0))
    assert not Bound("late", most=0.5, at=1.0).kept(Evidence())


def test_a_count_may_have_a_least():
    bound = Bound("told", least=1)
    assert not bound.kept(Evidence())
    assert bound.kept(evidence(told=1))
    assert bound.target == ">= 1"


@pytest.mark.parametrize(("at", "value", "words"), [(1.0, 3.0, "late: worst 3 s"), (0.5, 2.0, "late: p50 2 s")])
def test_samples_are_told_by_a_percentile(at, value, words):
    found = Evidence()
    found.sample("late", 3.0, 1.0, 2.0)
    bound = Bound("late", most=2.5, at=at)
    assert bound.value(found) == value
    assert bound.shown(found) == words
    assert bound.kept(found) is (value <= 2.5)


def test_what_has_no_bound_is_only_told():
    bound = Bound("run twice", of="calls")
    assert not bound.decides
    assert bound.target == ""
    assert bound.kept(evidence())


def test_a_promise_is_met_if_all_its_bounds_are_kept():
    promise = Promise("p", "", lambda _stage: None, (Bound("failed", most=0, of="calls"), Bound("calls")))
    assert Row(promise, 1, evidence(calls=3)).verdict == "met"
    assert Row(promise, 1, evidence(calls=3, failed=1)).verdict == "missed"
    assert Row(promise, 0, evidence(calls=3), "no port was free").verdict == "not tried"


def test_notes_are_few():
    found = Evidence()
    for number in range(2 * NOTES_MAX):
        found.note(str(number))
    assert found.notes == [str(number) for number in range(NOTES_MAX)]
