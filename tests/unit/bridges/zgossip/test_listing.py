"""Who is connected: known only if all brokers that may live have told all."""

import pytest

from braidmq.bridges.zgossip.listing import listed
from braidmq.wire.control import NodeStatus, PeerStatus, Report


def report(*nodes, brokers=(), total=None, denied=False):
    rows = [NodeStatus(name, "open", 0, 0) for name in nodes]
    peers = [PeerStatus(name, state) for name, state in brokers]
    return Report(denied=denied, nodes=rows, nodes_total=len(rows) if total is None else total, brokers=peers)


def test_all_that_brokers_list_are_there():
    assert listed({"b1": report("x", "y"), "b2": report("y", "z", brokers=[("b1", "alive")])}) == {"x", "y", "z"}


@pytest.mark.parametrize("state", ["dead", "unknown"])
def test_broker_that_does_not_live_lists_nobody(state):
    assert listed({"b1": report("x", brokers=[("b1", "alive"), ("b2", state)])}) == {"x"}


@pytest.mark.parametrize(
    "reports",
    [
        {},
        {"b1": report("x"), "b2": report(denied=True)},
        {"b1": report("x", total=2)},
        {"b1": report("x", brokers=[("b2", "alive")])},
        {"b1": report("x", brokers=[("b2", "suspect")])},
    ],
)
def test_nobody_knows_if_a_broker_has_not_told_all(reports):
    assert listed(reports) is None
