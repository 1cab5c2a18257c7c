"""`braidmq broker --processes N`: several brokers of one host, run as one."""

import os
import re
import signal
import socket
import sys
import threading
from contextlib import closing, contextmanager

import pytest

from braidmq.blocking import Node
from braidmq.host.process_tree import processes
from braidmq.lab.processes.ports import HOST, free_ports
from braidmq.trust.numbered import numbered
from tests.support.nights import cases
from tests.support.processes import BRAIDMQ, complaint, loaded, wait_until

NAMES = ("b1-1", "b1-2")

BACK_S = 60.0


def is_free(port):
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return probe.connect_ex((HOST, port)) != 0


@pytest.fixture
def net(live):
    """A net of which one host is to run two brokers."""
    port = next(port for port in free_ports(20) if is_free(port + 1))
    live.endpoints = {name: each for name, [each] in numbered("b1", [f"tcp://{HOST}:{port}"], 2).items()}
    live.authority.add_brokers({name: [endpoint] for name, endpoint in live.endpoints.items()})
    live.add_members()
    return live


def begin(net, *options, before=()):
    """Start both brokers and wait until they listen."""
    command = [*before, *BRAIDMQ, "broker", "--processes", "2", "--join", net.join("b1-1"), *options]
    parent = net.launch(command)
    for name in NAMES:
        parent.wait_for_line(f"{name} listens at {net.endpoints[name]}")
    return parent


def pid(parent, name):
    """Return the number of the newest process of a broker."""
    return int(re.findall(rf"INFO    {name} runs as process (\d+)$", parent.log, re.MULTILINE)[-1])


def are_gone(pids):
    return not {process.id for process in processes()} & set(pids)


@contextmanager
def calling_on(net):
    """Call echo again and again; yield what tells how many calls were answered so far."""
    over, answered = threading.Event(), []

    def call():
        with Node(net.join("client")) as node:
            while not over.is_set():
                payload = str(len(answered)).encode()
                answered.append(node.request("echo", payload, timeout=20).payload == payload)

    thread = threading.Thread(target=call)
    thread.start()
    try:
        yield lambda: len(answered)
    finally:
        over.set()
        thread.join()
    assert all(answered)
    assert not thread.is_alive()


def serve_echo(net):
    net.serve("--service", "echo", "--exec", "cat", "--concurrency", "8")
    net.wait_for_workers("echo")


@pytest.mark.nightly
def test_each_line_has_the_name_of_its_broker_and_status_shows_all(net):
    parent = begin(net)
    serve_echo(net)
    assert net.call("echo", "hello").stdout == b"hello"
    net.wait_for_agreement(*NAMES)
    wait_until(lambda: net.run("status", "--join", net.join("observer")).returncode == 0, "all is well")
    said = loaded(net.run("status", "--join", net.join("observer"), "--json"))
    assert said["agree"]
    assert [each["name"] for each in said["brokers"]] == list(NAMES)
    assert parent.end() == 0
    for line in parent.log.splitlines():
        assert re.fullmatch(
            r"\S+ \S+ (INFO   |WARNING) (b1-[12]: .+|b1-[12] runs as process \d+|all 2 processes .+)", line
        ), line
    assert re.search(r"INFO    b1-2: worker connected$", parent.log, re.MULTILINE)
    assert parent.log.splitlines()[-1].endswith("all 2 processes have ended")


def test_calls_go_on_while_a_process_is_killed_and_started_again(net):
    parent = begin(net)
    serve_echo(net)
    with calling_on(net) as answered:
        for name in NAMES:
            before = pid(parent, name)
            os.kill(before, signal.SIGKILL)
            parent.wait_for_line(f"{name} was ended by SIGKILL: it is started again in 0.25 s")
            wait_until(lambda name=name, before=before: pid(parent, name) != before, f"{name} is started again")
            net.wait_for_agreement(*NAMES, timeout=BACK_S)
            net.wait_for_workers("echo")
            there = answered()
            wait_until(lambda there=there: answered() > there + 10, "calls go on")
    assert parent.end() == 0
    assert parent.log.count("has ended") == 2


@pytest.mark.nightly
@pytest.mark.parametrize("to_all", [pytest.param(False, marks=pytest.mark.nightly), True], ids=["to one", "to all"])
def test_a_signal_lets_what_is_under_way_be_answered(net, lifeline, tmp_path, to_all):
    parent = begin(net)
    with net.call_under_way(lifeline, tmp_path):
        parent.send_signal(signal.SIGTERM)
        if to_all:  # as systemd does
            for name in NAMES:
                os.kill(pid(parent, name), signal.SIGTERM)
        for name in NAMES:
            parent.wait_for_line(f"{name}: {name} is draining")
    assert parent.wait() == 0
    assert "while it drained" not in parent.log
    for name in NAMES:
        assert f"{name}: {name} has ended" in parent.log


@pytest.mark.nightly
def test_an_interrupt_of_the_whole_group_is_one_signal(net):
    apart = [sys.executable, "-c", "import os, sys; os.setsid(); os.execvp(sys.argv[1], sys.argv[1:])"]
    parent = begin(net, before=apart)
    os.killpg(parent.pid, signal.SIGINT)
    assert parent.wait() == 0
    assert parent.log.count("has ended") == 2


@pytest.mark.nightly
def test_a_second_signal_ends_all_at_once(net):
    parent = begin(net)
    worker = net.serve("--service", "echo", "--exec", "cat")
    net.wait_for_workers("echo")
    worker.send_signal(signal.SIGSTOP)  # it will not note that the brokers drain
    parent.send_signal(signal.SIGTERM)
    for name in NAMES:
        parent.wait_for_line(f"{name} is draining")
    assert parent.end() == -signal.SIGTERM
    assert "has ended" not in parent.log
    assert are_gone(pid(parent, name) for name in NAMES)


def test_a_killed_parent_leaves_no_process_and_loses_nothing(net, lifeline, tmp_path):
    parent = begin(net)
    pids = [pid(parent, name) for name in NAMES]
    with net.call_under_way(lifeline, tmp_path):
        os.kill(parent.pid, signal.SIGKILL)
        for name in NAMES:
            parent.wait_for_line(f"{name} is draining")
    wait_until(lambda: are_gone(pids), "no process is left")
    assert parent.log.count("has ended") == 2


@pytest.mark.nightly
def test_they_may_listen_elsewhere(net):
    first, second = (int(each.rpartition(":")[2]) for each in net.endpoints.values())
    parent = net.start("broker", "--processes", "2", "--join", net.join("b1-1"), "--bind", f"tcp://0.0.0.0:{first}")
    parent.wait_for_line(f"b1-1 listens at tcp://0.0.0.0:{first}")
    parent.wait_for_line(f"b1-2 listens at tcp://0.0.0.0:{second}")
    assert parent.end() == 0


@pytest.mark.nightly
def test_a_port_in_use_is_exit_code_1_and_ends_all(net):
    other = net.broker("b1-2")
    result = net.run("broker", "--processes", "2", "--join", net.join("b1-1"), "--log-level", "error")
    line = complaint(result, 1)
    assert f"b1-2 cannot listen at {net.endpoints['b1-2']}: the port is in use" in line
    result = net.run("broker", "--processes", "2", "--join", net.join("b1-1"))
    assert b"all end, as b1-2 was never ready: it ended with exit code 1" in result.stderr
    assert b"b1-1: b1-1 has ended" in result.stderr
    assert other.end() == 0


def test_what_is_wrong_with_all_is_said_once(net):
    line = complaint(
        net.run(
            "broker", "--processes", "2", "--join", net.join("b1-1"), "--observer", "nothing:x", "--log-level", "error"
        ),
        2,
    )
    assert "there is no module 'nothing'" in line


@cases(
    ("count", "file", "said"),
    [
        (0, "b1-1", "0 is not in the range 1<=x<=64"),
        (65, "b1-1", "65 is not in the range 1<=x<=64"),
        ("many", "b1-1", "not a valid integer"),
        (3, "b1-1", "b1-3.braid, and 3 processes need b1-1.braid to b1-3.braid"),
        (2, "b1-2", "b1-3.braid, and 2 processes need"),
        (2, "b1", "is not the first of 2 join files"),
        (2, "worker", "is not the first of 2 join files"),
    ],
    one_in=4,
)
def test_bad_input_is_exit_code_2_and_one_line(net, count, file, said):
    assert said in complaint(net.run("broker", "--processes", count, "--join", net.join(file)), 2)


def test_one_process_is_a_broker_like_any_other(net):
    broker = net.broker("b1-2", "--processes", "1")
    assert "runs as process" not in broker.log
    assert broker.end() == 0
