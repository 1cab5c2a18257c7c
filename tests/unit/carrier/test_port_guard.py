"""Connections to ports that the system gives to connections, too."""

import socket
import subprocess
import sys
from contextlib import closing

import pytest
from braidmq.carrier.port_guard import guard_port

from braidmq.host.ports import ephemeral_range
from tests.support.namespaces import apart, in_network

LOW, HIGH = ephemeral_range()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "[::1]"])
def test_a_local_port_that_connections_are_given_is_guarded(host):
    port = free_port()
    guard = guard_port(f"tcp://{host}:{port}")
    assert guard is not None
    with closing(guard):
        assert guard.getsockname()[:2] == (host.strip("[]"), port)
        with socket.create_server((host.strip("[]"), port), family=guard.family):
            pass  # it is in no broker's way


@pytest.mark.parametrize(
    "endpoint",
    [
        f"tcp://127.0.0.1:{LOW - 1}",
        f"tcp://203.0.113.1:{LOW}",
        f"tcp://[2001:db8::1]:{LOW}",
        "ipc://@a:40000",
        "ipc://@a",
    ],
)
def test_others_need_no_guard(endpoint):
    assert guard_port(endpoint) is None


def test_neither_does_one_where_something_listens():
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert guard_port(f"tcp://127.0.0.1:{server.getsockname()[1]}") is None


@apart
def test_whoever_waits_for_a_port_leaves_nothing_there():
    script = """
import socket, sys
import zmq
from braidmq.core.links.link import Failure, Open
from braidmq.settings import Settings
from braidmq.carrier.dealer import Dealer
from braidmq.carrier.sockets import new_context

class Keys:
    public_key, secret_key = zmq.curve_keypair()

context, met = new_context(), set()
for _ in range(300):
    dealer = Dealer(context, Settings(), Keys(), Open("b", "tcp://127.0.0.1:41010", Keys.public_key))
    while not (failures := [each for each in dealer.events() if isinstance(each, Failure)]):
        dealer.monitor.socket.poll(1000)
    met.update(failures)
    dealer.close()
with socket.socket() as server:
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("0.0.0.0", 41010))
    server.listen()
print(*met)
"""
    setup = "ip link set lo up; echo 41000 41031 > /proc/sys/net/ipv4/ip_local_port_range"
    command = in_network(setup, [sys.executable, "-c", script])
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stdout) == (0, "nothing answers there\n"), result.stderr
