from dataclasses import replace

import pytest

from braidmq.core.broker.transit import SessionState
from braidmq.lab.simulation.net import Net
from braidmq.lab.simulation.plan import plan_of
from braidmq.lab.simulation.registry import principal_of
from braidmq.lab.simulation.world import World

WHOLE_S_MAX = 20.0
SEEDS = 4


def net_of(seed, **changes):
    return Net(replace(plan_of(seed, "calm"), **changes), World(seed))


def begun(seed=1, **changes):
    """Return a net that is whole."""
    net = net_of(seed, **changes)
    net.start()
    assert net.world.run(WHOLE_S_MAX, net.is_whole), net.why_not_whole()
    return net


def a_call(net, **changes):
    (client, *_), (service, *_) = net.plan.clients, net.plan.services
    options = {"timeout_s": 2.0, "attempts": 3, "size_bytes": 0, "must_succeed": True, **changes}
    net.nodes[client].call(service, **options)
    net.world.run(net.world.now)


def test_a_net_is_not_whole_before_it_has_started():
    net = net_of(1)
    assert not net.is_whole()
    assert (net.brokers_up, net.nodes_up) == ([], [])


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_net_that_nothing_befalls_becomes_and_stays_whole(seed):
    net = begun(seed)
    assert net.why_not_whole() == []
    net.world.run(net.world.now + 3.0)
    assert net.is_whole()
    assert net.world.record.verdicts == []


def test_a_net_is_as_large_as_its_plan():
    net = net_of(1)
    assert tuple(net.brokers) == net.plan.brokers
    assert {name: node.serves for name, node in net.nodes.items()} == net.plan.nodes
    assert {name for name, node in net.nodes.items() if node.calls} == set(net.plan.clients)
    processes = [*net.brokers, *net.nodes]
    assert len(net.pairs()) == len(set(net.pairs())) == len(processes) * (len(processes) - 1)
    assert [net.process(name).name for name in processes] == processes


def test_a_key_belongs_to_one_member():
    net = net_of(1)
    for name in (*net.brokers, *net.nodes, net.intruder.name):
        assert net.name_of(principal_of(name)) == name
        assert net.is_registered(name)
    assert net.name_of("nobody's") == ""
    assert not net.is_registered("nobody")


def test_clocks_differ_by_no_more_than_they_may():
    net = net_of(1, clock_drift=0.01)
    rates = [process._clock_rate for process in (*net.brokers.values(), *net.nodes.values())]
    assert len(set(rates)) == len(rates)
    assert all(abs(rate - 1.0) <= 0.01 for rate in rates)


def test_a_node_knows_some_brokers_at_first_and_all_of_them_later():
    net = net_of(1, brokers=("b0", "b1", "b2"), known=1)
    firsts = {name: net.first_brokers(name) for name in net.nodes}
    assert {len(names) for names in firsts.values()} == {1}
    net.start()
    net.world.run(WHOLE_S_MAX, net.is_whole)
    assert all(set(node.core.links.links) == {"b0", "b1", "b2"} for node in net.nodes.values())


@pytest.mark.parametrize("what", ["kill", "pause", "stop"])
def test_a_net_without_a_broker_is_not_whole(what):
    net = begun(brokers=("b0", "b1"))
    getattr(net.brokers["b1"], what)()
    net.world.run(net.world.now)
    assert not net.is_whole()
    assert "b1" in net.why_not_whole()


@pytest.mark.parametrize("what", ["kill", "pause"])
def test_a_net_without_a_node_is_not_whole(what):
    net = begun()
    getattr(net.nodes["w0"], what)()
    assert not net.is_whole()
    assert any(line.startswith("w0 (b") for line in net.why_not_whole())


def test_a_net_with_a_dead_connection_is_not_whole():
    net = begun()
    net.network.reset(next(iter(net.network.connections)), silent=True)
    assert not net.is_whole()
    assert net.why_not_whole() == ["the network"]


def test_a_net_whose_brokers_do_not_know_of_each_other_is_not_whole():
    net = begun(brokers=("b0", "b1"))
    net.brokers["b0"].core.peering.membership.members["b1"].state = "suspect"
    assert net.why_not_whole() == ["b0"]


def test_a_net_without_a_service_is_not_whole():
    net = begun()
    net.brokers["b0"].core.dispatcher.services.clear()
    assert not net.is_whole()


def test_a_net_with_a_node_that_a_broker_has_not_heard_for_long_is_not_whole():
    net = begun()
    c0 = net.nodes["c0"]
    broker = next(link.name for link in c0.core.links.links.values() if link.open)
    net.brokers[broker].core.sessions[c0.dealers.route(broker)].state = SessionState.SUSPECT
    assert not net.is_whole()
    (found,) = net.why_not_whole()
    assert found.startswith("c0")


def test_a_net_is_quiet_when_no_caller_waits():
    net = begun()
    assert net.is_quiet()
    a_call(net)
    assert not net.is_quiet()
    assert any("holds 1 calls" in line for line in net.leftovers())
    assert net.world.run(net.world.now + 5.0, net.is_quiet)
    (call,) = net.world.record.calls
    assert call.outcome.key == call.key
    net.world.run(net.world.now + 1.0)
    assert net.leftovers() == []


def test_what_a_killed_client_leaves_is_told_until_the_net_has_let_go_of_it():
    net = begun()
    net.work = replace(net.work, durations_s=(1.0,))
    a_call(net)
    net.world.run(net.world.now + 0.2)
    net.nodes[net.plan.clients[0]].kill()
    assert {line.split()[1] for line in net.leftovers()} == {"holds", "waits"}
    assert net.world.run(net.world.now + 10.0, lambda: not net.leftovers())


def test_a_net_is_not_settled_while_a_request_is_on_its_way_that_its_client_has_withdrawn():
    net = begun()
    assert net.is_settled()
    a_call(net, must_succeed=False)
    net.nodes[net.plan.clients[0]].give_up_one()
    net.world.run(net.world.now)
    assert (net.is_quiet(), net.leftovers()) == (True, [])
    assert not net.is_settled()
    assert net.world.run(net.world.now + 2.0, net.is_settled)
    net.world.run(net.world.now + 1.0, lambda: bool(net.leftovers()))
    assert net.leftovers() == []


def test_an_outage_is_noted_for_whom_it_befalls_until_it_ends():
    net = net_of(1)
    recover = net.mark_outage("pause", net.brokers["b0"])
    net.mark_outage("loss")
    net.world.run(2.0)
    recover()
    outages = net.world.record.outages
    assert (outages[0].process, outages[0].kind, outages[0].start, outages[0].end) == ("b0", "pause", 0.0, 2.0)
    assert [each.process for each in outages[1:]] == [*net.brokers, *net.nodes]
    assert {each.end for each in outages[1:]} == {float("inf")}


def test_the_views_of_the_brokers_that_run_are_noted():
    net = begun(brokers=("b0", "b1", "b2"))
    net.brokers["b2"].kill()
    net.note_views()
    record = net.world.record
    assert record.alive == ["b0", "b1"]
    assert record.views == {(by, about): "alive" for by in ("b0", "b1") for about in net.brokers if by != about}


def test_a_net_with_a_node_that_does_not_know_all_brokers_is_not_whole():
    net = begun(brokers=("b0", "b1"), nodes={"w0": {"s0": 1}, "c0": {}}, clients=("c0",), services=("s0",))
    del net.nodes["c0"].core.links.links["b1"]
    assert not net.is_whole()
