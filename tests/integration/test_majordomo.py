"""Real programs of Majordomo, each in a process of its own, before a bridge whose brokers are killed."""

import importlib.util
import random
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import zmq

from braidmq.blocking import Node
from braidmq.monitor.finding import Kind
from tests.support.bridged import Bridged
from tests.support.findings import named, status
from tests.support.nights import cases
from tests.support.processes import wait_until

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


@cases(("name", "role", "reply"), CLIENTS, one_in=2)
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


@pytest.mark.nightly
@pytest.mark.parametrize(("name", "role", "more"), WORKERS)
def test_foreign_workers_serve_though_a_broker_is_killed_and_one_of_them(net, name, role, more):
    workers = [program(net, name, *role, net.endpoint, "mdp.echo", *more) for _ in range(2)]
    replies = net.ask_while_they_die("mdp.echo", workers)
    assert [reply.payload for reply in replies] == [b"%d" % number for number in range(200)]


class OldWorker(threading.Thread):
    """A worker of 0.1 by hand: it answers `old BODY`, and notes what it is told.

    Attributes:
        heartbeats: that it was told.
        served: requests that it has answered.
        crowded: requests that came while it had one.
    """

    def __init__(self, endpoint, service):
        super().__init__()
        self._endpoint, self._service = endpoint, service
        self._ends = threading.Event()
        self.heartbeats = self.served = self.crowded = 0

    def run(self):
        with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
            socket.setsockopt(zmq.LINGER, 0)
            socket.connect(self._endpoint)
            socket.send_multipart([b"", b"MDPW01", b"\x01", self._service])
            while not self._ends.is_set():
                if not socket.poll(50):
                    continue
                _, _, command, *rest = socket.recv_multipart()
                if command == b"\x04":
                    self.heartbeats += 1
                    socket.send_multipart([b"", b"MDPW01", b"\x04"])
                elif command == b"\x02":
                    self.crowded += bool(socket.poll(20)) and len(socket.recv_multipart()) > 3
                    self.served += 1
                    socket.send_multipart([b"", b"MDPW01", b"\x03", rest[0], b"", b"old " + rest[2]])

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self._ends.set()
        self.join()


@pytest.mark.nightly
@majortomo
@pytest.mark.parametrize("heartbeats", [2, pytest.param(15, marks=pytest.mark.nightly)])
def test_workers_of_two_dialects_share_a_service_one_request_each_at_a_time(net, heartbeats):
    young = program(net, "majortomo_worker", net.endpoint, "mdp.echo", "0.5")
    assert young.hear().strip() == "registered"
    with OldWorker(net.endpoint, b"mdp.echo") as old, Node(net.live.join("client")) as node:
        node.wait_for_services("mdp.echo", timeout=20)
        wait_until(lambda: old.heartbeats, "both are registered")
        with ThreadPoolExecutor(4) as threads:
            payloads = [b"%d" % number for number in range(40)]
            replies = [each.payload for each in threads.map(lambda body: node.request("mdp.echo", body), payloads)]
        assert sorted(reply.removeprefix(b"old ") for reply in replies) == sorted(payloads)
        assert 0 < old.served < 40
        assert old.crowded == 0
        told = old.heartbeats
        wait_until(lambda: old.heartbeats >= told + heartbeats, "it hears a heartbeat each second")
    with pytest.raises(AssertionError, match="it said nothing"):  # it was not told to register again
        young.hear(0.1)


@pytest.mark.nightly
@pytest.mark.parametrize(("name", "role", "more"), WORKERS)
def test_foreign_worker_is_back_after_its_bridge_was_killed(net, name, role, more):
    program(net, name, *role, net.endpoint, "mdp.echo", *more)
    assert net.ask_after_its_death("mdp.echo", b"14") == b"14"


@pytest.mark.nightly
@pytest.mark.parametrize(("name", "role", "reply"), CLIENTS)
def test_foreign_client_goes_on_after_its_bridge_was_killed(net, name, role, reply):
    client = program(net, name, *role, net.endpoint, "pricing")
    for number in range(4):
        client.tell(f"{number}")
        assert hears(client, number, reply)
        if number == 2:
            net.bridge.end(signal.SIGKILL)
            net.start()


@pytest.mark.nightly
def test_client_of_the_guide_gets_through_while_its_bridge_restarts(net):
    client = program(net, "guide_client", net.endpoint, "pricing")
    for number in range(200):
        client.tell(f"{number}")
        if number == 100:
            net.bridge.end(signal.SIGKILL)
            net.start()
        assert hears(client, number)


@pytest.mark.nightly
def test_status_knows_a_bridge_and_names_one_that_is_gone_with_what_it_has_left_behind(net):
    program(net, "majortomo_worker", net.endpoint, "mdp.echo", "0.5")
    net.live.wait_for_workers("mdp.echo")

    def told():
        reports = [broker["report"] for broker in status(net.live)["brokers"]]
        rows = [node["bridge"] for report in reports for node in report["nodes"] if node["name"] == "bridge-1"]
        return rows[0] if rows and all(row and row["services"] for row in rows) else None

    bridge = wait_until(told, "brokers have heard of the foreign worker")
    assert (bridge["kind"], bridge["peers"], bridge["services"]) == ("majordomo", 1, 1)
    text = net.live.run("status", "--join", net.live.join("observer")).stdout.decode()
    assert "BRIDGE    TO" in text
    net.bridge.end(signal.SIGKILL)
    found = named(net.live, Kind.BRIDGE_GONE, "bridge-1")
    assert found["what"].startswith("the majordomo bridge bridge-1 is dead")
    assert "1 foreign program was connected to it" in found["why"]
    assert found["why"].endswith("nobody else serves mdp.echo")


def test_bad_input_takes_no_memory_and_disturbs_nobody(net):
    """10,000 random messages, an empty one, 1,000 frames in one, one that is too large, and names that are none."""
    drawn = random.Random(20)
    client = program(net, "guide_client", net.endpoint, "pricing")
    client.tell("1")
    assert hears(client, 1)
    before = net.bridge.rss_bytes
    known = (b"", b"MDPC01", b"MDPC02", b"MDPW01", b"MDPW02", b"mmi.x", b"a b", b"x" * 300)
    with zmq.Context() as context, context.socket(zmq.DEALER) as raw:
        raw.setsockopt(zmq.LINGER, 0)
        raw.setsockopt(zmq.SNDTIMEO, 20_000)
        raw.connect(net.endpoint)
        for _ in range(10_000):
            frames = [drawn.choice(known) if drawn.random() < 0.7 else drawn.randbytes(drawn.randrange(20))]
            frames += [bytes((drawn.randrange(8),)) for _ in range(drawn.randrange(4))]
            raw.send_multipart([b"", *frames] if drawn.random() < 0.7 else frames)
            while raw.poll(0):
                raw.recv_multipart()
        for frames in ([b""], [b""] * 1_000, [b"", b"MDPC01", b"pricing", bytes(1024 * 1024 + 1)]):
            raw.send_multipart(frames)
        raw.send_multipart([b"", b"MDPC01", b"mmi.none", b"1"])
        while raw.recv_multipart()[-1] != b"501":
            pass
    client.tell("2")
    assert hears(client, 2)
    assert net.bridge.rss_bytes < before + 10 * 1024 * 1024


@majortomo
@pytest.mark.nightly
def test_bridge_that_drains_sends_its_workers_to_the_next_one(net):
    worker = program(net, "majortomo_worker", net.endpoint, "mdp.echo", "0.5")
    assert worker.hear().strip() == "registered"
    net.live.wait_for_workers("mdp.echo")
    assert net.bridge.end() == 0
    assert "all bridges have ended" in net.bridge.log
    assert worker.hear().strip() == "registered", "by its DISCONNECT"
    net.start()
    net.live.wait_for_workers("mdp.echo")
