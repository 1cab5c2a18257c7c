"""A node's metrics for OpenTelemetry: the extra `otel`."""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from braidmq import __version__
from braidmq.errors import ConfigError
from braidmq.observability.instruments import INSTRUMENTS, Instrument, Kind
from braidmq.observability.metrics import MetricsObserver

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider


class OpenTelemetryObserver(MetricsObserver):
    """Measures a node by the API of OpenTelemetry; what becomes of it is the business of the program's SDK.

    Give each node one of its own; those with one provider add up.

    Args:
        provider: None for the one that the program has set.

    Raises:
        ConfigError: opentelemetry-api is not installed.
    """

    def __init__(self, provider: "MeterProvider | None" = None) -> None:
        super().__init__(_OpenTelemetryMeter(load("metrics"), provider))


def load(name: str) -> ModuleType:
    """Return a module of OpenTelemetry's API.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        return import_module(f"opentelemetry.{name}")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "opentelemetry":
            raise
        raise ConfigError("OpenTelemetry needs opentelemetry-api: pip install 'braidmq[otel]'") from None


class _OpenTelemetryMeter:
    def __init__(self, metrics: ModuleType, provider: "MeterProvider | None") -> None:
        meter = metrics.get_meter("braidmq", __version__, provider)
        self._instruments: dict[str, Any] = {}
        for each in INSTRUMENTS:
            if each.kind is Kind.HISTOGRAM:
                self._instruments[each.name] = meter.create_histogram(
                    each.name, each.unit, each.help, explicit_bucket_boundaries_advisory=each.bounds
                )
            else:
                create = meter.create_counter if each.kind is Kind.COUNTER else meter.create_up_down_counter
                self._instruments[each.name] = create(each.name, each.unit, each.help)

    def add(self, instrument: Instrument, amount: int, labels: tuple[str, ...]) -> None:
        self._instruments[instrument.name].add(amount, _attributes(instrument, labels))

    def record(self, instrument: Instrument, value: float, labels: tuple[str, ...]) -> None:
        self._instruments[instrument.name].record(value, _attributes(instrument, labels))


def _attributes(instrument: Instrument, labels: tuple[str, ...]) -> dict[str, str]:
    return {label: value for label, value in zip(instrument.labels, labels, strict=True) if value}
