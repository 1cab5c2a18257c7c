"""Real programs of Majordomo, each in a process of its own, before a bridge whose brokers are killed."""

import importlib.util
import signal
from pathlib import Path

import pytest

from tests.support.bridged import Bridged

SUPPORT = Path(__file__).parents[1] / "support" / "foreign"
EXAMPLES = Path(__file__).parents[2] / "examples" / "bridges"

majortomo = pytest.mark.skipif(importlib.util.find_spec("majortomo") is None, reason="needs majortomo")
pyzmq_mdp = pytest.mark.skipif(importlib.util.find_spec("mdp") is None, reason="needs pyzmq-mdp and tornado")


@pytest.fixture
def net(live, tmp_path):
    return Bridged(live, tmp_path, "majordomo", serves="mdp.*")


def program(net, name, *arguments):
    """Start a foreign program."""
    folder = EXAMPLES if name.startswith("majortomo") else SUPPORT
    return net.launch(folder / f"{name}.py", *arguments)


def hears(client, number, reply="price {}"):
    return client.hear(30).strip() == reply.format(number)


CLIENTS = [
    pytest.param("guide_client", (), "price {}", id="0.1"),
    pytest.param("majortomo_client", (), "price {}", id="majortomo", marks=majortomo),
    pytest.param("pyzmq_mdp", ("client",), "[b'pricing', b'price {}']", id="pyzmq-mdp", marks=pyzmq_mdp),
]


@pytest.mark.parametrize(("name", "role", "reply"), CLIENTS)
def test_every_call_of_a_foreign_client_is_answered_once_though_a_broker_is_killed(net, name, role, reply):
    client = program(net, name, *role, net.endpoint, "pricing")
    for number in range(200):
        client.tell(f"{number}")
        if number == 100:
            net.brokers["b1"].send_signal(signal.SIGKILL)
        assert hears(client, number, reply)
    assert net.brokers["b1"].wait() == -signal.SIGKILL
    assert net.bridge.running


WORKERS = [
    pytest.param("majortomo_worker", (), ("0.5",), id="majortomo", marks=majortomo),
    pytest.param("pyzmq_mdp", ("worker",), (), id="pyzmq-mdp", marks=pyzmq_mdp),
]


@pytest.mark.parametrize(("name", "role", "more"), WORKERS)
def test_foreign_workers_serve_though_a_broker_is_killed_and_one_of_them(net, name, role, more):
    workers = [program(net, name, *role, net.endpoint, "mdp.echo", *more) for _ in range(2)]
    replies = net.ask_while_they_die("mdp.echo", workers)
    assert [reply.payload for reply in replies] == [b"%d" % number for number in range(200)]


@pytest.mark.parametrize(("name", "role", "more"), WORKERS)
def test_foreign_worker_is_back_after_its_bridge_was_killed(net, name, role, more):
    program(net, name, *role, net.endpoint, "mdp.echo", *more)
    assert net.ask_after_its_death("mdp.echo", b"14") == b"14"


@pytest.mark.parametrize(("name", "role", "reply"), CLIENTS)
def test_foreign_client_goes_on_after_its_bridge_was_killed(net, name, role, reply):
    client = program(net, name, *role, net.endpoint, "pricing")
    for number in range(4):
        client.tell(f"{number}")
        assert hears(client, number, reply)
        if number == 2:
            net.bridge.end(signal.SIGKILL)
            net.start()


def test_client_of_the_guide_gets_through_while_its_bridge_restarts(net):
    client = program(net, "guide_client", net.endpoint, "pricing")
    for number in range(200):
        client.tell(f"{number}")
        if number == 100:
            net.bridge.end(signal.SIGKILL)
            net.start()
        assert hears(client, number)


@majortomo
def test_bridge_that_drains_sends_its_workers_to_the_next_one(net):
    worker = program(net, "majortomo_worker", net.endpoint, "mdp.echo", "0.5")
    assert worker.hear().strip() == "registered"
    net.live.wait_for_workers("mdp.echo")
    assert net.bridge.end() == 0
    assert "all bridges have ended" in net.bridge.log
    assert worker.hear().strip() == "registered", "by its DISCONNECT"
    net.start()
    net.live.wait_for_workers("mdp.echo")
