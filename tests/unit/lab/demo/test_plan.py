import pytest

from braidmq.errors import ConfigError
from braidmq.lab.demo.plan import Plan


@pytest.mark.parametrize(
    ("changes", "option"),
    [
        ({"brokers": 0}, "--brokers"),
        ({"brokers": 17}, "--brokers"),
        ({"workers": -1}, "--workers"),
        ({"clients": 65}, "--clients"),
        ({"rate": 0.5}, "--rate"),
        ({"rate": float("nan")}, "--rate"),
        ({"rate": 20_001}, "--rate"),
        ({"duration_s": float("inf")}, "--duration"),
        ({"kill_every_s": 0}, "--kill-every"),
        ({"kill_every_s": 30}, "--kill-every"),
    ],
)
def test_what_is_out_of_bounds_is_refused_by_the_name_of_its_option(changes, option):
    with pytest.raises(ConfigError, match=option):
        Plan(**changes)


def test_brokers_are_killed_while_there_is_load():
    assert Plan().kill_times == [4, 8, 12, 16, 20, 24, 28]
    assert Plan(duration_s=6, kill_every_s=2).kill_times == [2, 4]


def test_a_single_broker_s_requests_get_time_to_wait_for_it():
    assert Plan(brokers=1).timeout_s > Plan(brokers=2).timeout_s


def test_a_broker_is_back_before_the_next_kill_is_due():
    assert Plan().down_s == (1.0, 2.0)
    assert Plan(kill_every_s=1).down_s == (0.5, 0.5)
