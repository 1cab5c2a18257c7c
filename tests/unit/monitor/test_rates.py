from braidmq.monitor.rates import UNKNOWN, Rates, rates, total
from tests.support.looks import mute, told


def counted(name="b1", uptime_s=100.0, **counters):
    return told(name, uptime_s=uptime_s, counters=counters)


BEFORE = [counted(requests=100, replies=90, rejected=5), counted("b2", requests=7, replies=7, rejected=0)]


def test_a_rate_is_what_was_counted_by_the_time_of_the_brokers_own_clock():
    now = [counted(uptime_s=102.0, requests=300, replies=190, rejected=6)]
    assert rates(now, BEFORE) == {"b1": Rates(100.0, 50.0, 0.5)}


def test_without_a_past_there_is_no_rate():
    now = counted(uptime_s=102.0, requests=300)
    assert rates([now], []) == {}
    assert rates([now], [mute("b1")]) == {}
    assert rates([mute("b1")], BEFORE) == {}


def test_a_broker_that_was_restarted_has_no_past():
    assert rates([counted(uptime_s=3.0, requests=1_000)], BEFORE) == {}


def test_a_report_that_came_twice_says_nothing_new():
    assert rates(BEFORE, BEFORE) == {}


def test_what_an_older_broker_does_not_count_is_unknown():
    assert rates([counted(uptime_s=101.0, requests=101)], BEFORE) == {"b1": Rates(1.0, None, None)}


def test_a_counter_that_went_back_is_no_negative_rate():
    assert rates([counted(uptime_s=101.0, requests=1, replies=90, rejected=5)], BEFORE)["b1"] == Rates(0.0, 0.0, 0.0)


def test_the_sum_is_of_all_that_is_known():
    assert total({"b1": Rates(1.0, 2.0, None), "b2": Rates(10.0, None, None)}) == Rates(11.0, 2.0, None)
    assert total({}) == UNKNOWN
