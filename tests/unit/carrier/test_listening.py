"""Where a broker listens, and what it says where it cannot."""

import os
import socket
import subprocess
import sys

import pytest

from braidmq.carrier import listening
from braidmq.carrier.listening import listen, listen_nearby
from braidmq.carrier.nearby import Nearby
from braidmq.errors import BraidError
from tests.support.listeners import listening as made
from tests.support.nearby import sockets_in_a_directory_of_their_own

linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc tells who holds a port")


@pytest.fixture
def listener():
    with made() as rig:
        yield rig.listener


@pytest.fixture
def hurried(monkeypatch):
    monkeypatch.setattr(listening, "SUCCESSION_S_MAX", 0.2)
    monkeypatch.setattr(listening, "MEMORY_S_MAX", 0.2)


def names(monkeypatch, *addresses):
    """Let every host name have these addresses."""
    infos = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in addresses]
    getaddrinfo = socket.getaddrinfo

    def look_up(*arguments, **options):
        if options.get("flags", 0) & socket.AI_NUMERICHOST:
            return getaddrinfo(*arguments, **options)
        return infos

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


def port_of(endpoint):
    return int(endpoint.rpartition(":")[2])


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def test_of_a_name_the_first_address_of_this_machine_counts(monkeypatch, listener):
    names(monkeypatch, "203.0.113.1", "127.0.0.1")
    port = free_port()
    assert listen(listener, f"tcp://b1.example:{port}", "b1") == f"tcp://127.0.0.1:{port}"


def test_a_name_without_an_address_of_this_machine_is_told(monkeypatch, listener):
    names(monkeypatch, "203.0.113.1", "203.0.113.2")
    with pytest.raises(BraidError, match=r"b1 cannot listen at tcp://b1\.example:5555: it is not an address of this"):
        listen(listener, "tcp://b1.example:5555", "b1")


def test_a_name_that_nobody_knows_is_told(monkeypatch, listener):
    def unknown(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(BraidError, match="nobody has no address"):
        listen(listener, "tcp://nobody:5555", "b1")


@linux
def test_a_server_in_the_way_is_named(listener, hurried):
    script = "import socket; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); input()"
    child = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with child:
        port = child.stdout.readline().strip()
        with pytest.raises(BraidError, match=rf"the port is in use: process {child.pid} \(python.*\) listens there"):
            listen(listener, f"tcp://127.0.0.1:{port}", "b1")
        child.communicate("\n")
    assert port_of(listen(listener, f"tcp://127.0.0.1:{port}", "b1")) == int(port)


@linux
def test_an_address_that_is_named_twice_is_told_at_once(listener):
    bound = listen(listener, f"tcp://127.0.0.1:{free_port()}", "b1")
    with pytest.raises(BraidError, match=rf"process {os.getpid()} .* listens there"):
        listen(listener, bound, "b1")


@linux
def test_a_connection_in_the_way_is_named(listener, hurried):
    with socket.create_server(("127.0.0.1", 0)) as server:
        far = f"127.0.0.1:{server.getsockname()[1]}"
        with socket.create_connection(server.getsockname()) as connection:
            port = connection.getsockname()[1]
            with pytest.raises(BraidError, match=rf"process {os.getpid()} .* has a connection from there to {far}"):
                listen(listener, f"tcp://127.0.0.1:{port}", "b1")


@linux
def test_a_connection_that_the_system_remembers_is_waited_for(listener, caplog, monkeypatch):
    monkeypatch.setattr(listening, "MEMORY_S_MAX", 2.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        connection = socket.create_connection(server.getsockname())
        port = connection.getsockname()[1]
        accepted, _ = server.accept()
        connection.close()
        accepted.recv(1)
        accepted.close()
        with pytest.raises(BraidError, match=r"the system remembers a connection from there for [0-9]+ s more"):
            listen(listener, f"tcp://127.0.0.1:{port}", "b1")
    assert sum("b1 waits for" in line for line in caplog.messages) == 1
    assert "are given to connections" in caplog.text


def test_it_listens_once_the_port_is_free(listener, monkeypatch):
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen()
    port = server.getsockname()[1]
    slept = []

    def sleep(seconds):
        slept.append(seconds)
        server.close()

    monkeypatch.setattr(listening, "sleep", sleep)
    monkeypatch.setattr(listening, "_patience_s", lambda _holder: 10.0)
    assert port_of(listen(listener, f"tcp://127.0.0.1:{port}", "b1")) == int(port)
    assert len(slept) == 1


def test_a_broker_listens_where_members_of_its_machine_look(listener):
    nearby = Nearby("net", b"a" * 32)
    with sockets_in_a_directory_of_their_own():
        assert listen_nearby(listener, nearby, "b1") == nearby.place("b1")
        call = nearby.call("b1", 0.0)
        assert call is not None
        call.socket.close()


def test_where_it_cannot_one_line_says_why_and_it_goes_on(listener, caplog):
    nearby = Nearby("net", b"a" * 32)
    with sockets_in_a_directory_of_their_own() as directory:
        assert listen_nearby(listener, nearby, "b1")
        with made() as twin:
            assert listen_nearby(twin.listener, nearby, "b1") == ""
        assert f"come over TCP: {nearby.place('b1')}: another process listens there" in caplog.text
        (directory / "braidmq").chmod(0o755)
        (directory.parent / "common").rmdir()
        assert listen_nearby(listener, nearby, "b2") == ""
        assert f"{directory}/braidmq has mode 0755" in caplog.text
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]


@pytest.mark.parametrize("path", ["/nowhere/b1.sock", "/proc/b1.sock"])
def test_a_path_where_no_socket_can_be_is_told(listener, path):
    with pytest.raises(BraidError, match=f"b1 cannot listen at ipc://{path}: No such file or directory"):
        listen(listener, f"ipc://{path}", "b1")
