"""What Prometheus reads of a monitor: the newest look as metrics, at most as many as the bounds below allow."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, Literal, NamedTuple

from prometheus_client import CollectorRegistry, Counter
from prometheus_client import Histogram as OwnHistogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from braidmq.bounds import COMMAND_BROKERS_MAX
from braidmq.core.broker.refusals import Refused
from braidmq.core.histogram import Histogram
from braidmq.monitor import registries
from braidmq.monitor.board import Board
from braidmq.monitor.finding import DIAGNOSES, Kind
from braidmq.monitor.looking import Look
from braidmq.monitor.net import NodeSum, ServiceSum, View
from braidmq.monitor.snapshot import Sums
from braidmq.monitor.web.feed import Feed
from braidmq.printable import printable
from braidmq.wire.control import BridgeStatus, Report

BROKERS_MAX: Final = COMMAND_BROKERS_MAX
"""Brokers that have metrics: as many as a monitor is connected to."""

SERVICES_MAX: Final = 1_000
"""Services that have metrics, the first ones by name: each has some series, and somebody may register services without
end. `braidmq_net_services` counts them all."""

PARTS_MAX: Final = 1_000
"""Services at brokers that have metrics each, the first ones by name: 100 of each of 10 brokers. One has 16 series."""

TIME_BOUNDS_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Buckets of how long requests take, and of how late loops are."""


BRIDGES_MAX: Final = 100
"""Bridges that have metrics, the first ones by name: any node may say that it is one. A net has some."""

BRIDGE_KINDS: Final = frozenset({"http", "majordomo", "malamute", "zgossip"})
"""Kinds of bridges that this version knows. What another one calls itself is `other`: any node may say that it is a
bridge, and each time of another kind, which would be new series without end."""

LOOK_BOUNDS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Buckets of how long looks take: a broker answers within milliseconds, and one that hangs is waited for a second."""


class Figure(NamedTuple):
    """A metric, without the suffix of its kind.

    Attributes:
        name: as Prometheus has it.
        help: what it tells, in a sentence.
        labels: names of its labels.
        kind: `gauge`, `counter` (which begins anew when its broker is restarted), or `histogram`.
        unit: if it has one.
    """

    name: str
    help: str
    labels: tuple[str, ...] = ()
    kind: Literal["gauge", "counter", "histogram"] = "gauge"
    unit: str = ""


_REFUSALS: Final = frozenset(Refused)
"""Kinds of refusals that this version knows: a broker that makes up others makes no series."""

_COUNTERS: Final = {
    "requests": "Requests that came.",
    "replies": "Replies of workers.",
    "rejected": "Requests that were not run, for any reason.",
    "busy": "Requests that were not run for want of room or time.",
    "denied": "Requests, services and reports that were not allowed.",
    "expired": "Requests whose deadline passed at the broker, waiting or dispatched.",
    "lost": "Requests that were reported lost with their worker.",
    "cancelled": "Requests that their callers gave up.",
    "returned": "Requests that workers gave back.",
    "postponed": "Grants of workers that wait for room.",
    "unmatched": "Answers to no request: too late, or forged.",
    "malformed": "Messages that are not BRAID/1, or that only a broker may send.",
    "forged": "Frames with another key than their session's.",
    "working_dropped": "Signs of work that came far too often.",
    "sessions": "Sessions that have begun.",
    "sessions_dead": "Sessions that were given up for silence.",
    "sessions_refused": "Sessions that were refused.",
    "barred": "Keys that were cut and kept out for some seconds.",
    "faults": "Errors of the broker's own.",
}
"""What a broker counts, by the name of its counter. Of others, which are new or of details, there are no metrics."""

BROKER_COUNTERS: Final = {
    name: Figure(f"braidmq_broker_{name}", told, ("broker",), "counter") for name, told in _COUNTERS.items()
}

BROKER_UP: Final = Figure("braidmq_broker_up", "Whether the broker tells its state to the monitor.", ("broker",))
BROKER_INFO: Final = Figure(
    "braidmq_broker_info",
    "What runs there, and whether it is up or draining: always 1.",
    ("broker", "software", "state"),
)

BROKER_LEVELS: Final[dict[Figure, Callable[[View, Report], float]]] = {
    Figure("braidmq_broker_uptime_seconds", "Time since the broker's start.", ("broker",), unit="seconds"): (
        lambda _, report: report.uptime_s
    ),
    Figure("braidmq_broker_nodes", "Nodes that are connected, once for each of their connections.", ("broker",)): (
        lambda _, report: report.nodes_total
    ),
    Figure("braidmq_broker_services", "Services that the broker knows.", ("broker",)): lambda _, report: (
        report.services_total
    ),
    Figure("braidmq_broker_queued_requests", "Requests that wait for a worker at the broker.", ("broker",)): (
        lambda view, report: _own(view, report)[0]
    ),
    Figure("braidmq_broker_outstanding_requests", "Requests that are with workers of the broker.", ("broker",)): (
        lambda view, report: _own(view, report)[1]
    ),
    Figure(
        "braidmq_broker_registry_version", "The version of the registry that is in force at the broker.", ("broker",)
    ): (lambda _, report: 0 if report.registry is None else report.registry.version),
    Figure(
        "braidmq_broker_gossip_health",
        "What the broker thinks of its own health: 0 is well, 7 is the worst.",
        ("broker",),
    ): (lambda _, report: report.counters.get("gossip_health", 0)),
}

REFUSED: Final = Figure(
    "braidmq_broker_refused", "What was refused, by kind: see docs/operations.md.", ("broker", "kind"), "counter"
)

LAG: Final = Figure(
    "braidmq_broker_lag_seconds", "By how much the broker's loop was late.", ("broker",), "histogram", "seconds"
)
STALLS: Final = Figure(
    "braidmq_broker_stalls", "How often the broker's loop was late for more than 100 ms.", ("broker",), "counter"
)

SERVICE_LEVELS: Final[dict[Figure, Callable[[ServiceSum], float]]] = {
    Figure("braidmq_service_workers", "Nodes that serve the service, each counted once.", ("service",)): lambda each: (
        each.workers
    ),
    Figure("braidmq_service_credit_requests", "Requests that the workers of the service take at once.", ("service",)): (
        lambda each: each.credit
    ),
    Figure("braidmq_service_outstanding_requests", "Requests that are with workers of the service.", ("service",)): (
        lambda each: each.outstanding
    ),
    Figure("braidmq_service_queued_requests", "Requests that wait for a worker of the service.", ("service",)): (
        lambda each: each.queued
    ),
}

SERVICE_REPLIES: Final = Figure(
    "braidmq_service_replies",
    "Requests that were answered, with a result or an error, since the broker has known the service.",
    ("service", "broker"),
    "counter",
)
SERVICE_REQUESTS: Final = Figure(
    "braidmq_service_requests",
    "Requests that came, since the broker has known the service.",
    ("service", "broker"),
    "counter",
)
SERVICE_REJECTED: Final = Figure(
    "braidmq_service_rejected",
    "Requests that the broker has refused itself, since it has known the service.",
    ("service", "broker"),
    "counter",
)
SERVICE_TIME: Final = Figure(
    "braidmq_service_duration_seconds",
    "Time from a request's coming to the broker to its reply's leaving.",
    ("service", "broker"),
    "histogram",
    "seconds",
)


_OF_BRIDGE: Final = ("bridge", "kind")

BRIDGE_LEVELS: Final[dict[Figure, Callable[[BridgeStatus], int]]] = {
    Figure("braidmq_net_bridge_peers", "Foreign connections of the bridge.", _OF_BRIDGE): lambda told: told.peers,
    Figure("braidmq_net_bridge_services", "Services that foreign programs provide through the bridge.", _OF_BRIDGE): (
        lambda told: told.services
    ),
    Figure("braidmq_net_bridge_requests", "What foreign programs have asked the bridge for.", _OF_BRIDGE, "counter"): (
        lambda told: told.requests
    ),
    Figure("braidmq_net_bridge_errors", "Requests of foreign programs that have failed.", _OF_BRIDGE, "counter"): (
        lambda told: told.errors
    ),
    Figure("braidmq_net_bridge_denied", "What foreign programs were not allowed.", _OF_BRIDGE, "counter"): (
        lambda told: told.denied
    ),
    Figure("braidmq_net_bridge_dropped", "What was dropped of foreign programs, or for them.", _OF_BRIDGE, "counter"): (
        lambda told: told.dropped
    ),
}

FINDINGS: Final = Figure(
    "braidmq_net_findings", "What is found in the net now, by kind, and whether it is wrong.", ("kind", "wrong")
)

NET_LEVELS: Final[dict[Figure, Callable[[Sums], float]]] = {
    Figure("braidmq_net_well", "Whether nothing is wrong in the net, and some broker tells its state."): (
        lambda sums: any(view.told for view in sums.look.views) and not any(each.wrong for each in sums.look.findings)
    ),
    Figure("braidmq_net_brokers", "Brokers that are known."): lambda sums: len(sums.look.views),
    Figure("braidmq_net_nodes", "Nodes that are connected to any broker."): lambda sums: len(sums.nodes),
    Figure("braidmq_net_services", "Services that any broker knows."): lambda sums: len(sums.services),
    Figure("braidmq_net_certificates_ending", "Certificates that end within 30 days, or have ended."): (
        lambda sums: registries.ends_total(sums.look.views)
    ),
}

STREAMS: Final = Figure("braidmq_monitor_streams", "Pages that follow the net.")
LOOKS: Final = Figure("braidmq_monitor_looks", "Looks at the net that the monitor has taken.", kind="counter")
LOOK_TIME: Final = Figure(
    "braidmq_monitor_look_duration_seconds",
    "How long it took to ask all brokers for their state.",
    kind="histogram",
    unit="seconds",
)

FIGURES: Final = (
    *NET_LEVELS, FINDINGS, BROKER_UP, BROKER_INFO, *BROKER_LEVELS, *BROKER_COUNTERS.values(), REFUSED, LAG, STALLS,
    *SERVICE_LEVELS, SERVICE_REQUESTS, SERVICE_REJECTED, SERVICE_REPLIES, SERVICE_TIME, *BRIDGE_LEVELS,
    LOOKS, LOOK_TIME, STREAMS,
)  # fmt: skip
"""All metrics. docs/monitor.md shows them."""


class Figures(Collector):
    """The metrics of a monitor.

    Args:
        board: what it knows.
        feed: whom it tells.
    """

    def __init__(self, board: Board, feed: Feed) -> None:
        self._board = board
        self._feed = feed
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        self._looks = Counter(LOOKS.name, LOOKS.help, registry=self._registry)
        self._took = OwnHistogram(LOOK_TIME.name, LOOK_TIME.help, buckets=LOOK_BOUNDS_S, registry=self._registry)

    def look(self, look: Look) -> None:
        """Count a look."""
        self._looks.inc()
        self._took.observe(look.took_s)

    def read(self, accept: str) -> tuple[bytes, str]:
        """Return the metrics, and the type of the content: OpenMetrics for who accepts it."""
        encode, kind = choose_encoder(accept)
        return encode(self._registry), kind

    def collect(self) -> Iterator[Metric]:
        """See prometheus-client."""
        yield _level(STREAMS, self._feed.readers)
        sums = self._board.sums
        if sums is not None:
            for figure, of_net in NET_LEVELS.items():
                yield _level(figure, of_net(sums))
            yield _findings(sums)
            yield from _of_brokers(sums.look.views[:BROKERS_MAX])
            yield from _of_services(sums.services[:SERVICES_MAX])
            yield from _of_bridges(sums.nodes)


def _gauge(figure: Figure) -> GaugeMetricFamily:
    return GaugeMetricFamily(figure.name, figure.help, labels=figure.labels, unit=figure.unit)


def _counter(figure: Figure) -> CounterMetricFamily:
    return CounterMetricFamily(figure.name, figure.help, labels=figure.labels)


def _histogram(figure: Figure) -> HistogramMetricFamily:
    return HistogramMetricFamily(figure.name, figure.help, labels=figure.labels, unit=figure.unit)


def _level(figure: Figure, value: float) -> Metric:
    return GaugeMetricFamily(figure.name, figure.help, value, unit=figure.unit)


def _findings(sums: Sums) -> Metric:
    family = _gauge(FINDINGS)
    found = [finding.kind for finding in sums.look.findings]
    for kind in Kind:
        family.add_metric((kind.value, str(DIAGNOSES[kind].wrong).lower()), found.count(kind))
    return family


def _of_brokers(views: Iterable[View]) -> Iterator[Metric]:
    up = _gauge(BROKER_UP)
    about = _gauge(BROKER_INFO)
    levels = {each: _gauge(each) for each in BROKER_LEVELS}
    counters = {name: _counter(each) for name, each in BROKER_COUNTERS.items()}
    refused, stalls, lag = _counter(REFUSED), _counter(STALLS), _histogram(LAG)
    for view in views:
        name, report = printable(view.info.name), view.report
        up.add_metric((name,), view.told)
        if report is None or not view.told:
            continue
        about.add_metric((name, printable(report.software), printable(report.state)), 1)
        for figure, value_of in BROKER_LEVELS.items():
            levels[figure].add_metric((name,), value_of(view, report))
        for counter, family in counters.items():
            family.add_metric((name,), report.counters.get(counter, 0))
        for row in report.refusals:
            if row.kind in _REFUSALS:
                refused.add_metric((name, row.kind), row.count)
        if report.lag is not None:
            lag.add_metric((name,), _buckets(report.lag.took), None)
            stalls.add_metric((name,), report.lag.stalls)
    yield up
    yield about
    yield from levels.values()
    yield from counters.values()
    yield refused
    yield stalls
    yield lag


def _of_services(services: Iterable[ServiceSum]) -> Iterator[Metric]:
    services = list(services)
    for figure, value_of in SERVICE_LEVELS.items():
        family = _gauge(figure)
        for service in services:
            family.add_metric((printable(service.name),), value_of(service))
        yield family
    replies, times = _counter(SERVICE_REPLIES), _histogram(SERVICE_TIME)
    requests, rejected = _counter(SERVICE_REQUESTS), _counter(SERVICE_REJECTED)
    parts = ((service.name, *part) for service in services for part in service.parts.items())
    for name, broker, status in islice(parts, PARTS_MAX):
        labels = printable(name), printable(broker)
        replies.add_metric(labels, status.replies)
        times.add_metric(labels, _buckets(status.took), None)
        if status.requests is not None:
            requests.add_metric(labels, status.requests)
            rejected.add_metric(labels, status.rejected)
    yield requests
    yield rejected
    yield replies
    yield times


def _buckets(took: Sequence[int]) -> list[tuple[str, float]]:
    """Return a histogram of a report as Prometheus has it: how many have taken at most so long."""
    found = Histogram.of(took)
    counts = zip(TIME_BOUNDS_S, found.cumulative(TIME_BOUNDS_S), strict=True)
    return [*((str(bound_s), float(count)) for bound_s, count in counts), ("+Inf", float(found.count))]


def _of_bridges(nodes: Iterable[NodeSum]) -> Iterator[Metric]:
    bridges = [(node.name, told) for node in nodes if (told := node.bridge) is not None][:BRIDGES_MAX]
    for figure, value_of in BRIDGE_LEVELS.items():
        family = _counter(figure) if figure.kind == "counter" else _gauge(figure)
        for name, told in bridges:
            kind = told.kind if told.kind in BRIDGE_KINDS else "other"
            family.add_metric((printable(name), kind), value_of(told))
        yield family


def _own(view: View, report: Report) -> tuple[int, int]:
    """Return what waits at a broker, and what is with its workers."""
    return next(((row.queued, row.in_flight) for row in report.brokers if row.name == view.info.name), (0, 0))
