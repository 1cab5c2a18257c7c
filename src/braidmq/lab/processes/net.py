"""The files of a net on this machine: its authority, and a join file for each member. Nothing runs yet."""

from collections.abc import Iterable
from pathlib import Path

from braidmq.lab.processes.ports import HOST, free_ports
from braidmq.trust.authority import Authority


class NetFiles:
    """A new net in a directory.

    Attributes:
        directory: where it is.
        authority: registers its members.
        endpoints: where its brokers listen, by name.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = Path(directory)
        self.authority = Authority.create(self.directory)
        self.endpoints: dict[str, str] = {}

    def join(self, name: str) -> Path:
        """Return the path of a member's join file."""
        return self.directory / f"{name}.braid"

    def add_broker(self, name: str, port: int | None = None, host: str = HOST) -> str:
        """Register a broker at a free port, or at `port`, and return its endpoint."""
        if port is None:
            taken = set(self.endpoints.values())  # by brokers that may not run, so that their ports seem free
            port = next(each for each in free_ports(len(taken) + 1) if f"tcp://{host}:{each}" not in taken)
        self.endpoints[name] = f"tcp://{host}:{port}"
        self.authority.add_broker(name, [self.endpoints[name]])
        return self.endpoints[name]

    def add_node(self, name: str, calls: Iterable[str] = (), serves: Iterable[str] = (), observe: bool = False) -> Path:
        """Register a node and return the path of its join file."""
        return self.authority.add_node(name, list(calls), list(serves), observe)

    def add_ends(self, service: str, workers: Iterable[str], clients: Iterable[str]) -> None:
        """Register workers that serve a service, and clients that call it."""
        for name in workers:
            self.add_node(name, serves=[service])
        for name in clients:
            self.add_node(name, calls=[service])
