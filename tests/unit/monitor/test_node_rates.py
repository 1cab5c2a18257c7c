from braidmq.monitor.node_rates import node_rates
from braidmq.wire.control import NodeStatus
from tests.support.looks import mute, told


def at(uptime_s, *nodes, name="b1"):
    return told(name, nodes=nodes, uptime_s=uptime_s)


def caller(requests, name="shop", **rejected):
    return NodeStatus(name, "open", 1, 0, [], requests=requests, rejected=rejected)


def test_what_a_node_asks_for_is_added_up_over_brokers_each_by_its_own_clock():
    before = [at(10.0, caller(100, busy=4)), at(50.0, caller(0), name="b2"), mute("b3")]
    now = [at(12.0, caller(300, busy=10, denied=2)), at(51.0, caller(7), name="b2"), mute("b3")]
    assert node_rates(now, before) == {"shop": (100.0 + 7.0, 4.0)}


def test_rows_of_one_name_are_one_node():
    before, now = [at(1.0, caller(5), caller(0))], [at(2.0, caller(8), caller(0), caller(0))]
    assert node_rates(now, before) == {"shop": (3.0, 0.0)}


def test_who_has_just_come_has_come_back_or_is_at_a_restarted_broker_has_no_rate_yet():
    assert node_rates([at(2.0, caller(5))], [at(1.0)]) == {}
    assert node_rates([at(2.0, caller(5))], [at(1.0, caller(9))]) == {}
    assert node_rates([at(0.5, caller(5))], [at(1.0, caller(3))]) == {}
    assert node_rates([at(2.0, caller(5))], []) == {}
