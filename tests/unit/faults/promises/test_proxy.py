import os
import socket
from contextlib import closing
from pathlib import Path
from threading import Thread
from time import monotonic

import pytest

from braidmq.lab.processes.ports import HOST, free_ports
from braidmq.lab.processes.waiting import wait_until
from faults.promises.proxy import FROM, TO, Proxy, inode_of, owner

pytestmark = pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="it takes /proc to know whose it is")


class Echo:
    """A server that sends back what it gets, to one connection after the other."""

    def __init__(self):
        self._server = socket.create_server((HOST, 0))
        self.port = self._server.getsockname()[1]
        self._thread = Thread(target=self._serve)
        self._thread.start()

    def _serve(self):
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            with closing(connection):
                try:
                    while data := connection.recv(1024):
                        connection.sendall(data)
                except ConnectionError:
                    pass

    def close(self):
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join()


@pytest.fixture
def proxy():
    echo = Echo()
    relay = Proxy(free_ports(1)[0], echo.port, lambda: {os.getpid(): "me"})
    yield relay
    relay.close()
    echo.close()


@pytest.fixture
def connection(proxy):
    with socket.create_connection((HOST, proxy.port), timeout=10) as made:
        yield made


def asked(connection, data=b"ping"):
    connection.sendall(data)
    return connection.recv(1024)


def test_bytes_pass_in_both_directions(connection):
    assert asked(connection) == b"ping"


@pytest.mark.parametrize("way", [TO, FROM])
def test_what_is_held_up_comes_later_and_in_order(proxy, connection, way):
    assert asked(connection) == b"ping"
    proxy.hold("me", way)
    connection.sendall(b"one")
    connection.settimeout(0.2)
    with pytest.raises(TimeoutError):
        connection.recv(1024)
    connection.sendall(b"two")
    proxy.release("me", way)
    connection.settimeout(10)
    got = b""
    while len(got) < 6:
        got += connection.recv(1024)
    assert got == b"onetwo"


def test_another_member_is_not_held_up(proxy, connection):
    proxy.hold("another", TO, FROM)
    assert asked(connection) == b"ping"


def test_what_is_delayed_takes_its_time(proxy, connection):
    proxy.delay("me", 0.1, TO, FROM)
    began = monotonic()
    assert asked(connection) == b"ping"
    assert monotonic() - began >= 0.2


def test_a_reset_reaches_both_ends(proxy, connection):
    assert asked(connection) == b"ping"
    assert proxy.reset("another") == 0
    assert proxy.reset("me") == 1
    with pytest.raises(ConnectionResetError):
        connection.recv(1024)
    with socket.create_connection((HOST, proxy.port), timeout=10) as again:
        assert asked(again) == b"ping"  # so the other end was closed: the server takes one at a time


def test_who_is_refused_gets_no_connection(proxy):
    proxy.refuse("me")
    with socket.create_connection((HOST, proxy.port), timeout=10) as made:
        assert made.recv(1) == b""


def test_a_server_that_is_down_ends_the_connection():
    with closing(socket.create_server((HOST, 0))) as taken:
        port = taken.getsockname()[1]
    relay = Proxy(free_ports(1)[0], port, dict)
    with socket.create_connection((HOST, relay.port), timeout=10) as made:
        assert made.recv(1) == b""
    relay.close()


def test_a_connection_belongs_to_the_process_that_holds_it(connection):
    port, remote = connection.getsockname()[1], connection.getpeername()[1]
    assert owner(port, remote, {os.getpid(): "me", 1: "init"}) == "me"
    assert owner(port, remote, {}) == ""
    wait_until(lambda: owner(port, remote, {2**30: "nobody"}) == "", "a process that is gone holds nothing")


def test_an_inode_is_found_by_both_ports():
    table = (
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
        "   0: 0100007F:1F90 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 111 1\n"
        "   1: 0100007F:D431 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 222 1\n"
    )
    assert inode_of(table, 0xD431, 0x1F90) == "222"
    assert inode_of(table, 0xD431, 0x1F91) == ""
