"""A node's metrics in the application's own Prometheus registry: the extra `prometheus`."""

from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from braidmq.errors import ConfigError
from braidmq.observability.instruments import INSTRUMENTS, Instrument, Kind
from braidmq.observability.metrics import MetricsObserver

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

_METERS: Final["WeakKeyDictionary[CollectorRegistry, _PrometheusMeter]"] = WeakKeyDictionary()
"""Those of each registry, which takes a name only once."""


class PrometheusObserver(MetricsObserver):
    """Measures a node; what it measures is in a registry of prometheus-client, for whatever the program exports it by.

    Give each node one of its own; those with one registry add up.

    Args:
        registry: None for the one that prometheus-client exports by default.

    Raises:
        ConfigError: prometheus-client is not installed.
        ValueError: the registry has something else of the same name.
    """

    def __init__(self, registry: "CollectorRegistry | None" = None) -> None:
        try:
            import prometheus_client  # noqa: PLC0415 - an extra
        except ModuleNotFoundError as error:
            if error.name != "prometheus_client":
                raise
            raise ConfigError(
                "metrics for Prometheus need prometheus-client: pip install 'braidmq[prometheus]'"
            ) from None
        into = prometheus_client.REGISTRY if registry is None else registry
        meter = _METERS.get(into)
        if meter is None:
            kinds: dict[Kind, Any] = {
                Kind.COUNTER: prometheus_client.Counter,
                Kind.LEVEL: prometheus_client.Gauge,
                Kind.HISTOGRAM: prometheus_client.Histogram,
            }
            meter = _METERS[into] = _PrometheusMeter(into, kinds)
        super().__init__(meter)


class _PrometheusMeter:
    """The instruments in one registry, for all observers of it."""

    def __init__(self, registry: "CollectorRegistry", kinds: dict[Kind, Any]) -> None:
        self._families: dict[str, Any] = {}
        for each in INSTRUMENTS:
            options = {"buckets": each.bounds} if each.kind is Kind.HISTOGRAM else {}
            self._families[each.name] = kinds[each.kind](
                each.prometheus_name, each.help, each.prometheus_labels, registry=registry, **options
            )

    def add(self, instrument: Instrument, amount: int, labels: tuple[str, ...]) -> None:
        self._families[instrument.name].labels(*labels).inc(amount)

    def record(self, instrument: Instrument, value: float, labels: tuple[str, ...]) -> None:
        family = self._families[instrument.name]
        (family.labels(*labels) if labels else family).observe(value)
