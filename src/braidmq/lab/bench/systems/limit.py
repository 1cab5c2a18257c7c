"""The limit: libzmq's own proxy, in C, between ROUTER and DEALER with CURVE, and raw ends that do nothing else.

It keeps nothing, knows nobody, and cannot bundle: what no Python broker could beat if it forwarded frame by frame.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from braidmq.lab.bench.cells import Shape
from braidmq.lab.bench.systems.system import Net, not_importable, started
from braidmq.lab.processes.child import python
from braidmq.lab.processes.ports import HOST, free_ports


class Address(msgspec.Struct, frozen=True):
    """Where the proxy listens for clients and for workers, and its key."""

    front: str
    back: str
    key: str


class Limit:
    """See System."""

    name = "limit"
    title = "C proxy, CURVE"
    ends = "braidmq.lab.bench.ends.limit"
    single = True

    def missing(self) -> str:
        """See System."""
        return not_importable("zmq")

    @asynccontextmanager
    async def net(self, directory: Path, shape: Shape) -> AsyncIterator[Net]:
        """See System."""
        import zmq

        front, back = free_ports(2)
        public, secret = zmq.curve_keypair()
        address = Address(f"tcp://{HOST}:{front}", f"tcp://{HOST}:{back}", public.decode())
        encoded = msgspec.json.encode(address).decode()
        command = python("-m", self.ends, encoded, secret.decode())
        async with started(directory, {"proxy": command}, [front, back]) as servers:
            yield Net(servers, [encoded] * shape.clients, [encoded] * shape.workers)
