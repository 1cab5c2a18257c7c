"""Ports of the loopback interface for brokers that are started, ended and started again."""

import random
import socket
from contextlib import closing
from typing import Final

from braidmq.errors import BraidError
from braidmq.host.ports import ephemeral_range

HOST: Final = "127.0.0.1"

PORT_MIN: Final = 10_000

PORT_DRAWS_MAX: Final = 1_000


def free_ports(count: int) -> list[int]:
    """Return ports that are free and stay so while a broker is down.

    They lie below those that the system hands out for outgoing connections: out of its range, another program's
    connection could hold a killed broker's port, and a node that connects to it could even meet itself.
    """
    ports: set[int] = set()
    low, _high = ephemeral_range()
    highest = low - 1 if low > PORT_MIN + PORT_DRAWS_MAX else 65_535
    for _ in range(PORT_DRAWS_MAX):
        port = random.SystemRandom().randint(PORT_MIN, highest)
        with closing(socket.socket()) as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
        ports.add(port)
        if len(ports) == count:
            return sorted(ports)
    raise BraidError(f"{HOST} has no {count} free ports between {PORT_MIN} and {highest}")
