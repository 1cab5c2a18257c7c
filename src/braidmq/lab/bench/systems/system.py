"""What the benchmark asks of a system: whether it is here, and a net of it to put under load."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from time import monotonic
from typing import Final, Protocol

from braidmq.errors import BraidError
from braidmq.lab.bench.cells import Shape
from braidmq.lab.processes.child import Child
from braidmq.lab.processes.ports import HOST

READY_S: Final = 60.0
"""How long a server may take to listen; Erlang takes its time on a busy machine."""

_POLL_S: Final = 0.02


class BenchFailed(BraidError):  # noqa: N818 - named like the other errors of BraidMQ
    """A benchmark could not be run; the message says what went wrong."""


class Net:
    """The servers of a system, and how its clients and workers get to them.

    Attributes:
        servers: their processes.
        clients: an address for each client, see Member.
        workers: the same for each worker.
    """

    def __init__(self, servers: list[Child], clients: list[str], workers: list[str]) -> None:
        self.servers = servers
        self.clients = clients
        self.workers = workers


class System(Protocol):
    """One system.

    Attributes:
        name: what it is called on the command line.
        title: what it is called in reports.
        ends: the module of its clients and workers.
        single: it has no more than one server, so that nets with several brokers are left out.
    """

    @property
    def name(self) -> str: ...  # noqa: D102 - see Attributes

    @property
    def title(self) -> str: ...  # noqa: D102

    @property
    def ends(self) -> str: ...  # noqa: D102

    @property
    def single(self) -> bool: ...  # noqa: D102

    def missing(self) -> str:
        """Return what is not installed here, as one line that says how to get it; empty if nothing is missing."""

    def net(self, directory: Path, shape: Shape) -> AbstractAsyncContextManager[Net]:
        """Start its servers with all that they keep in `directory`; they listen when it has been entered."""


@asynccontextmanager
async def started(
    directory: Path, commands: Mapping[str, list[str]], ports: Iterable[int], *, env: Mapping[str, str] | None = None
) -> AsyncIterator[list[Child]]:
    """Start servers, wait until all `ports` are listened at, and end them afterwards."""
    servers: list[Child] = []
    try:
        for name, command in commands.items():
            servers.append(Child.leashed(name, command, directory / f"{name}.log", env=env))
        for port in ports:
            await _until_listening(port, servers)
        yield servers
    finally:
        for server in servers:
            await server.kill()


def not_importable(*modules: str) -> str:
    """Return what to install if a module is not there."""
    absent = [module for module in modules if find_spec(module) is None]
    return f"{', '.join(absent)} cannot be imported: pip install 'braidmq[bench]'" if absent else ""


async def _until_listening(port: int, servers: list[Child]) -> None:
    give_up_at = monotonic() + READY_S
    while True:
        with socket.socket() as probe:
            if probe.connect_ex((HOST, port)) == 0:
                return
        for server in servers:
            if not server.running:
                raise BenchFailed(server.why_it_ended())
        if monotonic() > give_up_at:
            raise BenchFailed(f"nobody listens at port {port} after {READY_S:g} s")
        await asyncio.sleep(_POLL_S)
