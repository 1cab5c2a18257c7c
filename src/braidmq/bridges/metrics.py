"""The metrics of a bridge's process for Prometheus: the extra `prometheus`."""

import contextlib
import socket
import threading
from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from braidmq.checks import host_and_port, is_address, port_of, split_host
from braidmq.errors import ConfigError
from braidmq.host.clock import monotonic
from braidmq.observability.prometheus import PrometheusObserver
from braidmq.observer import NodeObserver

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from braidmq.bridges.telling import Figures

HOST: Final = "127.0.0.1"
"""Where metrics are shown if only a port is named: they tell who calls what, and nobody is asked who he is."""

READERS_MAX: Final = 32
"""Connections at once, each with a thread: a net has some Prometheus. A new one takes the place of the oldest."""

READ_S_MAX: Final = 10.0
"""How long one may take to ask and to read: Prometheus itself gives up after so long."""

_LABELS: Final = ("bridge", "kind")


class Metrics:
    """What bridges and their nodes have counted, in a registry of their own.

    Raises:
        ConfigError: prometheus-client is not installed.
    """

    def __init__(self) -> None:
        try:
            import prometheus_client  # noqa: PLC0415 - an extra
            from prometheus_client import core  # noqa: PLC0415
        except ModuleNotFoundError as error:
            if error.name != "prometheus_client":
                raise
            raise ConfigError("--metrics needs prometheus-client: pip install 'braidmq[prometheus]'") from None
        self._client, self._core = prometheus_client, core
        self._registry = prometheus_client.CollectorRegistry()
        self._registry.register(self)
        self._figures: dict[tuple[str, str], Figures] = {}
        self._server: Any = None

    def observer(self) -> NodeObserver:
        """Return what measures one node."""
        return PrometheusObserver(self._registry)

    def note(self, bridge: str, kind: str, figures: "Figures") -> None:
        """Take how a bridge is now."""
        self._figures[bridge, kind] = figures

    def collect(self) -> Iterator[Any]:
        """Yield the families of bridges: prometheus-client asks for them, in a thread of its own."""
        core = self._core
        peers = core.GaugeMetricFamily("braidmq_bridge_peers", "Foreign connections.", labels=_LABELS)
        services = core.GaugeMetricFamily(
            "braidmq_bridge_services", "Services that foreign programs provide.", labels=_LABELS
        )
        events = core.CounterMetricFamily(
            "braidmq_bridge_events", "What has happened at a bridge, by its own names.", labels=(*_LABELS, "event")
        )
        for labels, figures in tuple(self._figures.items()):
            peers.add_metric(labels, figures.peers)
            services.add_metric(labels, figures.services)
            for name, count in figures.counters.items():
                events.add_metric((*labels, name), count)
        yield from (peers, services, events)

    def serve(self, place: str) -> str:
        """Show them by HTTP at `/metrics` of HOST:PORT, or of a port of this machine; return where.

        Raises:
            ConfigError: that is no place, or it is taken.
        """
        port = port_of(place.removeprefix(":"))
        address = host_and_port(place) if port is None else (HOST, port)
        if address is None:
            raise ConfigError(f"{place!r} is no place for metrics: write a port, or HOST:PORT")
        host, port = address
        try:
            self._server = _serve(host, port, self._client.make_wsgi_app(self._registry))
        except (OSError, UnicodeError) as error:  # UnicodeError: a label of the name is empty or too long
            why = error.strerror if isinstance(error, OSError) else None
            raise ConfigError(f"cannot show metrics at {host}:{port}: {why or error}") from None
        return f"http://{f'[{host}]' if ':' in host else host}:{self._server.server_port}/metrics"

    def close(self) -> None:
        """Show them no more."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()


class _Server(ThreadingMixIn, WSGIServer):
    """Serves each connection in a thread, and no more and no longer than the limits say, whoever comes."""

    daemon_threads = True
    request_queue_size = 2 * READERS_MAX

    def __init__(self, *arguments: Any) -> None:
        self._lock = threading.Lock()
        self._since: dict[Any, float] = {}
        super().__init__(*arguments)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection; of too many, the oldest is cut."""
        with self._lock:
            if len(self._since) >= READERS_MAX:
                self._cut(next(iter(self._since)))
            self._since[request] = monotonic()
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """End a connection."""
        with self._lock:
            self._since.pop(request, None)
            super().shutdown_request(request)

    def service_actions(self) -> None:
        """Cut those that take too long."""
        with self._lock:
            before = monotonic() - READ_S_MAX
            for request in [each for each, since in self._since.items() if since < before]:
                self._cut(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a connection that breaks: strangers fill no log."""

    def _cut(self, request: Any) -> None:
        """Let the thread of a connection find its end; that closes it."""
        del self._since[request]
        with contextlib.suppress(OSError):  # its caller has hung up
            request.shutdown(socket.SHUT_RDWR)


class _Handler(WSGIRequestHandler):
    """Answers in silence."""

    def log_message(self, *_arguments: Any) -> None:
        """Log nothing."""


def _guarded(app: "WSGIApplication", host: str) -> "WSGIApplication":
    """Return an application for those who know whom they ask: an address, `localhost`, or `host`.

    A page of somebody else whose name was made to lead here (DNS rebinding) has that name in its Host.
    """

    def guarded(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        name, _ = split_host(environ.get("HTTP_HOST", ""))
        if name in ("localhost", host.lower().rstrip(".")) or is_address(name):
            return app(environ, start_response)
        start_response("421 Misdirected Request", [("Content-Type", "text/plain")])
        return [b"These metrics are shown to this machine alone: ask for 127.0.0.1 or localhost.\n"]

    return guarded


def _serve(host: str, port: int, app: Any) -> _Server:
    """Begin to serve; raises OSError or UnicodeError if the address cannot be had."""
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
    kind = type("_Server", (_Server,), {"address_family": family})
    server: _Server = make_server(host, port, app, kind, _Handler)
    if ip_address(server.socket.getsockname()[0]).is_loopback:  # others may have names that nobody has told
        server.set_app(_guarded(app, host))
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server
