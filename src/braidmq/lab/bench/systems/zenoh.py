"""Zenoh: one router, queryables and queriers, without TLS."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from braidmq.lab.bench.cells import Shape
from braidmq.lab.bench.systems.system import Net, not_importable, started
from braidmq.lab.processes.child import python
from braidmq.lab.processes.ports import HOST, free_ports


class Zenoh:
    """See System."""

    name = "zenoh"
    title = "Zenoh, plain"
    ends = "braidmq.lab.bench.ends.zenoh"
    single = True

    def missing(self) -> str:
        """See System."""
        return not_importable("zenoh")

    @asynccontextmanager
    async def net(self, directory: Path, shape: Shape) -> AsyncIterator[Net]:
        """See System."""
        (port,) = free_ports(1)
        endpoint = f"tcp/{HOST}:{port}"
        async with started(directory, {"router": python("-m", self.ends, endpoint)}, [port]) as servers:
            yield Net(servers, [endpoint] * shape.clients, [endpoint] * shape.workers)
