"""Brokers, workers and bridges as units of a service manager: what they say to it, and what they do not."""

import os
import re
import signal
import sys
from pathlib import Path

import pytest

from braidmq.lab.processes.ports import HOST, free_ports
from tests.support.nights import cases, nightly_but
from tests.support.processes import wait_until
from tests.support.service_manager import ServiceManager

WATCHDOG_S = 2.0

STARTED_S_MAX = 120.0
"""Two brokers start one after the other, on a machine that may do much else."""

HANGS = """
import threading
from pathlib import Path
from braidmq import BrokerObserver, Services

def hang():
    Path("hangs").touch()
    threading.Event().wait()

class Observer(BrokerObserver):
    def on_request(self, *arguments):
        hang()

observer = Observer()
services = Services()

@services.service("hangs")
async def hangs(request):
    hang()
"""


@pytest.fixture
def manager(tmp_path):
    manager = ServiceManager(tmp_path / "notify")
    yield manager
    manager.close()


@pytest.fixture
def net(live, tmp_path):
    (tmp_path / "app.py").write_text(HANGS)
    live.add_members("b1", "b2")
    return live


def begin(net, manager, what, **more):
    """Start one of the commands that stay, and return its child."""
    (port,) = free_ports(1)
    commands = {
        "broker": ["broker", "--join", net.join("b1"), "--no-local"],
        "serve": ["serve", "--service", "echo", "--exec", "sh -c 'echo $NOTIFY_SOCKET-$WATCHDOG_USEC-'"],
        "bridge": ["bridge", "http", "--bind", f"127.0.0.1:{port}"],
    }
    command = commands[what]
    if what != "broker":
        command += ["--join", net.join("worker" if what == "serve" else "client")]
    return net.start(*command, env=manager.environment(WATCHDOG_S), **more)


@cases(
    ("what", "status"),
    [
        ("broker", r"STATUS=b1: 0 of \d other brokers, \d+ nodes"),
        ("serve", r"STATUS=worker: \d of 2 brokers connected, serves echo"),
        ("bridge", r"STATUS=the HTTP gateway of client listens at http://127\.0\.0\.1:\d+"),
    ],
    one_in=3,
)
def test_it_says_that_it_is_ready_how_it_is_that_it_lives_and_that_it_ends(net, manager, what, status):
    child = begin(net, manager, what)
    manager.hear("READY=1")
    assert any(re.fullmatch(status, each) for each in manager.said), manager.said
    manager.hear("WATCHDOG=1")
    manager.hear("WATCHDOG=1")
    child.send_signal(signal.SIGTERM)
    manager.hear("STOPPING=1")
    assert child.wait() == 0
    assert manager.said.count("READY=1") == 1


@pytest.mark.nightly
def test_a_broker_tells_who_is_connected(net, manager):
    begin(net, manager, "broker")
    manager.hear("READY=1")
    net.broker("b2")
    net.serve("--service", "echo", "--exec", "cat")
    manager.hear("STATUS=b1: 1 of 1 other brokers, 1 nodes")


@pytest.mark.nightly
def test_what_a_worker_runs_has_no_service_manager(net, manager):
    net.broker("b2")
    begin(net, manager, "serve")
    manager.hear("READY=1")
    net.wait_for_workers("echo", "b2")
    assert net.call("echo").stdout == b"--\n"


@pytest.mark.nightly
def test_a_program_that_runs_a_node_says_the_same(net, manager, tmp_path):
    (tmp_path / "worker.py").write_text(
        f"from braidmq import Node\nnode = Node({str(net.join('worker'))!r})\n"
        "@node.service('x')\nasync def x(request):\n    return b''\nnode.run()\n"
    )
    child = net.launch([sys.executable, tmp_path / "worker.py"], env=manager.environment(WATCHDOG_S))
    manager.hear("READY=1")
    manager.hear("WATCHDOG=1")
    assert child.end(signal.SIGTERM) == 0
    manager.hear("STOPPING=1")


@pytest.mark.nightly
@pytest.mark.parametrize("who", nightly_but({"broker"}, ("broker", "worker")))
def test_a_loop_that_hangs_is_silent_although_its_process_lives(net, manager, tmp_path, who):
    env = manager.environment(WATCHDOG_S)
    if who == "broker":
        hangs = net.broker("b1", "--observer", "app:observer", cwd=tmp_path, env=env)
        net.serve("app:services", cwd=tmp_path)
    else:
        net.broker("b1")
        hangs = net.serve("app:services", cwd=tmp_path, env=env)
    manager.hear("READY=1")
    net.wait_for_workers("hangs", "b1")
    manager.hear("WATCHDOG=1")
    with net.calling("hangs", "--timeout", "60"):
        wait_until((tmp_path / "hangs").exists, "it hangs")
        manager.take()
        assert manager.listen("WATCHDOG=1", 1.5 * WATCHDOG_S) is None
        assert hangs.running
        threads = list(Path(f"/proc/{hangs.pid}/task").iterdir())
        assert len(threads) > 1, "it is not for want of a thread that could have said so"


@pytest.fixture
def two(live):
    ports = free_ports(2)
    live.authority.add_brokers({f"b1-{number}": [f"tcp://{HOST}:{port}"] for number, port in enumerate(ports, 1)})
    live.add_members()
    return live


@pytest.mark.nightly
def test_several_brokers_are_one_unit_and_one_of_them_that_hangs_is_started_again(two, manager):
    parent = two.start(
        "broker", "--processes", "2", "--join", two.join("b1-1"), "--no-local", env=manager.environment(WATCHDOG_S)
    )
    manager.hear("READY=1", STARTED_S_MAX)
    assert "STATUS=2 of 2 processes run" in manager.said
    for number in (1, 2):
        parent.wait_for_line(f"b1-{number} listens at")
    line = parent.wait_for_line("b1-2 runs as process ")
    os.kill(int(line.split()[-1]), signal.SIGSTOP)
    parent.wait_for_line("b1-2 has said nothing for 2 s: it hangs, and is killed", STARTED_S_MAX)
    parent.wait_for_line("b1-2 was ended by SIGKILL: it is started again in", STARTED_S_MAX)
    wait_until(lambda: parent.log.count("b1-2 listens at") >= 2, "it is started again", STARTED_S_MAX)
    manager.take()
    manager.hear("WATCHDOG=1")
    assert parent.end(signal.SIGTERM) == 0
    manager.hear("STOPPING=1")


def test_without_a_service_manager_nothing_is_different(net):
    broker = net.broker("b1")
    assert broker.end(signal.SIGTERM) == 0
    assert "service manager" not in broker.log


def test_a_service_manager_that_is_not_there_is_no_reason_to_end(net, tmp_path):
    broker = net.broker("b1", env={"NOTIFY_SOCKET": str(tmp_path / "nothing"), "WATCHDOG_USEC": "1000000"})
    broker.wait_for_line("the service manager cannot be told how this process is: No such file or directory")
    assert broker.end(signal.SIGTERM) == 0


@pytest.mark.nightly
def test_a_service_manager_that_reads_nothing_is_no_reason_to_stand_still(net, manager):
    manager.fill()
    broker = net.broker("b1", env=manager.environment(WATCHDOG_S))
    net.serve("--service", "echo", "--exec", "cat")
    net.wait_for_workers("echo", "b1")
    assert net.call("echo", "x").stdout == b"x"
    manager.take()
    manager.hear("READY=1")
    assert broker.end(signal.SIGTERM) == 0
