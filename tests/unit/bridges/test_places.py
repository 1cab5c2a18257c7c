"""A bridge listens for other machines only where somebody has said so."""

import pytest

from braidmq.bridges.places import check_endpoint, check_near, is_near
from braidmq.errors import ConfigError


@pytest.mark.parametrize(
    "endpoint",
    ["tcp://127.0.0.1:5555", "tcp://127.1.2.3:*", "tcp://[::1]:5555", "tcp://localhost:1", "ipc:///run/x", "ipc://@x"],
)
def test_what_only_this_machine_reaches_is_near(endpoint):
    assert is_near(endpoint)
    check_near([endpoint], allowed=False, why="no matter")


@pytest.mark.parametrize(
    "endpoint",
    ["tcp://*:5555", "tcp://0.0.0.0:5555", "tcp://[::]:5555", "tcp://eth0:5555", "tcp://10.0.0.1:5", "tcp://lo:5"],
)
def test_what_others_may_reach_is_refused_unless_it_is_allowed(endpoint):
    with pytest.raises(ConfigError, match="insecure_bind"):
        check_near(["ipc://@x", endpoint], allowed=False, why="it is open")
    check_near([endpoint], allowed=True, why="it is open")


@pytest.mark.parametrize(
    "endpoint",
    [
        "tcp://127.0.0.1:99999",
        "tcp://127.0.0.1:5555x",
        "tcp://127.0.0.1: 5555",
        "tcp://127.0.0.1:5555\n",
        "tcp://127.0.0.1:-1",
        "tcp://127.0.0.1:+1",
        "tcp://127.0.0.1:\u0661",
        "tcp://127.0.0.1:4294967297",
        f"tcp://127.0.0.1:{'9' * 5_000}",
        "tcp://127.0.0.1:",
        "tcp://127.0.0.1",
        "tcp://:5555",
        "udp://127.0.0.1:5555",
        "ipc://",
        "127.0.0.1:5555",
        "",
    ],
)
def test_what_libzmq_would_take_for_something_else_is_refused(endpoint):
    with pytest.raises(ConfigError, match="is no endpoint: write tcp://HOST:PORT"):
        check_near([endpoint], allowed=True, why="no matter")


def test_only_who_listens_leaves_the_port_to_the_system():
    for port in ("0", "*"):
        check_endpoint(f"tcp://127.0.0.1:{port}", any_port=True)
        with pytest.raises(ConfigError, match="is no endpoint"):
            check_endpoint(f"tcp://127.0.0.1:{port}", any_port=False)
    check_endpoint("tcp://127.0.0.1:65535", any_port=False)
    check_endpoint("ipc://@x", any_port=False)
