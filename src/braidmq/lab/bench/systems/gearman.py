"""Gearman: one job server of the distribution's package, without TLS."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from shutil import which

from braidmq.lab.bench.cells import Shape
from braidmq.lab.bench.systems.system import Net, not_importable, started
from braidmq.lab.processes.ports import HOST, free_ports


class Gearman:
    """See System."""

    name = "gearman"
    title = "Gearman, plain"
    ends = "braidmq.lab.bench.ends.gearman"
    single = True

    def missing(self) -> str:
        """See System."""
        return not_importable("python3_gearman") or ("" if _server() else "apt install gearman-job-server")

    @asynccontextmanager
    async def net(self, directory: Path, shape: Shape) -> AsyncIterator[Net]:
        """See System."""
        (port,) = free_ports(1)
        command = [_server(), "--listen", HOST, "--port", str(port), "--log-file", str(directory / "gearmand")]
        async with started(directory, {"gearmand": command}, [port]) as servers:
            address = f"{HOST}:{port}"
            yield Net(servers, [address] * shape.clients, [address] * shape.workers)


def _server() -> str:
    return which("gearmand") or which("gearmand", path="/usr/sbin") or ""
