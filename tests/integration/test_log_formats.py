"""Logs for programs: what they hold, and what they never do."""

import json
import re
import signal
import socket
from pathlib import Path

import pytest

from braidmq.journal import SOCKET
from braidmq.lab.processes.ports import HOST, free_ports
from tests.support.processes import wait_until

PAYLOAD = "a-payload-that-is-nobodys-business"

FAILS = """
from braidmq import Services
services = Services()

@services.service("fails")
async def fails(request):
    raise ValueError("no")
"""


@pytest.fixture
def net(live):
    live.add_members("b1")
    live.add_node("worker-2", serves=["*"])
    return live


@pytest.fixture
def two(live):
    ports = free_ports(2)
    live.authority.add_brokers({f"b1-{number}": [f"tcp://{HOST}:{port}"] for number, port in enumerate(ports, 1)})
    live.add_members()
    return live


def test_a_log_in_json_has_nothing_but_objects_with_the_fields_of_events(net):
    broker = net.start("broker", "--join", net.join("b1"), "--no-local", "--log-format", "json")
    worker = net.serve("--service", "echo", "--exec", "cat", "--log-format", "json")
    worker.wait_for_line("connected to b1")
    broker.wait_for_line("SessionBegun")
    assert worker.end(signal.SIGTERM) == broker.end(signal.SIGTERM) == 0
    of_broker = [json.loads(line) for line in broker.log.splitlines()]
    of_worker = [json.loads(line) for line in worker.log.splitlines()]
    assert {each["message"] for each in of_worker} >= {"worker serves echo", "connected to b1", "worker has ended"}
    (begun,) = [each for each in of_broker if each.get("event") == "SessionBegun"]
    assert begun["fields"] == {"about": "worker"}
    assert (begun["level"], begun["logger"]) == ("info", "braidmq.broker")


@pytest.mark.nightly
def test_what_is_wrong_at_its_end_is_an_object_as_well(net):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bind = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        result = net.run("broker", "--join", net.join("b1"), "--bind", bind, "--log-format", "json")
    assert result.returncode == 1
    said = [json.loads(line) for line in result.stderr.splitlines()]
    assert said[-1]["level"] == "error"
    assert "cannot listen at" in said[-1]["message"]


@pytest.mark.nightly
def test_several_brokers_say_who_speaks_in_json(two):
    parent = two.start("broker", "--processes", "2", "--join", two.join("b1-1"), "--no-local", "--log-format", "json")
    parent.wait_for_line("b1-2 listens at", 120.0)
    assert parent.end(signal.SIGTERM) == 0
    said = [json.loads(line) for line in parent.log.splitlines()]
    assert {each.get("member") for each in said} == {None, "b1-1", "b1-2"}


def test_without_a_journal_that_is_one_line(net):
    if Path(SOCKET).exists():
        pytest.skip("there is a journal")
    result = net.run("broker", "--join", net.join("b1"), "--log-format", "journal")
    assert result.returncode == 2
    assert result.stderr.startswith(f"braidmq: there is no journal at {SOCKET}".encode())
    assert result.stderr.count(b"\n") == 1


@pytest.mark.parametrize("log_format", ["text", pytest.param("json", marks=pytest.mark.nightly)])
def test_no_payload_and_no_secret_is_in_a_log_whatever_its_level(net, tmp_path, log_format):
    (tmp_path / "app.py").write_text(FAILS)
    options = ("--log-level", "debug", "--log-format", log_format)
    broker = net.start("broker", "--join", net.join("b1"), "--no-local", *options)
    broker.wait_for_line("b1 listens at")
    workers = [
        net.serve("app:services", *options, cwd=tmp_path),
        net.serve("--service", "echo", "--exec", "cat", *options, name="worker-2"),
    ]
    net.wait_for_workers("echo", "b1")
    net.wait_for_workers("fails", "b1")
    assert net.call("echo", PAYLOAD).stdout == PAYLOAD.encode()
    assert net.call("fails", PAYLOAD).returncode == 3
    wait_until(lambda: "the handler of fails failed" in workers[0].log, "that is logged")
    for child in (*workers, broker):
        assert child.end(signal.SIGTERM) == 0
    logs = "".join(child.log for child in (*workers, broker))
    secrets = {
        word
        for name in ("b1", "worker", "worker-2", "client")
        for word in re.findall(r"[\w+/=-]{40,}", net.join(name).read_text())
    }
    assert secrets
    assert not [each for each in (PAYLOAD, *secrets) if each in logs]
