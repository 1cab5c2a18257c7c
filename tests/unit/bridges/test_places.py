"""A bridge listens for other machines only where somebody has said so."""

import pytest

from braidmq.bridges.places import check_near, is_near
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
    ["tcp://*:5555", "tcp://0.0.0.0:5555", "tcp://[::]:5555", "tcp://eth0:5555", "tcp://10.0.0.1:5", "tcp://lo:5", "x"],
)
def test_what_others_may_reach_is_refused_unless_it_is_allowed(endpoint):
    with pytest.raises(ConfigError, match="insecure_bind"):
        check_near(["ipc://@x", endpoint], allowed=False, why="it is open")
    check_near([endpoint], allowed=True, why="it is open")
