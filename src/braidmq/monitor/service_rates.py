"""What is asked of services a second, and how long they take, by what brokers have told in two looks. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from braidmq.core.histogram import Histogram
from braidmq.monitor.net import View
from braidmq.monitor.rates import both
from braidmq.wire.control import Report, ServiceStatus

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
        requests: that came for it a second; None, too, where a broker is too old to count them.
        rejects: those that brokers have refused themselves a second; None where requests are.
    """

    replies: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    requests: float | None = None
    rejects: float | None = None


NO_RATE: Final = ServiceRate()

IDLE: Final = ServiceRate(0.0, requests=0.0, rejects=0.0)
"""Of a service of which nothing was asked."""

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
    asked: dict[str, _Asked] = {}
    took: dict[str, Counts] = {}
    brokers: dict[str, Latency] = {}
    net: Counts = {}
    for broker, report, earlier, apart_s in both(views, before):
        if report.services is earlier.services:  # nothing was done there
            for service in report.services:
                asked.setdefault(service.name, _NOTHING if service.requests is not None else _UNCOUNTED)
            brokers[broker] = NO_LATENCY
            continue
        here: Counts = {}
        for name, grown, counts in _services(report, earlier):
            asked[name] = grown.over(apart_s) if name not in asked else asked[name].and_(grown.over(apart_s))
            if counts:
                _add(took.setdefault(name, {}), counts)
                _add(here, counts)
        brokers[broker] = _latency(here)
        _add(net, here)
    services = {name: _rate(each, took.get(name)) for name, each in asked.items()}
    return Done(services, brokers, _latency(net))


class _Asked(NamedTuple):
    """Replies, requests and rejects of a service; the latter None where they are not counted."""

    replies: float
    requests: float | None
    rejects: float | None

    def over(self, seconds: float) -> "_Asked":
        """Return what it comes to a second."""
        if not self.replies and not self.requests and not self.rejects:
            return self
        requests, rejects = self.requests, self.rejects
        return _Asked(
            self.replies / seconds,
            None if requests is None else requests / seconds,
            None if rejects is None else rejects / seconds,
        )

    def and_(self, other: "_Asked") -> "_Asked":
        """Return the sum, of what both have."""
        if other is _NOTHING:
            return self
        counted = self.requests is not None and other.requests is not None
        return _Asked(
            self.replies + other.replies,
            (self.requests or 0.0) + (other.requests or 0.0) if counted else None,
            (self.rejects or 0.0) + (other.rejects or 0.0) if counted else None,
        )


_NOTHING: Final = _Asked(0.0, 0.0, 0.0)
_UNCOUNTED: Final = _Asked(0.0, None, None)


def _rate(asked: _Asked, took: Counts | None) -> ServiceRate:
    if asked == _NOTHING and not took:
        return IDLE
    latency = _latency(took)
    return ServiceRate(asked.replies, latency.p50_ms, latency.p99_ms, asked.requests, asked.rejects)


def _services(report: Report, earlier: Report) -> Iterator[tuple[str, _Asked, Counts]]:
    """Yield what a broker told of in both looks: a service, what more was asked of it, and how long replies took."""
    past = {service.name: service for service in earlier.services}
    for service in report.services:
        known = past.get(service.name)
        if known is service:
            yield service.name, _NOTHING if service.requests is not None else _UNCOUNTED, _NONE
        elif known is not None and service.replies >= known.replies:  # else the broker has forgotten it meanwhile
            yield service.name, _more(service, known), _grown(service.took, known.took)


def _more(service: ServiceStatus, known: ServiceStatus) -> _Asked:
    replies = float(service.replies - known.replies)
    if service.requests is None or known.requests is None:
        return _Asked(replies, None, None)
    rejects = service.rejected - known.rejected
    return _Asked(replies, float(max(0, service.requests - known.requests)), float(max(0, rejects)))


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
