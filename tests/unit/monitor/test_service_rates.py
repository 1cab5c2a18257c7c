import pytest

from braidmq.core.histogram import Histogram
from braidmq.monitor.service_rates import NO_RATE, service_rates
from braidmq.wire.control import ServiceStatus
from tests.support.looks import mute, told


def service(replies=0, *took_s, name="echo"):
    histogram = Histogram()
    for seconds in took_s:
        histogram.add(seconds)
    return ServiceStatus(name, 1, 8, 0, 0, replies, histogram.encoded())


def at(uptime_s, *services, name="b1"):
    return told(name, services=services, uptime_s=uptime_s)


def test_replies_a_second_and_their_times_are_those_between_two_looks():
    before = [at(10.0, service(100, *[5.0] * 100))]
    now = [at(12.0, service(104, *[5.0] * 100, 0.001, 0.001, 0.001, 0.1))]
    rate = service_rates(now, before)["echo"]
    assert rate.replies == 2.0
    assert rate.p50_ms == pytest.approx(1.0, rel=0.1)
    assert rate.p99_ms == pytest.approx(100.0, rel=0.1)


def test_brokers_are_added_up_each_by_its_own_clock():
    before = [at(10.0, service()), at(500.0, service(), name="b2"), mute("b3")]
    now = [at(11.0, service(3, *[0.001] * 3)), at(502.0, service(8, *[0.2] * 8), name="b2"), mute("b3")]
    rate = service_rates(now, before)["echo"]
    assert rate.replies == 3.0 + 4.0
    assert rate.p50_ms == pytest.approx(200.0, rel=0.1)


def test_without_a_reply_there_is_no_time_and_without_a_past_no_rate():
    assert service_rates([at(11.0, service(5))], [at(10.0, service(5))]) == {"echo": NO_RATE._replace(replies=0.0)}
    assert service_rates([at(11.0, service(5))], []) == {}
    assert service_rates([at(11.0, service(5))], [mute("b1")]) == {}
    assert service_rates([at(11.0, service(5))], [at(10.0, service(5, name="other"))]) == {}


def test_a_broker_that_was_restarted_or_has_forgotten_a_service_has_no_past():
    assert service_rates([at(1.0, service(5))], [at(10.0, service(3))]) == {}
    assert service_rates([at(11.0, service(1))], [at(10.0, service(3))]) == {}
