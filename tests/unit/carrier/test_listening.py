"""Where a broker listens, and what it says where it cannot."""

import os
import socket
import subprocess
import sys

import pytest
import zmq
from braidmq.carrier.router import Router
from braidmq.carrier.sockets import new_context

from braidmq.carrier import listening
from braidmq.carrier.listening import listen
from braidmq.errors import BraidError
from braidmq.settings import Settings

linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc tells who holds a port")


@pytest.fixture
def router():
    context = new_context()
    made = Router(context, Settings(), zmq.curve_keypair()[1])
    yield made
    made.close(0)
    context.term()


@pytest.fixture
def hurried(monkeypatch):
    monkeypatch.setattr(listening, "SUCCESSION_S_MAX", 0.2)
    monkeypatch.setattr(listening, "MEMORY_S_MAX", 0.2)


def names(monkeypatch, *addresses):
    """Let every host name have these addresses."""
    infos = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in addresses]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: infos)


def port_of(endpoint):
    return int(endpoint.rpartition(":")[2])


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def test_of_a_name_the_first_address_of_this_machine_counts(monkeypatch, router):
    names(monkeypatch, "203.0.113.1", "127.0.0.1")
    port = free_port()
    assert listen(router, f"tcp://b1.example:{port}", "b1").endswith(f"127.0.0.1]:{port}")


def test_a_name_without_an_address_of_this_machine_is_told(monkeypatch, router):
    names(monkeypatch, "203.0.113.1", "203.0.113.2")
    with pytest.raises(BraidError, match=r"b1 cannot listen at tcp://b1\.example:5555: it is not an address of this"):
        listen(router, "tcp://b1.example:5555", "b1")


def test_a_name_that_nobody_knows_is_told(monkeypatch, router):
    def unknown(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(BraidError, match="nobody has no address"):
        listen(router, "tcp://nobody:5555", "b1")


@linux
def test_a_server_in_the_way_is_named(router, hurried):
    script = "import socket; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); input()"
    child = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with child:
        port = child.stdout.readline().strip()
        with pytest.raises(BraidError, match=rf"the port is in use: process {child.pid} \(python.*\) listens there"):
            listen(router, f"tcp://127.0.0.1:{port}", "b1")
        child.communicate("\n")
    assert port_of(listen(router, f"tcp://127.0.0.1:{port}", "b1")) == int(port)


@linux
def test_an_address_that_is_named_twice_is_told_at_once(router):
    bound = listen(router, f"tcp://127.0.0.1:{free_port()}", "b1")
    with pytest.raises(BraidError, match=rf"process {os.getpid()} .* listens there"):
        listen(router, bound, "b1")


@linux
def test_a_connection_in_the_way_is_named(router, hurried):
    with socket.create_server(("127.0.0.1", 0)) as server:
        far = f"127.0.0.1:{server.getsockname()[1]}"
        with socket.create_connection(server.getsockname()) as connection:
            port = connection.getsockname()[1]
            with pytest.raises(BraidError, match=rf"process {os.getpid()} .* has a connection from there to {far}"):
                listen(router, f"tcp://127.0.0.1:{port}", "b1")


@linux
def test_a_connection_that_the_system_remembers_is_waited_for(router, caplog, monkeypatch):
    monkeypatch.setattr(listening, "MEMORY_S_MAX", 2.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        connection = socket.create_connection(server.getsockname())
        port = connection.getsockname()[1]
        accepted, _ = server.accept()
        connection.close()
        accepted.recv(1)
        accepted.close()
        with pytest.raises(BraidError, match=r"the system remembers a connection from there for [0-9]+ s more"):
            listen(router, f"tcp://127.0.0.1:{port}", "b1")
    assert sum("b1 waits for" in line for line in caplog.messages) == 1
    assert "are given to connections" in caplog.text


def test_it_listens_once_the_port_is_free(router, monkeypatch):
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
    assert port_of(listen(router, f"tcp://127.0.0.1:{port}", "b1")) == int(port)
    assert len(slept) == 1


def test_connections_beyond_the_descriptors_are_ended_and_the_others_go_on(router):
    port = port_of(listen(router, f"tcp://127.0.0.1:{free_port()}", "b1"))
    with socket.create_connection(("127.0.0.1", port)) as early:
        early.settimeout(10)
        assert early.recv(1), "the beginning of a greeting"
        router.on_monitor(0.0)
        router.doorstep._descriptors_max = 4
        with socket.create_connection(("127.0.0.1", port)) as late:
            late.settimeout(10)
            router.monitor.socket.poll(10_000)
            router.on_monitor(0.0)
            while late.recv(100):
                pass
        early.setblocking(False)
        greeting = early.recv(1000)
        assert greeting
        with pytest.raises(BlockingIOError):  # it is neither ended nor told anything more
            early.recv(1)
