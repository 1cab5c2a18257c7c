import pytest

from braidmq.core.histogram import Histogram
from braidmq.monitor.service_rates import IDLE, NO_LATENCY, Latency, done
from braidmq.wire.control import ServiceStatus
from tests.support.looks import mute, told


def took(*seconds):
    found = Histogram()
    for each in seconds:
        found.add(each)
    return found.encoded()


def served(name="echo", *seconds, replies=None):
    return ServiceStatus(name, 1, 8, 0, 0, len(seconds) if replies is None else replies, took(*seconds))


def at(uptime_s, *services, name="b1"):
    return told(name, uptime_s=uptime_s, services=services)


BEFORE = [at(100.0, served("echo", 5.0, 5.0), served("idle", 5.0))]


def near(ms):
    return pytest.approx(ms, rel=0.08)


def test_only_what_was_counted_since_the_last_look_counts():
    found = done([at(102.0, served("echo", 5.0, 5.0, *[0.01] * 98, 1.0, 1.0), served("idle", 5.0))], BEFORE)
    assert found.services["echo"] == (50.0, near(10.0), near(1_000.0), None, None)
    assert found.services["idle"] == (0.0, None, None, None, None)
    assert found.net == found.brokers["b1"] == Latency(near(10.0), near(1_000.0))


def test_what_brokers_have_counted_is_added_up():
    before = [at(100.0, served()), at(100.0, served(), name="b2")]
    now = [at(101.0, served("echo", *[0.01] * 3)), at(101.0, served("echo", 2.0), name="b2")]
    found = done(now, before)
    assert found.services["echo"].replies == 4.0
    assert (found.services["echo"].p50_ms, found.net.p99_ms) == (near(10.0), near(2_000.0))
    assert (found.brokers["b1"].p99_ms, found.brokers["b2"].p50_ms) == (near(10.0), near(2_000.0))


def test_a_service_that_is_new_or_was_forgotten_has_no_past():
    assert done([at(101.0, served("new", 0.01), served("echo", 0.01))], BEFORE).services == {}


@pytest.mark.parametrize("before", [[], [mute("b1")], [at(200.0, served("echo"))]])
def test_without_a_past_nothing_is_known(before):
    assert done([at(101.0, served("echo", 0.01))], before) == ({}, {}, NO_LATENCY)


def test_older_brokers_and_long_reports_tell_no_times():
    found = done([at(101.0, served("echo", replies=9))], [at(100.0, served("echo", replies=8))])
    assert found.services["echo"] == (1.0, None, None, None, None)


def asked(requests, name="echo", replies=0, rejected=0):
    return ServiceStatus(name, 1, 8, 0, 0, replies, [], requests, rejected)


def test_requests_and_rejects_of_all_brokers_are_added_up():
    before = [at(100.0, asked(10, rejected=1)), at(100.0, asked(5), name="b2")]
    now = [at(102.0, asked(20, rejected=4)), at(102.0, asked(6), name="b2")]
    assert done(now, before).services["echo"] == (0.0, None, None, 5.5, 1.5)


def test_where_nothing_was_asked_that_is_known():
    rows = [asked(5), asked(7, "other", 3)]
    assert set(done([at(101.0, *rows)], [at(100.0, *rows)]).services.values()) == {IDLE}


def test_where_one_broker_does_not_count_requests_nobody_knows_how_many_there_were():
    before = [at(100.0, asked(10)), at(100.0, asked(None), name="b2")]
    now = [at(101.0, asked(20)), at(101.0, asked(None, replies=4), name="b2")]
    assert done(now, before).services["echo"] == (4.0, None, None, None, None)


@pytest.mark.parametrize("odd", [[5], [-7, 3], [9_999, 2], [3, -5], [3, 2**80], [1, 2, 3]])
def test_whatever_a_broker_says_is_some_pace(odd):
    row = ServiceStatus("echo", 1, 8, 0, 0, 3, odd)
    for now, before in (([row], []), ([row], [served()]), ([served("echo", 1.0)], [row])):
        found = done([at(101.0, *now)], [at(100.0, *before)])
        p50_ms = found.net.p50_ms
        assert p50_ms is None or p50_ms >= 0.0
