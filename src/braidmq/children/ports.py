"""Ports of the loopback interface for brokers that are started, ended and started again."""

import random
import socket
from contextlib import closing
from pathlib import Path
from typing import Final

from braidmq.errors import BraidError

HOST: Final = "127.0.0.1"

PORT_MIN: Final = 10_000

PORT_DRAWS_MAX: Final = 1_000


def free_ports(count: int) -> list[int]:
    """Return ports that are free and stay so while a broker is down.

    They lie below those that the system hands out for outgoing connections: out of its range, another program's
    connection could hold a killed broker's port, and a node that connects to it could even meet itself.
    """
    ports: set[int] = set()
    highest = _ephemeral_low() - 1
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


def _ephemeral_low() -> int:
    try:
        low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        low = 32_768
    return low if low > PORT_MIN + PORT_DRAWS_MAX else 65_536
