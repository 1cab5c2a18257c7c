"""Programs of Malamute, each in a process of its own, before a bridge whose brokers are killed, and which is killed.

They are no mlm_client, which no registry has: see tests/support/mlm_client.py.
"""

import signal
import sys
from pathlib import Path

import pytest

from braidmq.blocking import Node
from braidmq.lab.processes.ports import free_ports
from tests.support.processes import wait_until

PROGRAM = Path(__file__).parents[1] / "support" / "mlm_client.py"

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
        live.add_node("bridge-1", calls=["*"], serves=["mlm.*"])
        self.brokers = {name: live.broker(name) for name in ("b1", "b2")}
        (directory / "app.py").write_text(SERVICES)
        live.serve("app:services", cwd=directory)
        live.wait_for_workers("pricing")
        self.endpoint = f"tcp://127.0.0.1:{free_ports(1)[0]}"
        self.bridge = self.start()

    def start(self):
        """Start the bridge."""
        options = ("--join", self.live.join("bridge-1"), "--bind", self.endpoint)
        bridge = self.live.start("bridge", "malamute", *options)
        bridge.wait_for_line("the malamute bridge of bridge-1 listens at ")
        return bridge

    def program(self, *arguments):
        """Start a program of Malamute."""
        role, *rest = arguments
        return self.live.launch([sys.executable, PROGRAM, role, self.endpoint, *rest], talks=True)


@pytest.fixture
def net(live, tmp_path):
    return Bridged(live, tmp_path)


def test_every_call_of_a_client_is_answered_once_though_a_broker_is_killed(net):
    client = net.program("client", "pricing", 200)
    for number in range(200):
        assert client.hear(30).strip() == f"price price {number}"
        if number == 100:
            net.brokers["b1"].end(signal.SIGKILL)
    assert client.hear().strip() == "asked again 0 times"
    assert client.wait() == 0
    assert net.bridge.running


def test_workers_serve_though_a_broker_is_killed_and_one_of_them(net):
    workers = [net.program("worker", "mlm.echo", name) for name in ("first", "second")]
    with Node(net.live.join("client")) as node:
        node.wait_for_services("mlm.echo", timeout=20)
        replies = []
        for number in range(200):
            replies.append(node.request("mlm.echo", b"%d" % number, timeout=20))
            if number == 70:
                net.brokers["b1"].end(signal.SIGKILL)
            if number == 140:
                workers[0].end(signal.SIGKILL)
    assert [reply.payload.split()[1] for reply in replies] == [b"%d" % number for number in range(200)]
    assert {reply.payload.split()[0] for reply in replies[:60]} == {b"first", b"second"}
    assert {reply.sender for reply in replies} == {"bridge-1"}


def test_worker_is_back_after_its_bridge_was_killed(net):
    net.program("worker", "mlm.echo", "first")
    with Node(net.live.join("client")) as node:
        node.wait_for_services("mlm.echo", timeout=20)
        net.bridge.end(signal.SIGKILL)
        wait_until(lambda: "mlm.echo" not in node.services_available(), "brokers notice that the bridge has gone")
        net.start()
        node.wait_for_services("mlm.echo", timeout=20)
        assert node.request("mlm.echo", b"14", timeout=20).payload == b"first 14"


def test_client_goes_on_after_its_bridge_was_killed(net):
    """A request that the old bridge had is lost without a word: the program asks again, as it must at Malamute."""
    client = net.program("client", "pricing", 200)
    for number in range(200):
        assert client.hear(30).strip() == f"price price {number}"
        if number == 100:
            net.bridge.end(signal.SIGKILL)
            net.start()
    assert client.hear().strip() in {"asked again 0 times", "asked again 1 times"}
    assert client.wait() == 0


def test_bridge_that_drains_ends_by_itself_and_its_programs_find_the_next_one(net):
    net.program("worker", "mlm.echo", "first")
    net.live.wait_for_workers("mlm.echo")
    assert net.bridge.end() == 0
    assert "all bridges have ended" in net.bridge.log
    net.start()
    net.live.wait_for_workers("mlm.echo")
