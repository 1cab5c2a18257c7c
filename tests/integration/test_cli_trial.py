"""`braidmq ping` and `braidmq load` against real brokers and workers."""

import json
import re
import signal
from contextlib import contextmanager
from subprocess import PIPE, Popen

import pytest

from tests.support.nights import cases
from tests.support.processes import BRAIDMQ, WAIT_S_MAX, complaint, environment, loaded


@pytest.fixture
def net(live):
    """Two brokers and a worker that answers what it is asked."""
    live.add_members("b1", "b2")
    live.children = {name: live.broker(name) for name in ("b1", "b2")}
    live.children["worker"] = live.serve("--service", "echo", "--exec", "cat", "--concurrency", "8")
    live.wait_for_workers("echo")
    return live


def ping(net, service, *options, name="client"):
    return net.run("ping", service, "--join", net.join(name), *options)


def load(net, service, *options, name="client"):
    return net.run("load", service, "--join", net.join(name), *options)


@pytest.mark.nightly
def test_each_round_trip_has_a_line_and_the_paths_a_table(net):
    result = ping(net, "echo", "hello", "--count", "4", "--rate", "50", "--each-broker")
    assert (result.returncode, result.stderr) == (0, b"")
    lines = result.stdout.decode().splitlines()
    calls = sorted(line for line in lines if re.match(r"\d: ", line))
    assert len(calls) == 4
    assert all(re.fullmatch(r"\d: [\d.,]+ ms by worker over b[12], 5 bytes", line) for line in calls)
    assert any(line.startswith("echo: 4 sent, 4 answered, 0 failed, in ") for line in lines)
    table = [line.split()[:3] for line in lines if re.match(r"(b1|b2|all) ", line)]
    assert table == [["b1", "worker", "2"], ["b2", "worker", "2"], ["all", "all", "4"]]


@pytest.mark.nightly
def test_brokers_themselves_can_be_pinged(net):
    told = loaded(ping(net, "braid.echo", "--count", "4", "--rate", "50", "--each-broker", "--json"))
    assert {(path["broker"], path["worker"]) for path in told["paths"]} == {("b1", "b1"), ("b2", "b2")}


@pytest.mark.nightly
def test_json_has_the_summary_and_nothing_else(net):
    told = loaded(ping(net, "echo", "--count", "3", "--rate", "50", "--via", "b2", "--json"))
    assert (told["service"], told["sent"], told["answered"], told["failed"]) == ("echo", 3, 3, 0)
    assert 0 < told["latency_ms"]["min"] <= told["latency_ms"]["p50"] <= told["latency_ms"]["max"]
    assert [(path["broker"], path["answered"]) for path in told["paths"]] == [("b2", 3)]


@pytest.mark.nightly
def test_the_exit_code_is_that_of_what_failed(net):
    result = ping(net, "nobody", "--count", "2", "--rate", "50")
    assert result.returncode == 5
    assert re.search(rb"^1: NoWorker after ", result.stdout, re.MULTILINE)
    assert b"nobody: 2 sent, 0 answered, 2 failed" in result.stdout
    assert b"\n  2 x NoWorker\n" in result.stdout
    net.serve("--service", "bad", "--exec", "false")
    net.wait_for_workers("bad")
    result = ping(net, "bad", "--count", "1", "--json")
    assert result.returncode == 3
    assert [kind.split()[0] for kind in json.loads(result.stdout)["errors"]] == ["ServiceError"]


def test_without_a_broker_it_is_exit_code_5_in_one_line(live):
    live.add_members("b1")
    assert "no broker could be reached within 0.5 s" in complaint(ping(live, "echo", "--timeout", "0.5"), 5)


@contextmanager
def pinging(net, *options):
    """Start a ping; it is killed at the end if it is still there."""
    command = [*BRAIDMQ, "ping", "--join", str(net.join("client")), *options]
    with Popen(command, stdout=PIPE, stderr=PIPE, env=environment()) as child:
        try:
            yield child
        finally:
            child.kill()


@pytest.mark.nightly
@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.nightly)])
def test_a_signal_ends_it_with_the_summary(net, number):
    with pinging(net, "echo", "--rate", "50") as child:
        for _ in range(3):
            assert b" ms by worker over b" in child.stdout.readline()
        child.send_signal(number)
        out, error = child.communicate(timeout=WAIT_S_MAX)
    assert (child.returncode, error) == (0, b"")
    assert re.search(rb"^echo: \d+ sent, \d+ answered, 0 failed", out, re.MULTILINE)
    assert b"\nBROKER  WORKER  REPLIES" in out


@pytest.mark.nightly
def test_a_broker_that_dies_meanwhile_costs_no_answer(net):
    with pinging(net, "echo", "--rate", "50", "--count", "40") as child:
        for _ in range(5):
            assert child.stdout.readline()
        net.children["b1"].end(signal.SIGKILL)
        out, error = child.communicate(timeout=WAIT_S_MAX)
    assert (child.returncode, error) == (0, b"")
    assert b"\necho: 40 sent, 40 answered, 0 failed" in out


@pytest.mark.nightly
def test_a_reader_that_has_gone_ends_it_silently(net):
    with pinging(net, "echo", "--rate", "50") as child:
        child.stdout.close()
        assert child.wait(WAIT_S_MAX) == 1
        assert child.stderr.read() == b""


@cases(
    ("options", "said"),
    [
        (("--via", "b1", "--each-broker"), "choose one"),
        (("--rate", "0"), "--rate"),
        (("--rate", "1000"), "--rate"),
        (("--count", "0"), "--count"),
        (("@/nothing/there",), "cannot be read"),
    ],
    one_in=3,
)
def test_ping_refuses_what_makes_no_sense(live, options, said):
    live.add_members("b1")
    assert said in complaint(ping(live, "echo", *options), 2)


def test_a_closed_load_tells_throughput_latency_and_paths(net):
    told = loaded_quietly(load(net, "echo", "--bytes", "100", "--in-flight", "4", "--duration", "1", "--json"))
    (step,) = told["steps"]
    assert (told["payload_bytes"], step["in_flight"], step["rate"], step["failed"]) == (100, 4, None, 0)
    assert step["answered"] == step["sent"] > 0
    assert step["per_s"] > 0
    assert step["latency_ms"]["p50"] > 0
    assert {path["worker"] for path in step["paths"]} == {"worker"}


def loaded_quietly(result):
    """The JSON of a load; its progress went to stderr."""
    assert result.returncode == 0, result
    assert all(b" answered, " in line for line in result.stderr.splitlines())
    return json.loads(result.stdout)


@pytest.mark.nightly
def test_an_open_load_keeps_its_rate(net):
    result = load(net, "echo", "hello", "--rate", "40", "--duration", "1")
    assert result.returncode == 0
    lines = result.stdout.decode().splitlines()
    assert lines[0] == "echo: calls of 5 bytes"
    assert lines[1].startswith("RATE  REPLIES/S  FAILED  MIN ms")
    assert lines[2].startswith("40.0  ")
    assert any(re.fullmatch("40 sent, 40 answered, 0 failed, .*in 1.0 s", line) for line in lines)


@pytest.mark.nightly  # tests/unit/cli/trial/test_steps.py has its quicker siblings
def test_a_load_rises_until_the_service_is_full(net):
    net.serve("--service", "slow", "--exec", "sleep 0.1", "--concurrency", "2")
    net.wait_for_workers("slow")
    told = loaded_quietly(load(net, "slow", "--until-full", "--duration", "1", "--json"))
    assert [step["in_flight"] for step in told["steps"]][:3] == [1, 2, 4]
    assert told["full"]["why"] == "more calls in flight only wait longer"
    assert told["steps"][told["full"]["step"]]["in_flight"] in (2, 4)


@pytest.mark.nightly
def test_a_load_that_cannot_be_is_told_at_once(net):
    assert "no worker" in complaint(load(net, "nobody", "--duration", "60"), 5)
    assert "may not call" in complaint(load(net, "echo", name="observer"), 6)


@pytest.mark.nightly
def test_load_refuses_what_makes_no_sense(live):
    live.add_members("b1")
    assert "choose one" in complaint(load(live, "echo", "--rate", "5", "--in-flight", "5"), 2)
    assert "leave the other one out" in complaint(load(live, "echo", "text", "--bytes", "5"), 2)
