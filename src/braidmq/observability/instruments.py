"""What is measured of a node: names, units, labels and meanings, for every way to export it.

Names, units and bounds of the two durations, and the labels that begin with `rpc.` and `error.`, are those of
OpenTelemetry's semantic conventions for RPC, version 1.45; all else begins with `braidmq.`. In Prometheus points become
underscores, a unit comes last, and what only grows ends in `_total`.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

SYSTEM: Final = "braidmq"
"""What `rpc.system.name` says."""

OTHER: Final = "_OTHER"
"""What a label says of whatever is beyond its limit: a name that the conventions give."""


class Kind(StrEnum):
    """What becomes of the values of an instrument."""

    COUNTER = "counter"
    """They are added up, and none is negative."""

    LEVEL = "level"
    """They are added up, and the sum goes up and down."""

    HISTOGRAM = "histogram"
    """They are sorted into buckets."""


@dataclass(frozen=True, slots=True)
class Instrument:
    """One thing that is measured.

    Attributes:
        name: as OpenTelemetry has it.
        kind: what becomes of its values.
        unit: in UCUM, the way OpenTelemetry writes units; those in braces are words.
        help: what it means, as a sentence.
        labels: what tells its series apart, as OpenTelemetry has them.
        bounds: the upper bounds of its buckets, in its unit, if it is a histogram.
    """

    name: str
    kind: Kind
    unit: str
    help: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()

    @property
    def prometheus_name(self) -> str:
        """Its name in Prometheus."""
        unit = "_seconds" if self.unit == "s" else ""
        return prometheus_label(self.name) + unit + ("_total" if self.kind is Kind.COUNTER else "")

    @property
    def prometheus_labels(self) -> tuple[str, ...]:
        """Its labels in Prometheus."""
        return tuple(prometheus_label(label) for label in self.labels)


def prometheus_label(name: str) -> str:
    """Return what Prometheus calls a label of OpenTelemetry's."""
    return name.replace(".", "_")


_CALL_S: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""The bounds that the conventions advise."""

_LAG_S: Final = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""From what a timer cannot do better to what brokers take for death."""

_OF_CALL: Final = ("rpc.system.name", "rpc.method", "rpc.status_code", "error.type")

CLIENT_DURATION: Final = Instrument(
    "rpc.client.call.duration",
    Kind.HISTOGRAM,
    "s",
    "How long calls took, over all their attempts.",
    _OF_CALL,
    _CALL_S,
)
CLIENT_WAITING: Final = Instrument(
    "braidmq.client.calls.waiting",
    Kind.LEVEL,
    "{call}",
    "Calls that wait for a place, a broker or a worker, or for their next attempt.",
    ("rpc.method",),
)
CLIENT_IN_FLIGHT: Final = Instrument(
    "braidmq.client.calls.in_flight", Kind.LEVEL, "{call}", "Calls with an attempt under way.", ("rpc.method",)
)
CLIENT_ATTEMPTS: Final = Instrument(
    "braidmq.client.attempts",
    Kind.COUNTER,
    "{attempt}",
    "Attempts of calls that have ended: over which broker, how, and if it was rejected, why.",
    ("rpc.method", "braidmq.broker", "braidmq.outcome", "braidmq.reason"),
)
CLIENT_RETRIES: Final = Instrument(
    "braidmq.client.retries",
    Kind.COUNTER,
    "{attempt}",
    "Attempts that were not the first of their call.",
    ("rpc.method",),
)
CLIENT_DUPLICATES: Final = Instrument(
    "braidmq.client.duplicates",
    Kind.COUNTER,
    "{call}",
    "Calls whose reply says that the request may have been run more than once.",
    ("rpc.method",),
)
SERVER_DURATION: Final = Instrument(
    "rpc.server.call.duration", Kind.HISTOGRAM, "s", "How long handlers ran.", _OF_CALL, _CALL_S
)
SERVER_WAITING: Final = Instrument(
    "braidmq.server.requests.waiting",
    Kind.LEVEL,
    "{request}",
    "Requests that were taken, and whose handlers have not begun: they wait for a place or a thread.",
    ("rpc.method",),
)
SERVER_IN_FLIGHT: Final = Instrument(
    "braidmq.server.requests.in_flight", Kind.LEVEL, "{request}", "Requests whose handlers run.", ("rpc.method",)
)
SERVER_REQUESTS: Final = Instrument(
    "braidmq.server.requests",
    Kind.COUNTER,
    "{request}",
    "Requests that were taken and have ended, and how.",
    ("rpc.method", "braidmq.outcome"),
)
SERVER_REFUSED: Final = Instrument(
    "braidmq.server.requests.refused",
    Kind.COUNTER,
    "{request}",
    "Requests that came and were not taken, and why.",
    ("rpc.method", "braidmq.reason"),
)
SERVER_DUPLICATES: Final = Instrument(
    "braidmq.server.duplicates",
    Kind.COUNTER,
    "{request}",
    "Further copies of requests that ran here or had run: they were answered, and not run.",
    ("braidmq.broker",),
)
SERVER_CREDIT: Final = Instrument(
    "braidmq.server.credit",
    Kind.LEVEL,
    "{request}",
    "Requests that a broker may have here at once.",
    ("rpc.method", "braidmq.broker"),
)
LOOP_LAG: Final = Instrument(
    "braidmq.event_loop.lag", Kind.HISTOGRAM, "s", "How late the event loop was with what was due.", (), _LAG_S
)
LOOP_STANDSTILLS: Final = Instrument(
    "braidmq.event_loop.standstills",
    Kind.COUNTER,
    "{standstill}",
    "Standstills of 0.1 s or more, by each service whose handlers may have caused them; by none from 0.5 s on.",
    ("rpc.method",),
)

INSTRUMENTS: Final = (
    CLIENT_DURATION, CLIENT_WAITING, CLIENT_IN_FLIGHT, CLIENT_ATTEMPTS, CLIENT_RETRIES, CLIENT_DUPLICATES,
    SERVER_DURATION, SERVER_WAITING, SERVER_IN_FLIGHT, SERVER_REQUESTS, SERVER_REFUSED, SERVER_DUPLICATES,
    SERVER_CREDIT, LOOP_LAG, LOOP_STANDSTILLS,
)  # fmt: skip
"""All there are."""

SERVICES_MAX: Final = 200
"""Services that labels tell apart: more than a program calls and provides, and few enough for any database."""

BROKERS_MAX: Final = 200
"""Brokers that labels tell apart: more than a node knows at a time."""

STATUSES_MAX: Final = 50
"""Codes of errors that labels tell apart: they are the words of handlers, who may put anything there."""

REASONS_MAX: Final = 20
"""Reasons of rejections that labels tell apart: all that there are, and some of newer versions."""


class Bounded:
    """The values of a label: the first that come are told apart, and the others are OTHER.

    Args:
        most: how many are told apart.
    """

    __slots__ = ("_known", "_most")

    def __init__(self, most: int) -> None:
        self._known: set[str] = set()
        self._most = most

    def __call__(self, value: str) -> str:
        """Return what a label says for a value."""
        known = self._known
        if value in known:
            return value
        if len(known) >= self._most:
            return OTHER
        known.add(value)
        return value

    def __contains__(self, value: str) -> bool:
        return value in self._known
