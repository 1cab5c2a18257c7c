"""How many replies services give a second, and how long these take, by what brokers have told in two looks. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from braidmq.core.histogram import Histogram
from braidmq.monitor.net import View
from braidmq.monitor.rates import both
from braidmq.wire.control import Report

Counts = dict[int, int]
"""How many have taken how long: a number for each bucket of a histogram that has any."""

_NONE: Final[Counts] = {}


class Latency(NamedTuple):
    """How long replies took, from the request's coming to a broker to the reply's leaving; None if there were none.

    Attributes:
        p50_ms: half of them took at most so long.
        p99_ms: the same of 99 in a hundred.
    """

    p50_ms: float | None = None
    p99_ms: float | None = None


class ServiceRate(NamedTuple):
    """What a service has done between two looks; None where that is not known.

    Attributes:
        replies: a second.
        p50_ms: see Latency.
        p99_ms: see Latency.
    """

    replies: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None


NO_RATE: Final = ServiceRate()

IDLE: Final = ServiceRate(0.0)
"""Of a service that has given no replies."""

NO_LATENCY: Final = Latency()


class Done(NamedTuple):
    """What was done between two looks: by each service, at each broker, and in the whole net."""

    services: Mapping[str, ServiceRate]
    brokers: Mapping[str, Latency]
    net: Latency


def service_rates(views: Iterable[View], before: Iterable[View]) -> Mapping[str, ServiceRate]:
    """Return the rates of each service over all brokers that told of it in both looks.

    A broker that was restarted between them has no past, and one that is too old to count replies tells of none.
    """
    return done(views, before).services


def done(views: Iterable[View], before: Iterable[View]) -> Done:
    """Return what was done between two looks, as far as brokers told of it in both."""
    replies: dict[str, float] = {}
    took: dict[str, Counts] = {}
    brokers: dict[str, Latency] = {}
    net: Counts = {}
    for broker, report, earlier, apart_s in both(views, before):
        if report.services is earlier.services:  # nothing was done there
            for service in report.services:
                replies.setdefault(service.name, 0.0)
            brokers[broker] = NO_LATENCY
            continue
        here: Counts = {}
        for name, grown, counts in _services(report, earlier):
            if grown or name not in replies:
                replies[name] = replies.get(name, 0.0) + grown / apart_s
            if counts:
                _add(took.setdefault(name, {}), counts)
                _add(here, counts)
        brokers[broker] = _latency(here)
        _add(net, here)
    services = {
        name: ServiceRate(rate, *_latency(took.get(name))) if rate or name in took else IDLE
        for name, rate in replies.items()
    }
    return Done(services, brokers, _latency(net))


def _services(report: Report, earlier: Report) -> Iterator[tuple[str, int, Counts]]:
    """Yield what a broker told of in both looks: a service, how many replies more it has, and how long they took."""
    past = {service.name: service for service in earlier.services}
    for service in report.services:
        known = past.get(service.name)
        if known is not None and service.replies >= known.replies:  # else the broker has forgotten it meanwhile
            yield service.name, service.replies - known.replies, _grown(service.took, known.took)


def _grown(took: list[int], before: list[int]) -> Counts:
    """Return what was counted after `before`; most services of a net did nothing meanwhile."""
    if took == before or not took:
        return _NONE
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
    return None if seconds is None else seconds * 1000
