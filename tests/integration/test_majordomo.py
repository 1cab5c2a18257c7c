"""Real programs of Majordomo, each in a process of its own, before a bridge whose brokers are killed."""

import importlib.util
import signal
import sys
from pathlib import Path

import pytest

from braidmq.blocking import Node
from braidmq.lab.processes.ports import free_ports
from tests.support.processes import wait_until

PROGRAMS = Path(__file__).parents[1] / "support" / "foreign"

majortomo = pytest.mark.skipif(importlib.util.find_spec("majortomo") is None, reason="needs majortomo")
pyzmq_mdp = pytest.mark.skipif(importlib.util.find_spec("mdp") is None, reason="needs pyzmq-mdp and tornado")

SERVICES = """
from braidmq import Services

services = Services()


@services.service("pricing")
async def pricing(request):
    return b"price " + request.payload
"""


class Bridged:
    """Two brokers, a worker for `pricing`, and a bridge."""

    def __init__(self, live, directory):
        self.live = live
        live.add_members("b1", "b2")
        live.add_node("bridge-1", calls=["*"], serves=["mdp.*"])
        self.brokers = {name: live.broker(name) for name in ("b1", "b2")}
        (directory / "app.py").write_text(SERVICES)
        live.serve("app:services", cwd=directory)
        live.wait_for_workers("pricing")
        self.endpoint = f"tcp://127.0.0.1:{free_ports(1)[0]}"
        self.bridge = self.start()

    def start(self):
        """Start the bridge."""
        options = ("--join", self.live.join("bridge-1"), "--bind", self.endpoint)
        bridge = self.live.start("bridge", "majordomo", *options)
        bridge.wait_for_line("the majordomo bridge of bridge-1 listens at ")
        return bridge

    def program(self, name, *arguments):
        """Start a foreign program."""
        return self.live.launch([sys.executable, PROGRAMS / f"{name}.py", *arguments], talks=True)


@pytest.fixture
def net(live, tmp_path):
    return Bridged(live, tmp_path)


CLIENTS = [
    pytest.param("guide_client", (), "price {}", id="0.1"),
    pytest.param("majortomo_client", (), "[b'price {}']", id="majortomo", marks=majortomo),
    pytest.param("pyzmq_mdp", ("client",), "[b'pricing', b'price {}']", id="pyzmq-mdp", marks=pyzmq_mdp),
]


@pytest.mark.parametrize(("name", "role", "reply"), CLIENTS)
def test_every_call_of_a_foreign_client_is_answered_once_though_a_broker_is_killed(net, name, role, reply):
    client = net.program(name, *role, net.endpoint, "pricing", 200)
    for number in range(200):
        assert client.hear(30).strip() == reply.format(number)
        if number == 100:
            net.brokers["b1"].end(signal.SIGKILL)
    assert client.wait() == 0
    assert net.bridge.running


WORKERS = [
    pytest.param("majortomo_worker", (), ("0.5",), id="majortomo", marks=majortomo),
    pytest.param("pyzmq_mdp", ("worker",), (), id="pyzmq-mdp", marks=pyzmq_mdp),
]


@pytest.mark.parametrize(("name", "role", "more"), WORKERS)
def test_foreign_workers_serve_though_a_broker_is_killed_and_one_of_them(net, name, role, more):
    workers = [net.program(name, *role, net.endpoint, "mdp.echo", *more) for _ in range(2)]
    with Node(net.live.join("client")) as node:
        node.wait_for_services("mdp.echo", timeout=20)
        replies = []
        for number in range(200):
            replies.append(node.request("mdp.echo", b"%d" % number, timeout=20))
            if number == 70:
                net.brokers["b1"].end(signal.SIGKILL)
            if number == 140:
                workers[0].end(signal.SIGKILL)
    assert [reply.payload for reply in replies] == [b"%d" % number for number in range(200)]
    assert {reply.sender for reply in replies} == {"bridge-1"}


@pytest.mark.parametrize(("name", "role", "more"), WORKERS)
def test_foreign_worker_is_back_after_its_bridge_was_killed(net, name, role, more):
    net.program(name, *role, net.endpoint, "mdp.echo", *more)
    with Node(net.live.join("client")) as node:
        node.wait_for_services("mdp.echo", timeout=20)
        net.bridge.end(signal.SIGKILL)
        wait_until(lambda: "mdp.echo" not in node.services_available(), "brokers notice that the bridge has gone")
        net.start()
        node.wait_for_services("mdp.echo", timeout=20)
        assert node.request("mdp.echo", b"14", timeout=20).payload == b"14"


def test_client_of_the_guide_gets_through_while_its_bridge_restarts(net):
    client = net.program("guide_client", net.endpoint, "pricing", 200)
    for number in range(200):
        assert client.hear(30).strip() == f"price {number}"
        if number == 100:
            net.bridge.end(signal.SIGKILL)
            net.start()


@majortomo
def test_bridge_that_drains_sends_its_workers_to_the_next_one(net):
    worker = net.program("majortomo_worker", net.endpoint, "mdp.echo", "0.5")
    assert worker.hear().strip() == "registered"
    net.live.wait_for_workers("mdp.echo")
    assert net.bridge.end() == 0
    assert "all bridges have ended" in net.bridge.log
    assert worker.hear().strip() == "registered", "by its DISCONNECT"
    net.start()
    net.live.wait_for_workers("mdp.echo")
