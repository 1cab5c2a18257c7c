"""How many replies services gave a second and how long these took, by what brokers counted between looks. Pure."""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from braidmq.core.histogram import Histogram
from braidmq.monitor.net import View
from braidmq.wire.control import Report, ServiceStatus

Counts = dict[int, int]
"""How many have taken how long: a number for each bucket of a histogram that has any."""


class Latency(NamedTuple):
    """In which time half of all replies, and 99 of 100, were given; None if there were none, or nothing is known."""

    p50_ms: float | None = None
    p99_ms: float | None = None


NO_LATENCY: Final = Latency()


class Pace(NamedTuple):
    """What a service has done between two looks.

    Attributes:
        replies: how many a second; None if that is not known.
        latency: how long these took.
    """

    replies: float | None = None
    latency: Latency = NO_LATENCY


class Paces(NamedTuple):
    """What was done between two looks: by services, at brokers, and in the whole net."""

    services: Mapping[str, Pace]
    brokers: Mapping[str, Latency]
    net: Latency


UNKNOWN: Final = Pace()


def paces(views: Iterable[View], before: Iterable[View]) -> Paces:
    """Return what was done between two looks at those brokers that told their state in both, without a restart."""
    past = {view.info.name: view.report for view in before if view.report is not None and view.told}
    replies: dict[str, float] = {}
    grown: dict[str, Counts] = {}
    brokers: dict[str, Latency] = {}
    net: Counts = {}
    for view in views:
        report, earlier = view.report, past.get(view.info.name)
        if report is None or not view.told or earlier is None or report.uptime_s <= earlier.uptime_s:
            continue
        here: Counts = {}
        for name, rate, counts in _services(report, earlier):
            replies[name] = replies.get(name, 0.0) + rate
            if counts:
                _add(grown.setdefault(name, {}), counts)
                _add(here, counts)
        brokers[view.info.name] = _latency(here)
        _add(net, here)
    services = {name: Pace(rate, _latency(grown.get(name))) for name, rate in replies.items()}
    return Paces(services, brokers, _latency(net))


def _services(report: Report, earlier: Report) -> Iterable[tuple[str, float, Counts]]:
    """Yield each service of a broker with its replies a second, and how long they took."""
    past = {service.name: service for service in earlier.services}
    apart_s = report.uptime_s - earlier.uptime_s
    for service in report.services:
        known = past.get(service.name)
        if known is None or known.replies > service.replies:  # it is new there, or was forgotten meanwhile
            known = ServiceStatus(service.name, 0, 0, 0, 0)
        yield service.name, (service.replies - known.replies) / apart_s, _grown(service.took, known.took)


def _grown(took: list[int], before: list[int]) -> Counts:
    """Return what was counted after `before`; most services of a net did nothing meanwhile."""
    if took == before or not took:
        return {}
    counts = dict(zip(took[::2], took[1::2], strict=False))
    for bucket, times in zip(before[::2], before[1::2], strict=False):
        left = counts.get(bucket, 0) - times
        if left > 0:
            counts[bucket] = left
        else:
            counts.pop(bucket, None)
    return counts


def _add(to: Counts, counts: Counts) -> None:
    for bucket, times in counts.items():
        to[bucket] = to.get(bucket, 0) + times


def _latency(counts: Counts | None) -> Latency:
    if not counts:
        return NO_LATENCY
    found = Histogram.of([number for pair in counts.items() for number in pair])
    return Latency(_ms(found.quantile(0.5)), _ms(found.quantile(0.99)))


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(1_000 * seconds, 3)
