"""How many replies services give a second, and how long these take, by what brokers have told in two looks. Pure."""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from braidmq.core.histogram import Histogram
from braidmq.monitor.net import View
from braidmq.monitor.rates import both
from braidmq.wire.control import ServiceStatus


class ServiceRate(NamedTuple):
    """What a service has done between two looks; None where that is not known.

    Attributes:
        replies: a second.
        p50_ms: how long half of them took at most, from the request's coming to a broker to the reply's leaving.
        p99_ms: the same of 99 in a hundred.
    """

    replies: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None


NO_RATE: Final = ServiceRate()


def service_rates(views: Iterable[View], before: Iterable[View]) -> dict[str, ServiceRate]:
    """Return the rates of each service over all brokers that told of it in both looks.

    A broker that was restarted between them has no past, and one that is too old to count replies tells of none.
    """
    replies: dict[str, float] = {}
    took: dict[str, Histogram] = {}
    for now, earlier, apart_s in _pairs(views, before):
        name, grown = now.name, now.replies - earlier.replies
        if grown < 0:  # the broker has forgotten it meanwhile
            continue
        replies[name] = replies.get(name, 0.0) + grown / apart_s
        if now.took != earlier.took:
            since = Histogram.of(now.took).since(Histogram.of(earlier.took))
            took[name] = took.get(name, Histogram()).merge((since,))
    return {
        name: ServiceRate(rate, *(_ms(took.get(name), share) for share in (0.5, 0.99)))
        for name, rate in replies.items()
    }


def _pairs(views: Iterable[View], before: Iterable[View]) -> Iterator[tuple[ServiceStatus, ServiceStatus, float]]:
    """Yield what a broker told of a service in both looks, and how many seconds lie between them."""
    for _, report, earlier, apart_s in both(views, before):
        known = {each.name: each for each in earlier.services}
        for service in report.services:
            if service.name in known:
                yield service, known[service.name], apart_s


def _ms(took: Histogram | None, share: float) -> float | None:
    found = None if took is None else took.quantile(share)
    return None if found is None else found * 1000
