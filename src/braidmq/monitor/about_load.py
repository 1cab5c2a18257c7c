"""What is asked for and not worked off, and who is turned away, as brokers tell. Pure.

Whether requests are refused now, and not hours ago, shows by two looks a moment apart.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from braidmq.core.broker.refusals import Refused
from braidmq.monitor.finding import Finding, Kind, duration, together
from braidmq.monitor.net import ServiceSum, View, nodes, services, waits
from braidmq.wire.control import RefusalStatus

RECENT_S: Final = 10.0
"""How long ago something was refused that is told: who tries again does so within this time."""

CALLERS_MAX: Final = 3
"""Callers that are named: those that have the most requests under way."""

CALLER_SHARE: Final = 0.1
"""The share of all requests under way that a caller has to have to be named."""

_LIMITS: Final = frozenset((
    Refused.SIEGE, Refused.CROWD, Refused.ROOM, Refused.THRONG, Refused.BARRED, Refused.UNJUDGED, Refused.VERSION,
    Refused.EXPIRED,
))  # fmt: skip
"""Refusals of members that should have got in."""

_WHY: Final = {
    Refused.UNKNOWN: "it is not registered",
    Refused.REMOVED: "its member was removed",
    Refused.REVOKED: "its key was revoked",
    Refused.EXPIRED: "its certificate has ended",
    Refused.BARRED: "its key is kept out for some seconds, for what it has done",
    Refused.UNJUDGED: "the broker has met an error of its own",
    Refused.THRONG: "it has as many connections as one key may have",
    Refused.OTHER_KEY: "it expects another broker's key",
    Refused.HTTP: "it speaks HTTP",
    Refused.NO_CURVE: "it speaks ZMTP without CURVE",
    Refused.FOREIGN: "it speaks another protocol",
    Refused.HANDSHAKE: "it breaks off the handshake",
    Refused.ENDED: "its connection does not keep to the protocol",
    Refused.SIEGE: "too many knock at one time",
    Refused.CROWD: "no file descriptor is left",
    Refused.ROOM: "there are too many sessions",
    Refused.ROLE: "it speaks as only brokers do",
    Refused.VERSION: "it speaks another version of BRAID",
    Refused.CALL: "it may not call that",
    Refused.SERVE: "it may not serve that",
    Refused.OBSERVE: "it may not observe",
    Refused.OPERATE: "it may not operate",
}


def wants_another(views: Iterable[View]) -> bool:
    """Whether it takes a second look to tell how the load is: something waits, or was refused some time."""
    return any(
        view.report.counters.get("busy", 0) or any(each.queued for each in view.report.services)
        for view in views
        if view.report is not None and view.told
    )


def unserved(views: Sequence[View]) -> Iterator[Finding]:
    """Find services for which requests wait, and nobody is there."""
    if not waits(views):
        return
    for service in services(views):
        if service.queued and not service.workers:
            what = f"{service.name} has no worker"
            yield Finding(Kind.NO_WORKER, (service.name,), what, f"{_requests(service.queued)} for it")


def overload(views: Sequence[View], before: Sequence[View], apart_s: float) -> Iterator[Finding]:
    """Find services whose workers are all at their limit, in both looks, and what was refused between them."""
    if not before or apart_s <= 0.0:
        return
    refused = _grown(views, before, "busy")
    if not refused and not waits(views):
        return
    callers = _callers(views) if refused else ""
    now = services(views)
    waited = {service.name for service in services(before) if service.queued}
    full = [each for each in now if each.queued and each.workers and each.name in waited and _is_full(each)]
    told: set[str] = set()
    for service in full:
        count = sum(refused.get(broker, 0) for broker in service.parts)
        told |= service.parts.keys()
        why = f"{_requests(service.queued)}, and all {service.credit:,} places are taken"
        if not count:
            yield Finding(Kind.SERVICE_FULL, (service.name,), f"{service.name} is at its limit", why)
            continue
        why += f"; {count / apart_s:,.0f} a second are refused{callers}"
        yield Finding(Kind.OVERLOAD, (service.name,), f"{service.name} is overloaded", why)
    rest = {broker: count for broker, count in refused.items() if broker not in told}
    if rest:
        why = f"{sum(rest.values()) / apart_s:,.0f} a second{callers}"
        names = tuple(sorted(rest))
        verb = "refuses" if len(names) == 1 else "refuse"
        what = f"{together(names)} {verb} requests for want of room or time"
        served = tuple(each.name for each in now if each.outstanding)
        yield Finding(Kind.OVERLOAD, served or names, what, why)


def refusals(views: Iterable[View]) -> Iterator[Finding]:
    """Find who was turned away lately."""
    found: dict[str, list[tuple[str, RefusalStatus]]] = {}
    for view in views:
        for row in () if view.report is None else view.report.refusals:
            if row.ago_ms <= RECENT_S * 1000:
                found.setdefault(row.kind, []).append((view.info.name, row))
    for kind, rows in sorted(found.items()):
        brokers = together([broker for broker, _ in rows])
        newest = min((row for _, row in rows), key=lambda row: row.ago_ms)
        who = newest.who or newest.where or "somebody"
        details = [f"at {newest.where}" if newest.where and newest.who else "", newest.what]
        about = ", ".join(filter(None, details))
        reason = _WHY[Refused(kind)] if kind in _WHY else kind
        since = f"{duration(newest.ago_ms / 1000)} ago"
        why = f"{reason}{f' ({about})' if about else ''}; the last one {since}"
        what = f"{brokers} {'refuses' if len(rows) == 1 else 'refuse'} {who}"
        yield Finding(Kind.LIMIT if kind in _LIMITS else Kind.REFUSED, (who,), what, why)


def _is_full(service: ServiceSum) -> bool:
    return service.outstanding >= service.credit


def _requests(count: int) -> str:
    return "1 request waits" if count == 1 else f"{count:,} requests wait"


def _grown(views: Iterable[View], before: Iterable[View], counter: str) -> dict[str, int]:
    """Return by how much a counter has grown at each broker; a broker that was restarted has no past."""
    past = {view.info.name: view.report for view in before if view.report is not None and view.told}
    found = {}
    for view in views:
        report, earlier = view.report, past.get(view.info.name)
        if report is not None and view.told and earlier is not None and report.uptime_s >= earlier.uptime_s:
            grown = report.counters.get(counter, 0) - earlier.counters.get(counter, 0)
            if grown > 0:
                found[view.info.name] = grown
    return found


def _callers(views: Iterable[View]) -> str:
    """Return who has the most requests under way."""
    under_way = sorted(((node.in_flight, node.name) for node in nodes(views) if node.in_flight), reverse=True)
    total = sum(count for count, _ in under_way)
    named = [f"{name} ({count:,})" for count, name in under_way[:CALLERS_MAX] if count >= CALLER_SHARE * total]
    return f"; most are under way for {together(named)}" if named else ""
