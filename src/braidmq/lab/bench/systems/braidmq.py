"""BraidMQ itself: brokers with CURVE, everything on, nothing set for speed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from braidmq.lab.bench.cells import Shape
from braidmq.lab.bench.systems.system import Net, started
from braidmq.lab.processes.child import python
from braidmq.lab.processes.ports import HOST, free_ports
from braidmq.trust.authority import Authority

SERVICE: Final = "echo"


class BraidMQ:
    """See System."""

    name = "braidmq"
    title = "BraidMQ"
    ends = "braidmq.lab.bench.ends.braidmq"
    single = False

    def missing(self) -> str:
        """See System."""
        return ""

    @asynccontextmanager
    async def net(self, directory: Path, shape: Shape) -> AsyncIterator[Net]:
        """See System."""
        authority = Authority.create(directory / "net")
        ports = free_ports(shape.brokers)
        brokers = [authority.add_broker(f"b{port}", [f"tcp://{HOST}:{port}"]) for port in ports]
        workers = [authority.add_node(f"w{number}", serves=[SERVICE]) for number in range(shape.workers)]
        clients = [authority.add_node(f"c{number}", calls=[SERVICE]) for number in range(shape.clients)]
        commands = {join.stem: python("-m", "braidmq.lab.bench.broker", str(join)) for join in brokers}
        async with started(directory, commands, ports) as servers:
            yield Net(servers, list(map(str, clients)), list(map(str, workers)))
