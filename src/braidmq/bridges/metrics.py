"""The metrics of a bridge's process for Prometheus: the extra `prometheus`."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from braidmq.errors import ConfigError
from braidmq.observability.prometheus import PrometheusObserver
from braidmq.observer import NodeObserver

if TYPE_CHECKING:
    from braidmq.bridges.telling import Figures

HOST: Final = "127.0.0.1"
"""Where metrics are shown if only a port is named: they tell who calls what, and nobody is asked who he is."""

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
        host, _, port = place.rpartition(":")
        host = host.strip("[]") or HOST
        if not (port.isascii() and port.isdigit()) or not int(port) <= 65_535:
            raise ConfigError(f"{place!r} is no place for metrics: write a port, or HOST:PORT")
        try:
            self._server, _ = self._client.start_http_server(int(port), host, self._registry)
        except OSError as error:
            raise ConfigError(f"cannot show metrics at {host}:{port}: {error.strerror or error}") from None
        return f"http://{f'[{host}]' if ':' in host else host}:{self._server.server_port}/metrics"

    def close(self) -> None:
        """Show them no more."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
