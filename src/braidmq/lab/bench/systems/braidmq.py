"""BraidMQ itself: brokers with CURVE, everything on, nothing set for speed."""

import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

from braidmq.carrier.nearby import COMMON
from braidmq.lab.bench.cells import Shape
from braidmq.lab.bench.systems.system import Net, started
from braidmq.lab.processes.child import python
from braidmq.lab.processes.net import NetFiles

SERVICE: Final = "echo"

_RUNTIME: Final = "XDG_RUNTIME_DIR"


class BraidMQ:
    """See System.

    Args:
        local: whether everybody meets the brokers at their Unix sockets, in place of TCP.
    """

    ends = "braidmq.lab.bench.ends.braidmq"
    single = False

    def __init__(self, *, local: bool = False) -> None:
        self.name = "braidmq-local" if local else "braidmq"
        self.title = "BraidMQ, Unix socket" if local else "BraidMQ"
        self._options = ("local",) if local else ()

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
        command = python("-m", "braidmq.lab.bench.broker")
        commands = {name: [*command, str(files.join(name)), *self._options] for name in brokers}
        with _sockets_that_go():
            async with started(directory, commands, ports) as servers:
                yield Net(
                    servers, [str(files.join(name)) for name in clients], [str(files.join(name)) for name in workers]
                )


@contextmanager
def _sockets_that_go() -> Iterator[None]:
    """Let the Unix sockets of processes that are started be in a directory that is removed with all that is there."""
    before = os.environ.get(_RUNTIME)
    with tempfile.TemporaryDirectory(prefix="braidmq-", dir=COMMON) as directory:
        os.environ[_RUNTIME] = directory
        try:
            yield
        finally:
            if before is None:
                del os.environ[_RUNTIME]
            else:
                os.environ[_RUNTIME] = before
