import pytest

from braidmq.lab.simulation.record import Call, Error, Execution, Outage, Passage, Record, Reply
from braidmq.wire.envelope import REQUEST
from faults.figures import Figures, percentile, recovery
from faults.moments import avoided_s, retried_after_s, touched

TIMEOUT_S = 5.0


def call(key, started, ended=None, *, flagged=False, error=False):
    """A call of c1 that took until `ended`, or never ended."""
    outcome = Error("NoBroker", 1, False) if error else Reply(key, "w1", key.encode(), flagged, int(flagged))
    ends = [] if ended is None else [(ended, outcome)]
    return Call(key, "c1", started, started + TIMEOUT_S, 3, key.encode(), ends)


def came(key, broker, at):
    return Passage(at, broker, "in", "c1", REQUEST, key.encode())


def ran(key, worker, at):
    return Execution(key, worker, key.encode(), at, False, 0)


def test_each_call_counts_once():
    figures = Figures()
    calls = [call("a", 1.0, 1.1), call("b", 1.0, 1.2, error=True), call("c", 1.0), call("d", 1.0, 1.3, flagged=True)]
    figures.add(Record(calls=calls, executions=[ran("d", "w1", 1.1), ran("d", "w2", 1.2), ran("a", "w1", 1.0)]))
    table = figures.table()
    assert (table["requests"], table["errors"], table["lost"]) == (4, 1, 1)
    assert (table["duplicated"], table["flagged"], table["success"]) == (1, 1, 0.5)
    assert figures.kinds == {"NoBroker": 1}
    assert table["worst_ms"] == pytest.approx(300)


def test_the_numbers_of_runs_add_up():
    total = Figures()
    for latency in (0.1, 0.3):
        one = Figures()
        one.add(Record(calls=[call("a", 1.0, 1.0 + latency)]), ["I2: something"])
        total.merge(one)
    assert total.table()["requests"] == 2
    assert total.table()["worst_ms"] == pytest.approx(300)
    assert total.violations == ["I2: something"] * 2


@pytest.mark.parametrize(("share", "value"), [(0.5, 51), (0.99, 100), (1.0, 100), (0.0, 1)])
def test_percentiles_of_a_hundred(share, value):
    assert percentile(range(1, 101), share) == value


def test_nothing_has_a_percentile_of_zero():
    assert percentile([], 0.99) == 0.0


def test_a_call_at_a_killed_broker_is_affected_and_one_elsewhere_is_not():
    calls = [call("at it", 1.0, 2.5), call("elsewhere", 1.0, 2.5), call("before", 1.0, 1.9), call("after", 2.1, 2.2)]
    passages = [came("at it", "b1", 1.1), came("elsewhere", "b2", 1.1), came("before", "b1", 1.1)]
    record = Record(calls=calls, passages=passages, outages=[Outage("b1", "kill", 2.0, 3.0)])
    assert touched(record) == {"at it"}


def test_a_call_in_a_killed_worker_is_affected():
    calls = [call("in it", 1.0, 2.5), call("done", 1.0, 1.9)]
    executions = [ran("in it", "w1", 1.1), ran("done", "w1", 1.1)]
    record = Record(calls=calls, executions=executions, passages=[came("in it", "b1", 1.0)])
    record.outages = [Outage("w1", "kill", 2.0, 3.0)]
    assert touched(record) == {"in it"}


def test_a_call_that_failed_or_was_flagged_around_a_fault_is_affected():
    calls = [call("failed", 2.1, 2.2, error=True), call("flagged", 2.1, 2.2, flagged=True), call("fine", 2.1, 2.2)]
    calls.append(call("long after", 20.0, 20.1, flagged=True))
    record = Record(calls=calls, passages=[came("fine", "b2", 2.1)], outages=[Outage("b1", "pause", 2.0, 3.0)])
    assert touched(record) == {"failed", "flagged"}


def test_without_passages_those_are_affected_that_took_longer_than_any_before():
    calls = [call("before", 1.0, 1.5), call("slow", 1.9, 2.9), call("fine", 2.1, 2.2)]
    assert touched(Record(calls=calls, outages=[Outage("b1", "kill", 2.0, 3.0)])) == {"slow"}


def test_a_stopped_broker_is_avoided_from_the_last_call_on_that_it_hurt():
    calls = [call("early", 2.5, 3.5, flagged=True), call("late", 3.2, 4.2, flagged=True), call("fine", 8.0, 8.1)]
    record = Record(calls=calls, passages=[came("early", "b1", 1.0)], outages=[Outage("b1", "pause", 2.0, 9.0)])
    assert avoided_s(record) == pytest.approx(1.2)


def test_a_call_that_was_hurt_elsewhere_was_not_given_to_the_stopped_broker():
    calls = [call("here", 2.5, 3.5, flagged=True), call("elsewhere", 6.0, 7.0, flagged=True)]
    calls.append(call("failed", 7.0, 8.0, error=True))
    passages = [came("here", "b2", 3.0), came("elsewhere", "b2", 6.0), came("elsewhere", "b3", 6.9)]
    passages += [came("failed", "b2", 7.0), came("before", "b1", 1.0)]
    passages[0].retry_count = passages[2].retry_count = 1
    record = Record(calls=calls, passages=passages, outages=[Outage("b1", "pause", 2.0, 9.0)])
    assert avoided_s(record) == pytest.approx(0.5)


def test_a_blocked_worker_is_avoided_from_the_last_request_on_that_it_was_sent():
    passages = [Passage(at, "b1", "out", "w1", REQUEST, b"x") for at in (1.0, 2.5, 9.5)]
    record = Record(passages=passages, outages=[Outage("w1", "pause", 2.0, 9.0)])
    assert avoided_s(record) == pytest.approx(0.5)


def test_a_killed_workers_job_is_retried_when_it_begins_elsewhere():
    calls = [call("a", 1.0, 2.5, flagged=True), call("b", 1.0, 1.5)]
    executions = [ran("a", "w1", 1.9), ran("a", "w2", 2.04), ran("b", "w1", 1.2)]
    record = Record(calls=calls, executions=executions, outages=[Outage("w1", "kill", 2.0, 3.0)])
    assert retried_after_s(record) == pytest.approx(0.04)


def replies(*spans):
    """Times of replies: (from, to, per second)."""
    return [start + number / rate for start, end, rate in spans for number in range(int((end - start) * rate))]


def test_a_fault_that_nobody_notices_needs_no_recovery():
    assert recovery(replies((0, 20, 100)), 0.0, 5.0, 5.0, 20.0) == 0.0


def test_recovery_lasts_until_a_whole_second_is_at_its_level_again():
    times = replies((0, 5, 100), (5, 8, 50), (8, 20, 100))
    assert recovery(times, 0.0, 5.0, 5.0, 20.0) == pytest.approx(3.0, abs=0.1)


def test_recovery_counts_from_the_end_of_a_fault_that_lasts():
    times = replies((0, 5, 100), (5, 11, 0.01), (11, 20, 100))
    assert recovery(times, 0.0, 5.0, 10.0, 20.0) == pytest.approx(1.0, abs=0.1)


def test_what_does_not_come_back_never_recovers():
    assert recovery(replies((0, 5, 100), (5, 20, 50)), 0.0, 5.0, 5.0, 20.0) == float("inf")
