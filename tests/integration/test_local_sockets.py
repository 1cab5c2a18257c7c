"""Members of one machine meet at Unix sockets that they find by themselves: real processes, and how they end."""

import os
import signal
import socket
import stat
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from braidmq.carrier import nearby
from braidmq.lab.processes.ports import HOST, free_ports
from braidmq.trust.authority import Authority
from tests.support.nearby import sockets_in_a_directory_of_their_own
from tests.support.processes import complaint


@pytest.fixture
def runtime():
    with sockets_in_a_directory_of_their_own() as directory:
        yield directory


@pytest.fixture
def net(live, runtime):
    live.add_members("b1")
    return live


def elsewhere():
    """Let a broker listen at a port that nobody knows of."""
    return "--bind", f"tcp://{HOST}:{free_ports(1)[0]}"


def socket_of(broker, name="b1"):
    line = broker.wait_for_line(f"{name} listens at ipc://")
    return Path(line.rpartition("ipc://")[2].rstrip("\n"))


def serve_echo(net):
    worker = net.serve("--service", "echo", "--exec", "cat")
    net.wait_for_workers("echo")
    return worker


def test_members_find_their_broker_by_its_socket(net, runtime):
    broker = net.broker("b1", *elsewhere(), local=True)
    path = socket_of(broker)
    assert path.parent == runtime / "braidmq"
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    serve_echo(net)
    for size in (10, 1024 * 1024):
        assert net.call("echo", "-", stdin=b"x" * size).stdout == b"x" * size
    assert broker.end() == 0
    assert list(runtime.rglob("*.sock")) == []


def test_brokers_find_each_other_by_their_sockets(live, runtime):
    live.add_members("b1", "b2")
    for name in ("b1", "b2"):
        live.broker(name, *elsewhere(), local=True)
    live.wait_for_agreement("b1", "b2")
    assert all(row.link in ("", "up") for name in ("b1", "b2") for row in live.report(name).brokers)


@pytest.mark.nightly
def test_they_are_back_after_a_kill_that_has_left_the_socket_behind(net):
    broker = net.broker("b1", *elsewhere(), local=True)
    path = socket_of(broker)
    serve_echo(net)
    broker.end(signal.SIGKILL)
    assert path.exists()
    assert net.call("echo", "x", "--timeout", "1").returncode == 5
    again = net.broker("b1", *elsewhere(), local=True)
    assert socket_of(again) == path
    net.wait_for_workers("echo")
    assert net.call("echo", "back").stdout == b"back"
    assert again.end() == 0
    assert not path.exists()


@pytest.mark.nightly
def test_they_come_over_tcp_to_a_broker_that_is_not_local_any_more(net):
    broker = net.broker("b1", local=True)
    path = socket_of(broker)
    serve_echo(net)
    broker.end(signal.SIGKILL)
    again = net.broker("b1")
    net.wait_for_workers("echo")
    assert path.exists(), "nobody listens there"
    assert net.call("echo", "x").stdout == b"x"
    assert again.end() == 0
    assert "ipc://" not in again.log


@contextmanager
def silence_at(path):
    """Listen at a socket, and say nothing."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        path.chmod(0o600)
        listener.listen(64)
        yield


@contextmanager
def hanging_up_at(path):
    """Listen at a socket, and end every connection."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(64)

        def run():
            try:
                while True:
                    listener.accept()[0].close()
            except OSError:
                return

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.parametrize("stand_at", [silence_at, pytest.param(hanging_up_at, marks=pytest.mark.nightly)])
def test_an_impostor_at_its_socket_does_not_keep_them_from_their_broker(net, stand_at):
    broker = net.broker("b1", local=True)
    path = socket_of(broker)
    path.unlink()
    with stand_at(path):
        worker = serve_echo(net)
        assert net.call("echo", "x").stdout == b"x"
        assert worker.log.count(f"b1 at {path}: ") == 1
        assert "no connection to b1" not in worker.log
        assert broker.end() == 0
        assert path.exists(), "it was not the broker's"


@pytest.mark.nightly
def test_a_broker_of_another_net_at_its_socket_does_not_either(net, tmp_path):
    broker = net.broker("b1", local=True)
    path = socket_of(broker)
    path.unlink()
    impostor = Authority.create(tmp_path / "others").add_broker("b1", [f"tcp://{HOST}:{free_ports(1)[0]}"])
    other = net.start("broker", "--no-local", "--join", impostor, "--bind", f"ipc://{path}")
    other.wait_for_line(f"b1 listens at ipc://{path}")
    worker = serve_echo(net)
    assert net.call("echo", "x").stdout == b"x"
    assert worker.log.count(f"b1 at {path}: ") == 1
    assert other.end() == broker.end() == 0


def test_a_member_that_is_not_registered_hears_so_once(net, tmp_path):
    net.broker("b1", local=True)
    (tmp_path / "copy").mkdir()
    for each in net.directory.iterdir():
        (tmp_path / "copy" / each.name).write_bytes(each.read_bytes())
        (tmp_path / "copy" / each.name).chmod(0o600)
    stranger = Authority.open(tmp_path / "copy").add_node("stranger", calls=["*"])
    line = complaint(net.run("call", "echo", "--join", stranger, "--timeout", "3600"), 6)
    assert f"b1 at {net.endpoints['b1']}: the broker refuses this key: it is not registered" in line


WITHOUT_COMMON = """
import sys
from pathlib import Path
from braidmq.carrier import nearby
nearby.COMMON = Path(sys.argv.pop(1))
from braidmq.cli import main
main()
"""


@pytest.mark.nightly
def test_directories_that_others_may_enter_are_told_of_and_not_used(net, runtime):
    own = nearby.COMMON / f"braidmq-{os.geteuid()}"
    for directory in (runtime / "braidmq", own):
        directory.mkdir()
        directory.chmod(0o755)
    broker = net.launch([sys.executable, "-c", WITHOUT_COMMON, nearby.COMMON, "broker", "--join", net.join("b1")])
    line = broker.wait_for_line("WARNING")
    assert "b1 has no socket for members of this machine, which come over TCP: " in line
    for directory in (runtime / "braidmq", own):
        assert f"{directory} has mode 0755: run `chmod 700 {directory}`" in line
    serve_echo(net)
    assert net.call("echo", "x").stdout == b"x"
    assert broker.end() == 0
    assert broker.log.count("WARNING") == 1


@pytest.mark.nightly
def test_a_second_process_of_the_same_name_does_not_take_the_socket(net):
    first = net.broker("b1", local=True)
    path = socket_of(first)
    inode = path.stat().st_ino
    second = net.broker("b1", *elsewhere(), local=True)
    second.wait_for_line("b1 has no socket for members of this machine, which come over TCP: ")
    assert "another process listens there" in second.log
    assert second.end() == 0
    assert path.stat().st_ino == inode
    assert first.end() == 0


def test_without_local_sockets_there_is_none(net, runtime):
    broker = net.start("broker", "--no-local", "--join", net.join("b1"))
    broker.wait_for_line("b1 listens at tcp://")
    serve_echo(net)
    assert not (runtime / "braidmq").exists()
    assert broker.end() == 0
    assert "ipc://" not in broker.log


@pytest.mark.nightly
def test_a_broker_may_listen_at_a_path_of_your_choice(net, runtime):
    path = runtime / "b1.sock"
    broker = net.broker("b1", "--bind", f"ipc://{path}", "--bind", net.endpoints["b1"])
    broker.wait_for_line(f"b1 listens at ipc://{path}")
    broker.wait_for_line(f"b1 listens at {net.endpoints['b1']}")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    line = complaint(
        net.run("broker", "--join", net.join("b1"), "--bind", f"ipc://{path}", XDG_RUNTIME_DIR=str(runtime)), 1
    )
    assert f"b1 cannot listen at ipc://{path}: another process listens there" in line
    line = complaint(net.run("broker", "--join", net.join("b1"), "--bind", "ipc:///nowhere/b1.sock"), 1)
    assert "b1 cannot listen at ipc:///nowhere/b1.sock: No such file or directory" in line
    assert "path from the root" in complaint(net.run("broker", "--join", net.join("b1"), "--bind", "ipc://@b1"), 2)
    assert broker.end() == 0
    assert not path.exists()
