"""Bridges among nodes of libczmq, with faults: in the end all know what is so, and then it is quiet."""

import random

import pytest

from tests.support.gossip_net import Bridge, Net, Node

SERVICES = ("pricing", "orders", "stock")


class Gossip:
    """Two bridges, of which one connects to the other, and four nodes of which each has one way to a bridge."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.net = Net(self.rng)
        self.bridges = [Bridge(self.net, name) for name in ("bridge-1", "bridge-2")]
        self.nodes = [Node(self.net, f"n{number}") for number in range(4)]
        self.net.connect(*self.bridges)
        for number, node in enumerate(self.nodes):
            bridge = self.bridges[number % 2]
            self.net.connect(*((bridge, node) if number < 2 else (node, bridge)))
        self.all: list[Bridge | Node] = [*self.bridges, *self.nodes]
        self.said = {}

    def publish(self):
        """Let a node publish one of its own keys."""
        node = self.rng.choice(self.nodes)
        key = f"{node.name}/{self.rng.randrange(3)}".encode()
        self.said[key] = b"%d" % self.rng.randrange(10**6)
        node.publish(key, self.said[key])

    def change(self):
        """Let the net have other services."""
        bridge = self.rng.choice(self.bridges)
        bridge.know({service: self.rng.randrange(3) for service in SERVICES})

    def forge(self):
        """Let a node write to a key of a bridge."""
        keys = [key for bridge in self.bridges for key in bridge.own]
        if keys:
            self.rng.choice(self.nodes).publish(self.rng.choice(keys), b"forged")

    def restart(self):
        """Let a bridge be killed; it knows the net again as it comes back."""
        bridge = self.rng.choice(self.bridges)
        for link in self.net.links:
            if bridge in (link.dialler, link.acceptor):
                self.net.cut(link)
        bridge.begin()

    def cut(self):
        self.net.cut(self.rng.choice(self.net.links), 0.1 + self.rng.random())

    def wrong(self):
        """Return what a node or a bridge does not know as it is."""
        own = {key: value for bridge in self.bridges for key, value in bridge.own.items()}
        for each in self.all:
            for key, value in own.items():
                if each.tuples.get(key) != value:
                    yield each.name, key, each.tuples.get(key), value
            for key, value in each.tuples.items():
                if key.startswith(b"braidmq/") and value and key not in own:
                    yield each.name, key, value, b""


@pytest.mark.parametrize("seed", range(12))
def test_all_know_what_bridges_say_after_faults_and_then_it_is_quiet(seed):
    gossip = Gossip(seed)
    acts = (gossip.publish, gossip.publish, gossip.change, gossip.forge, gossip.restart, gossip.cut)
    for _ in range(60):
        gossip.net.run(gossip.rng.random())
        gossip.rng.choice(acts)()
    gossip.net.run(10.0)
    assert list(gossip.wrong()) == []
    before = gossip.net.published
    gossip.net.run(60.0)
    assert gossip.net.published == before


@pytest.mark.parametrize("seed", range(6))
def test_without_faults_all_hear_what_nodes_say(seed):
    gossip = Gossip(seed)
    for _ in range(60):
        gossip.net.run(0.2 + gossip.rng.random())
        gossip.publish()
    gossip.net.run(5.0)
    assert gossip.said
    for each in gossip.all:
        assert {key: each.tuples.get(key) for key in gossip.said} == gossip.said, each.name


@pytest.mark.parametrize("seed", range(6))
def test_values_that_cross_come_to_rest(seed):
    gossip = Gossip(seed)
    gossip.net.run(1.0)
    for number, node in enumerate(gossip.nodes):
        node.publish(b"k", b"%d" % number)
    before = gossip.net.published
    gossip.net.run(60.0)
    assert gossip.net.published < before + 2_000
    assert len({each.tuples[b"k"] for each in gossip.all}) == 1
    before = gossip.net.published
    gossip.net.run(60.0)
    assert gossip.net.published == before
