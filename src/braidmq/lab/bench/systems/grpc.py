"""gRPC: no broker; each client is connected to one worker, without TLS or with it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from braidmq.lab.bench import certificates
from braidmq.lab.bench.cells import Shape
from braidmq.lab.bench.systems.system import Net, not_importable
from braidmq.lab.processes.ports import HOST, free_ports

SERVER = "server"
"""The certificate that all workers share."""


class Address(msgspec.Struct, frozen=True):
    """Where a worker listens. `tls` is a directory made by `certificates`, or empty."""

    target: str
    tls: str = ""


class Grpc:
    """See System."""

    ends = "braidmq.lab.bench.ends.grpc"
    single = True

    def __init__(self, *, tls: bool) -> None:
        self._tls = tls
        self.name = "grpc-tls" if tls else "grpc"
        self.title = "gRPC, TLS" if tls else "gRPC, plain"

    def missing(self) -> str:
        """See System."""
        return not_importable("grpc") or (certificates.missing() if self._tls else "")

    @asynccontextmanager
    async def net(self, directory: Path, shape: Shape) -> AsyncIterator[Net]:
        """See System."""
        if self._tls:
            certificates.make(directory, [SERVER])
        workers = [
            msgspec.json.encode(Address(f"{HOST}:{port}", str(directory) if self._tls else "")).decode()
            for port in free_ports(shape.workers)
        ]
        yield Net([], [workers[number % shape.workers] for number in range(shape.clients)], workers)
