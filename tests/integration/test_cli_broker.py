"""`braidmq broker`: a real process, how it starts, refuses to start, and ends."""

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from braidmq.lab.processes.ports import free_ports
from braidmq.lab.processes.waiting import wait_until
from tests.support.namespaces import apart, in_network
from tests.support.nights import cases, nightly_but
from tests.support.processes import BRAIDMQ, complaint

root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture
def net(live):
    live.add_members("b1")
    return live


def serve_echo(net):
    worker = net.serve("--service", "echo", "--exec", "cat")
    net.wait_for_workers("echo")
    return worker


def test_it_says_where_it_listens_and_each_line_has_its_time_and_level(net):
    line = net.broker("b1").wait_for_line("listens")
    assert re.fullmatch(
        rf"\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{{3}} INFO    b1 listens at {net.endpoints['b1']}\n", line
    )


@cases("number", [signal.SIGTERM, signal.SIGINT], one_in=2)
def test_a_signal_ends_it_with_exit_code_0(net, number):
    broker = net.broker("b1")
    assert broker.end(number) == 0
    assert "b1 is draining" in broker.log
    assert broker.log.endswith("b1 has ended\n")
    assert "Traceback" not in broker.log


@pytest.mark.nightly
def test_a_signal_lets_what_is_under_way_be_answered(net, lifeline, tmp_path):
    broker = net.broker("b1")
    with net.call_under_way(lifeline, tmp_path):
        broker.send_signal(signal.SIGTERM)
        broker.wait_for_line("b1 is draining")
    assert broker.wait() == 0


@pytest.mark.parametrize("number", nightly_but({signal.SIGINT}, (signal.SIGTERM, signal.SIGINT)))
def test_a_second_signal_ends_it_at_once(net, number):
    broker = net.broker("b1")
    worker = serve_echo(net)
    worker.send_signal(signal.SIGSTOP)  # it will not note that the broker drains
    broker.send_signal(signal.SIGTERM)
    broker.wait_for_line("b1 is draining")
    assert broker.end(number) == -number
    assert "has ended" not in broker.log


@root
@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare")
def test_a_second_signal_ends_it_at_once_as_process_1_of_a_container_too(net):
    unshare = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    container = net.launch([*unshare, *BRAIDMQ, "broker", "--join", net.join("b1")])
    container.wait_for_line("b1 listens at")
    worker = serve_echo(net)
    worker.send_signal(signal.SIGSTOP)  # it will not note that the broker drains
    broker = int(Path(f"/proc/{container.pid}/task/{container.pid}/children").read_text())
    os.kill(broker, signal.SIGTERM)
    container.wait_for_line("b1 is draining")
    os.kill(broker, signal.SIGTERM)
    assert container.wait() == 128 + signal.SIGTERM
    assert "has ended" not in container.log


def test_a_port_in_use_is_exit_code_1(net):
    net.broker("b1")
    line = complaint(net.run("broker", "--join", net.join("b1")), 1)
    assert f"b1 cannot listen at {net.endpoints['b1']}: the port is in use" in line


def test_an_address_of_another_machine_is_exit_code_1(net):
    line = complaint(net.run("broker", "--join", net.join("b1"), "--bind", "tcp://192.0.2.1:5550"), 1)
    assert "b1 cannot listen at tcp://192.0.2.1:5550: it is not an address of this machine" in line


@cases(
    "endpoint",
    [
        "",
        "b1",
        "127.0.0.1:5550",
        "ipc:/socket",
        "tcp://127.0.0.1",
        "tcp://127.0.0.1:0",
        "tcp://::1:5550",
        "tcp://a b:1",
    ],
    one_in=4,
)
def test_a_malformed_endpoint_is_exit_code_2(net, endpoint):
    assert "is not an endpoint" in complaint(net.run("broker", "--join", net.join("b1"), "--bind", endpoint), 2)


@pytest.mark.nightly
def test_a_wrong_join_file_is_exit_code_2(net, tmp_path):
    assert "join file of a node" in complaint(net.run("broker", "--join", net.join("worker")), 2)
    assert "does not exist" in complaint(net.run("broker", "--join", tmp_path / "nothing"), 2)
    net.join("b1").chmod(0o644)
    assert "chmod 600" in complaint(net.run("broker", "--join", net.join("b1")), 2)
    assert "BRAIDMQ_JOIN" in complaint(net.run("broker"), 2)


@cases("option", [["--balance", "best"], ["--log-level", "loud"], ["--frobnicate"], ["argument"]], one_in=4)
def test_a_wrong_option_is_exit_code_2(net, option):
    assert "--help" in complaint(net.run("broker", "--join", net.join("b1"), *option), 2)


@cases("host", ("*", "0.0.0.0", "localhost", "127.0.0.1"), one_in=2)
def test_it_listens_where_it_is_told_to(net, host):
    port = int(net.endpoints["b1"].rpartition(":")[2])
    net.broker("b1", "--bind", f"tcp://{host}:{port}")
    serve_echo(net)
    assert net.call("echo", "hello").stdout == b"hello"


@apart
@cases(
    "setup",
    [
        "ip link set lo up; sysctl -qw net.ipv6.conf.all.disable_ipv6=1; sysctl -qw net.ipv6.conf.lo.disable_ipv6=1",
        "ip link set lo up; ip addr del 127.0.0.1/8 dev lo",
        "true",
    ],
    ids=["without IPv6", "without IPv4", "without loopback"],
    one_in=3,
)
@pytest.mark.parametrize(
    "hosts",
    nightly_but((["*"], ["[::]", "0.0.0.0"]), [["*"], ["[::]"], ["0.0.0.0"], ["localhost"], ["[::]", "0.0.0.0"]]),
    ids=" ".join,
)
def test_it_starts_in_networks_of_all_kinds(net, setup, hosts):
    if hosts == ["localhost"] and "disable_ipv6" not in setup:
        pytest.skip("that name may have the other address only")
    binds = [f"--bind=tcp://{host}:{5550 + number}" for number, host in enumerate(hosts)]
    broker = net.launch(in_network(setup, [*BRAIDMQ, "broker", "--join", net.join("b1"), *binds]))
    for _ in hosts:
        broker.wait_for_line("b1 listens at")
    assert broker.end() == 0


@pytest.mark.nightly
def test_it_listens_at_several_addresses(net):
    other = free_ports(1)[0]
    broker = net.broker("b1", "--bind", f"tcp://127.0.0.1:{other}", "--bind", net.endpoints["b1"])
    broker.wait_for_line(f"b1 listens at tcp://127.0.0.1:{other}")
    broker.wait_for_line(f"b1 listens at {net.endpoints['b1']}")
    serve_echo(net)
    assert net.call("echo", "hello").stdout == b"hello"
    with socket.create_connection(("127.0.0.1", other)):
        pass


def test_the_join_file_may_be_named_by_the_environment(net):
    broker = net.start("broker", env={"BRAIDMQ_JOIN": str(net.join("b1"))})
    broker.wait_for_line("b1 listens at")


@pytest.mark.nightly
@pytest.mark.parametrize(
    "way",
    [
        "<(cat {})",
        pytest.param("/dev/stdin < {}", marks=pytest.mark.nightly),
        pytest.param("/dev/fd/7 7< {}", marks=pytest.mark.nightly),
    ],
    ids=["pipe", "stdin", "descriptor"],
)
def test_the_join_file_may_be_handed_over_open(net, way):
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("needs bash")
    handed = way.format(shlex.quote(str(net.join("b1"))))
    broker = net.launch([bash, "-c", f'exec "$@" --join {handed}', "bash", *BRAIDMQ, "broker", "--log-level", "debug"])
    broker.wait_for_line("b1 listens at")
    serve_echo(net)
    net.add_node("late", calls=["*"])  # a newer file; the broker looks for one each second, and finds none in a pipe
    assert net.call("echo", "hello").stdout == b"hello"
    if way.startswith("<"):
        wait_until(lambda: "refuses this key" in net.call("echo", name="late").stderr.decode(), "it is not known there")
    assert "the old registry stays in force" not in broker.log
    assert broker.end() == 0


@pytest.mark.nightly
def test_an_older_registry_in_the_join_file_is_told_of_and_does_not_count(net):
    old = net.join("b1").read_bytes()
    net.add_node("late", calls=["*"])
    broker = net.broker("b1")
    broker.wait_for_line("listens at")
    for count in (1, 2):
        net.join("b1").write_bytes(old)  # a backup that was restored, perhaps
        wait_until(lambda count=count: broker.log.count("holds the older registry") == count, "it is told")
    line = broker.wait_for_line("stays in force")
    assert re.search(r"registry [0-9]+ stays in force: .*/b1.braid holds the older registry [0-9]+", line)
    serve_echo(net)
    assert net.call("echo", "hello", name="late").stdout == b"hello"
    assert broker.end() == 0
    assert broker.log.count("holds the older registry") == 2


@root
def test_the_join_file_may_be_handed_over_to_another_user_by_a_pipe(net):
    script = f"cat {shlex.quote(str(net.join('b1')))} | (trap '' PIPE; \"$@\")"
    probe = (
        "import os, sys; from braidmq.trust.joinfile import load; "  # all of it is imported as root
        "os.setuid(12345); print(load(sys.argv[1]).name)"
    )
    command = ["sh", "-c", script, "sh", sys.executable, "-c", probe, "/dev/stdin"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stdout) == (0, "b1\n"), result.stderr


def test_it_logs_no_less_than_it_is_told_to(net):
    broker = net.start("broker", "--join", net.join("b1"), "--log-level", "error")
    serve_echo(net)
    assert broker.end() == 0
    assert broker.log == ""


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("balance", "turns"),
    [
        ("round-robin", {"idle": 2, "busy": 2}),
        pytest.param("least-outstanding", {"idle": 4}, marks=pytest.mark.nightly),
    ],
)
def test_it_balances_as_it_is_told_to(net, lifeline, tmp_path, balance, turns):
    for name in ("one", "two"):
        net.add_node(name, serves=["*"])
    net.broker("b1", "--balance", balance)
    for name in ("one", "two"):
        stay = f"echo {name} > {tmp_path}/busy; {lifeline.command}; sleep 100"
        command = f"""sh -c 'read line; if [ "$line" = stay ]; then {stay}; fi; echo {name}'"""
        net.serve("--service", "who", "--exec", command, "--concurrency", "8", name=name)
    net.wait_for_workers("who", workers=2)
    with net.calling("who", "stay", "--timeout", "3600") as call:
        lifeline.wait_for_start()
        answers = [net.call("who", "come").stdout.decode() for _ in range(4)]
        call.send_signal(signal.SIGINT)
        lifeline.wait_for_end()
    busy = (tmp_path / "busy").read_text()
    assert Counter("busy" if name == busy else "idle" for name in answers) == turns


@pytest.mark.nightly
def test_two_processes_with_one_join_file_say_so_both(net):
    first = net.broker("b1")
    second = net.broker("b1", "--bind", f"tcp://127.0.0.1:{free_ports(1)[0]}")
    for one, other in ((first, second), (second, first)):
        line = one.wait_for_line("another process runs as b1", timeout=10)
        assert "WARNING" in line
        assert f"process {other.pid} of " in line
        assert "stop one of the two" in line
    told = net.run("status", "--join", net.join("observer")).stdout.decode()
    assert "another process runs with the join file of b1" in told
    assert second.end() == first.end() == 0


@pytest.mark.nightly
def test_a_broker_alone_warns_of_nobody(net):
    broker = net.broker("b1", "--log-level", "debug")
    serve_echo(net)
    net.call("echo", "x")
    assert broker.end() == 0
    assert "WARNING" not in broker.log


@pytest.mark.nightly
def test_calls_of_the_command_line_leave_no_lines_in_the_log(net):
    broker = net.broker("b1")
    serve_echo(net)
    for _ in range(3):
        assert net.call("echo", "x").returncode == 0
    assert broker.end() == 0
    assert "client" not in broker.log
    assert sum("worker connected" in line for line in broker.log.splitlines()) == 1
