"""BraidMQ itself: brokers with CURVE, everything on, nothing set for speed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from braidmq.lab.bench.cells import Shape
from braidmq.lab.bench.systems.system import Net, started
from braidmq.lab.processes.child import python
from braidmq.lab.processes.net import NetFiles

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
        files = NetFiles(directory / "net")
        brokers = [f"b{number}" for number in range(shape.brokers)]
        workers = [f"w{number}" for number in range(shape.workers)]
        clients = [f"c{number}" for number in range(shape.clients)]
        ports = [int(files.add_broker(name).rpartition(":")[2]) for name in brokers]
        files.add_ends(SERVICE, workers, clients)
        commands = {name: python("-m", "braidmq.lab.bench.broker", str(files.join(name))) for name in brokers}
        async with started(directory, commands, ports) as servers:
            yield Net(servers, [str(files.join(name)) for name in clients], [str(files.join(name)) for name in workers])
