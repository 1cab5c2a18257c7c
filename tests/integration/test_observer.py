"""Observers of real nodes and of a real broker: what they are told, and that their errors harm nobody."""

import json
import threading
from typing import Any, cast

import pytest

from braidmq import AttemptEnd, BrokerObserver, ConfigError, JobEnd, Node, NodeObserver, Settings, blocking
from braidmq.testing import TestNet
from tests.support.async_tests import until
from tests.support.nights import cases
from tests.support.processes import complaint
from tests.support.services import async_echo

WATCHING = """
import json, pathlib
from braidmq import BrokerObserver

class Watching(BrokerObserver):
    def note(self, *what):
        with pathlib.Path("seen").open("a") as file:
            file.write(json.dumps(what) + "\\n")

    def on_session(self, member, role, now):
        self.note("session", member, role)

    def on_credit(self, worker, service, credit, now):
        self.note("credit", worker, service)

    def on_request_answered(self, id_, worker, took_s, now):
        self.note("answered", worker)

    def on_request(self, id_, client, service, retry_count, now):
        raise RuntimeError("a fault of the observer")

observer = Watching()
text = "none"
"""


class Watching(NodeObserver):
    def __init__(self):
        self.seen = []

    def on_attempt(self, id_, broker, number, now):
        self.seen.append(("attempt", broker, number))

    def on_attempt_end(self, id_, broker, how, reason, now):
        self.seen.append(("attempt end", broker, how, reason))

    def on_call_end(self, id_, outcome, took_s, now):
        self.seen.append(("call end", outcome.payload, took_s < 60.0))

    def on_job_end(self, id_, how, took_s, now):
        self.seen.append(("job end", how))


class Faulty(NodeObserver):
    def _fail(self, *_arguments):
        raise RuntimeError("a fault of the observer")

    on_call = on_attempt = on_attempt_end = on_call_end = on_job = on_job_begun = on_job_end = _fail


async def test_nodes_tell_of_calls_attempts_and_jobs():
    async with TestNet(1) as net:
        net.node("w"), net.node("c")
        at_worker, at_client = Watching(), Watching()
        worker = Node(net.join("w"), settings=Settings.test(), observer=at_worker)
        worker.service("s")(async_echo)
        async with worker, Node(net.join("c"), settings=Settings.test(), observer=at_client) as client:
            await net.served("s")
            await client.request("s", b"ping")
        assert at_client.seen == [
            ("attempt", "b1", 1),
            ("attempt end", "b1", AttemptEnd.ANSWERED, ""),
            ("call end", b"ping", True),
        ]
        assert at_worker.seen == [("job end", JobEnd.RESULT)]


def test_nodes_without_asyncio_tell_of_them_in_their_own_thread():
    class Threads(Watching):
        def on_call(self, id_, service, now):
            self.seen.append(threading.current_thread().name)

    with TestNet(1) as net:
        at_worker, at_client = Watching(), Threads()
        worker = net.blocking_node("w", observer=at_worker)
        worker.service("s")(async_echo)
        net.node("c")
        with worker, blocking.Node(net.join("c"), settings=Settings.test(), observer=at_client) as client:
            net.wait_served("s")
            client.request("s", b"ping")
    assert at_client.seen == [
        "braidmq-c",
        ("attempt", "b1", 1),
        ("attempt end", "b1", AttemptEnd.ANSWERED, ""),
        ("call end", b"ping", True),
    ]
    assert at_worker.seen == [("job end", JobEnd.RESULT)]


async def test_nodes_and_brokers_of_a_test_net_tell_of_them():
    class Answers(BrokerObserver):
        def __init__(self):
            self.seen = []

        def on_request_answered(self, id_, worker, took_s, now):
            self.seen.append((threading.current_thread().name, worker))

    at_brokers, at_client = Answers(), Watching()
    async with TestNet(2, observer=at_brokers) as net:
        worker = net.node("w")
        worker.service("s")(async_echo)
        async with worker, net.node("c", observer=at_client) as client:
            await net.served("s")
            for via in ("b1", "b2"):
                await client.request("s", b"ping", via=via)
            net.brokers["b1"].restart()
            await net.served("s", brokers=["b1"])
            await client.request("s", b"ping", via="b1")
    assert at_brokers.seen == [(f"braidmq-broker-{name}", "w") for name in ("b1", "b2", "b1")]
    assert at_client.seen.count(("call end", b"ping", True)) == 3


async def test_an_observer_that_fails_harms_no_call(caplog):
    async with TestNet(1) as net:
        net.node("w"), net.node("c")
        worker = Node(net.join("w"), settings=Settings.test(), observer=Faulty())
        worker.service("s")(async_echo)
        async with worker, Node(net.join("c"), settings=Settings.test(), observer=Faulty()) as client:
            await net.served("s")
            for _ in range(3):
                assert (await client.request("s", b"ping")).payload == b"ping"
    for hook in ("on_call of", "on_attempt of", "on_attempt_end of", "on_call_end of", "on_job of", "on_job_end of"):
        assert caplog.text.count(f"{hook} the observer failed") == 1


async def test_what_is_no_observer_is_refused():
    async with TestNet(1) as net:
        net.node("c")
        with pytest.raises(ConfigError, match=r"observer must be a braidmq\.NodeObserver"):
            Node(net.join("c"), observer=cast("Any", print))


@pytest.fixture
def net(live, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "app.py").write_text(WATCHING)
    live.add_members("b1")
    return live


async def test_a_broker_tells_the_observer_that_the_command_line_names(net, tmp_path):
    broker = net.broker("b1", "--observer", "app:observer", cwd=tmp_path)
    net.serve("--service", "echo", "--exec", "cat")
    net.wait_for_workers("echo")
    assert net.run("call", "echo", "ping", "--join", net.join("client")).stdout == b"ping"

    def seen():
        return [json.loads(line) for line in (tmp_path / "seen").read_text().splitlines()]

    await until(lambda: ["answered", "worker"] in seen())
    assert ["session", "worker", "node"] in seen()
    assert ["credit", "worker", "echo"] in seen()
    broker.end()
    assert broker.log.count("on_request of the observer failed") == 1


@cases(
    ("target", "said"),
    [
        ("app", "write MODULE:NAME, as in app:observer"),
        ("nothing:observer", "there is no module 'nothing'"),
        ("app:nothing", "'nothing' in app does not exist: app has observer"),
        ("app:text", "'text' in app is a builtins.str, no braidmq.BrokerObserver: app has observer"),
    ],
    one_in=2,
)
def test_what_names_no_observer_is_exit_code_2(net, target, said):
    assert said in complaint(net.run("broker", "--observer", target, "--join", net.join("b1")), 2)
