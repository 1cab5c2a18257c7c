"""How much brokers do a second, by what they have counted between two looks. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from braidmq.monitor.net import View
from braidmq.wire.control import Report


class Rates(NamedTuple):
    """What is done a second; None where that is not known.

    Attributes:
        requests: that have come.
        replies: that workers have given.
        rejects: requests that were not run, for any reason.
    """

    requests: float | None = None
    replies: float | None = None
    rejects: float | None = None


UNKNOWN: Final = Rates()
"""Of a broker without a past."""


def rates(views: Iterable[View], before: Iterable[View]) -> dict[str, Rates]:
    """Return what each broker did between two looks. One that was restarted has no past, and no rates yet.

    The time between two reports is that of the broker's own clock, which their way to here does not change.
    """
    return {
        broker: Rates(*(_rate(report, earlier, name, apart_s) for name in _COUNTERS))
        for broker, report, earlier, apart_s in both(views, before)
    }


def both(views: Iterable[View], before: Iterable[View]) -> Iterator[tuple[str, Report, Report, float]]:
    """Yield the brokers that told their state in two looks and were not restarted between them.

    Each with what it told, what it told before, and how many seconds lie between the two by its own clock.
    """
    past = {view.info.name: view.report for view in before if view.report is not None and view.told}
    for view in views:
        report, earlier = view.report, past.get(view.info.name)
        if report is not None and view.told and earlier is not None and report.uptime_s > earlier.uptime_s:
            yield view.info.name, report, earlier, report.uptime_s - earlier.uptime_s


def total(found: Mapping[str, Rates]) -> Rates:
    """Return the sums over all brokers whose rates are known."""
    return Rates(*(map(_sum, zip(*found.values(), strict=True)))) if found else UNKNOWN


_COUNTERS: Final = ("requests", "replies", "rejected")
"""Of a report, in the order of Rates."""


def _rate(report: Report, earlier: Report, counter: str, apart_s: float) -> float | None:
    if counter not in report.counters:
        return None
    return max(0, report.counters[counter] - earlier.counters.get(counter, 0)) / apart_s


def _sum(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
