"""Commands whose standard streams are closed, full, or read by nobody."""

import fcntl
import itertools
import os
import re
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest

from braidmq import Node
from braidmq.core.events.log import LINES_MAX
from braidmq.lab.processes.ports import free_ports
from braidmq.lab.processes.waiting import wait_until
from tests.support.nights import cases, nightly_but
from tests.support.processes import BRAIDMQ, LiveNet, environment

CLOSED = nightly_but(
    ((0,), (1,), (0, 1, 2)), [which for count in (1, 2, 3) for which in itertools.combinations((0, 1, 2), count)]
)


def run_without(closed, *arguments, stdin=b""):
    """Run a command with some of its standard streams closed."""
    closing = " ".join(f"{descriptor}>&-" for descriptor in closed)
    command = ["sh", "-c", f'exec "$@" {closing}', "sh", *BRAIDMQ, *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, env=environment(), timeout=60, check=False)


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    with LiveNet(tmp_path_factory.mktemp("streams") / "net") as net:
        net.add_members("b1")
        net.add_node("watcher", observe=True)
        net.broker("b1")
        net.serve("--service", "echo", "--exec", "cat")
        net.wait_for_workers("echo")
        yield net


@pytest.mark.parametrize("closed", CLOSED, ids=str)
@cases(
    ("arguments", "code"),
    [
        (["call", "echo", "x", "--join", "client"], 0),
        (["call", "unknown", "x", "--join", "client"], 5),
        (["list"], 0),
        (["status", "--join", "observer"], 0),
        (["--version"], 0),
        (["frobnicate"], 2),
        (["call", "echo", "x", "--json", "--join", "client"], 0),
        (["call", "echo", "x", "--join", "nobody"], 2),
        (["list", "--json"], 0),
        (["status", "--json", "--join", "observer"], 0),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
    one_in=5,
)
def test_a_command_fails_only_if_its_output_is_lost(net, closed, arguments, code):
    arguments = [str(net.join(each)) if each in ("client", "observer", "nobody") else each for each in arguments]
    if arguments[0] == "list":
        arguments += ["--net", str(net.directory)]
    result = run_without(closed, *arguments)
    assert result.returncode == (1 if code == 0 and 1 in closed else code), result
    assert b"Traceback" not in result.stderr
    assert result.stderr.count(b"\n") == (result.returncode != 0 and 2 not in closed)
    if code == 0 and closed == (1,):
        assert b"stdout is closed" in result.stderr


@cases("closed", CLOSED, ids=str, one_in=3)
def test_a_payload_from_a_stdin_that_is_closed_is_wrong_usage(net, closed):
    result = run_without(closed, "call", "echo", "-", "--join", net.join("client"))
    assert b"Traceback" not in result.stderr
    if 0 in closed:
        assert result.returncode == 2
        assert (b"stdin is closed" in result.stderr) == (2 not in closed)


@cases("closed", CLOSED, ids=str, one_in=3)
def test_a_broker_and_a_worker_need_none_of_them(net, tmp_path, closed):
    closing = " ".join(f"{descriptor}>&-" for descriptor in closed)
    name = f"x{''.join(map(str, closed))}"
    net.authority.add_broker(name, [f"tcp://127.0.0.1:{free_ports(1)[0]}"])
    service = f"echo.{name}"
    for command in (
        ["broker", "--join", net.join(name)],
        ["serve", "--service", service, "--exec", "cat", "--join", net.join("worker")],
    ):
        child = net.launch(["sh", "-c", f'exec "$@" {closing}', "sh", *BRAIDMQ, *command])
        if command[0] == "broker":
            wait_until(lambda: name in net.members("b1"), "it takes part")
        else:
            wait_until(lambda: net.call(service, "x").stdout == b"x", "it serves")
        assert child.end(signal.SIGTERM) == 0
        assert "Traceback" not in child.log


@contextmanager
def unread_pipe():
    """Yield the end to write to of a small pipe that nobody reads, and the other one."""
    reader, writer = os.pipe()
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    try:
        yield writer, reader
    finally:
        os.close(reader)
        os.close(writer)


def fill(descriptor):
    os.set_blocking(descriptor, False)
    while True:
        try:
            os.write(descriptor, b"x" * 100)
        except BlockingIOError:
            os.set_blocking(descriptor, True)
            return


@contextmanager
def started(*arguments, **streams):
    with subprocess.Popen([*BRAIDMQ, *map(str, arguments)], env=environment(), **streams) as child:
        try:
            yield child
        finally:
            child.kill()


async def test_a_broker_whose_log_nobody_reads_goes_on_and_ends(live):
    live.add_members("b1")
    with unread_pipe() as (writer, reader):
        fill(writer)
        with started("broker", "--join", live.join("b1"), "--log-level", "debug", stderr=writer) as broker:
            live.serve("--service", "echo", "--exec", "cat")
            live.wait_for_workers("echo")
            for _ in range(50):
                async with Node(live.join("client")) as node:
                    await node.connected()
            assert live.call("echo", "x").stdout == b"x"
            broker.send_signal(signal.SIGTERM)
            assert broker.wait(30) == 0
        assert os.read(reader, 4096).startswith(b"xxx")


@pytest.mark.nightly
def test_a_worker_whose_log_nobody_reads_goes_on_and_ends(live, tmp_path):
    live.add_members("b1")
    live.broker("b1")
    (tmp_path / "app.py").write_text(
        "import os\nfrom braidmq import Node\nnode = Node(os.environ['BRAIDMQ_JOIN'])\n"
        "@node.service('fail')\nasync def fail(request):\n    raise RuntimeError('x' * 1000)\n"
    )
    with unread_pipe() as (writer, _reader):
        fill(writer)
        command = [*BRAIDMQ, "serve", "app:node", "--join", str(live.join("worker"))]
        with subprocess.Popen(command, env=environment(), stderr=writer, cwd=tmp_path) as worker:
            try:
                live.wait_for_workers("fail")
                for _ in range(5):
                    assert live.call("fail").returncode == 3
                worker.send_signal(signal.SIGTERM)
                assert worker.wait(30) == 0
            finally:
                worker.kill()


@cases("as_json", [[], ["--json"]], ids=["text", "json"], one_in=2)
def test_a_watch_that_nobody_reads_can_be_ended(net, as_json):
    with unread_pipe() as (writer, _reader):
        fill(writer)
        with started("status", "--watch", *as_json, "--join", net.join("watcher"), stdout=writer) as watch:
            wait_until(lambda: any(node.name == "watcher" for node in net.report("b1").nodes), "it watches")
            watch.send_signal(signal.SIGTERM)
            assert watch.wait(30) == 0


def test_a_demo_that_nobody_reads_can_be_ended(tmp_path):
    with unread_pipe() as (writer, _reader):
        fill(writer)
        command = [*BRAIDMQ, "demo", "--json", "--brokers", "2", "--workers", "1", "--clients", "1", "--duration", "60"]
        env = environment(TMPDIR=str(tmp_path))
        with subprocess.Popen(command, stderr=writer, stdout=subprocess.PIPE, env=env) as demo:
            try:
                wait_until(lambda: list(tmp_path.glob("*/logs/c1.log")), "it has started its client")
                demo.send_signal(signal.SIGTERM)
                assert demo.wait(60) == 128 + signal.SIGTERM
            finally:
                demo.kill()
    assert not list(tmp_path.iterdir())


@pytest.mark.nightly
def test_a_log_whose_reader_has_gone_is_no_reason_to_end(live):
    live.add_members("b1")
    reader, writer = os.pipe()
    os.close(reader)
    with started("broker", "--join", live.join("b1"), stderr=writer) as broker:
        os.close(writer)
        live.serve("--service", "echo", "--exec", "cat")
        live.wait_for_workers("echo")
        assert live.call("echo", "x").stdout == b"x"
        broker.send_signal(signal.SIGTERM)
        assert broker.wait(30) == 0


def test_a_complaint_to_a_pipe_that_nobody_reads_ends_all_the_same(live):
    with unread_pipe() as (writer, _reader):
        fill(writer)
        with started("call", "x", "--join", live.directory / "nothing", stderr=writer) as call:
            assert call.wait(30) == 2


def read_all(descriptor):
    with os.fdopen(os.dup(descriptor), "rb") as pipe:
        return pipe.read().decode()


async def test_a_key_that_connects_again_and_again_writes_a_few_lines_and_the_rest_is_counted(live):
    """Its reconnects neither stop a broker whose log nobody reads, nor fill the log of one whose log is read late."""
    live.add_members("b1")
    reader, writer = os.pipe()
    fill(writer)
    with started("broker", "--join", live.join("b1"), "--log-level", "debug", stderr=writer) as broker:
        os.close(writer)
        for _ in range(50):
            async with Node(live.join("client")) as node:
                await node.connected()
        broker.send_signal(signal.SIGTERM)
        log = read_all(reader)
        assert broker.wait(30) == 0
    os.close(reader)
    lines = log[log.rindex("xxx") :].splitlines()
    written = sum(line.endswith("hello from client") and "more lines" not in line for line in lines)
    assert LINES_MAX <= written <= 2 * LINES_MAX, "a period may have ended meanwhile"
    told = [re.search(r"([0-9]+) more lines like this of client: hello from client", line) for line in lines]
    assert sum(int(found[1]) for found in told if found) == 50 - written
    assert lines[-1].endswith("b1 has ended")


@pytest.mark.nightly
def test_a_log_on_a_full_disk_is_no_reason_to_end(live):
    live.add_members("b1")
    with (
        Path("/dev/full").open("wb") as full,
        started("broker", "--join", live.join("b1"), stderr=full, stdout=full) as broker,
    ):
        live.serve("--service", "echo", "--exec", "cat")
        live.wait_for_workers("echo")
        assert live.call("echo", "x").stdout == b"x"
        broker.send_signal(signal.SIGTERM)
        assert broker.wait(30) == 0
