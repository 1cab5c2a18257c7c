"""A look at the net as its pages and other programs get it: docs/monitor.md has the fields. Pure."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from braidmq.monitor.diagnoses import health, is_well
from braidmq.monitor.history import NET, Values
from braidmq.monitor.looking import Look, judge
from braidmq.monitor.net import NodeSum, ServiceSum, View, agree, nodes, services
from braidmq.monitor.rates import UNKNOWN, Rates, rates, total
from braidmq.monitor.service_rates import NO_LATENCY, NO_RATE, ServiceRate, done
from braidmq.monitor.standing import Standing
from braidmq.printable import printable

NODES_MAX: Final = 4_000
"""Nodes that are named: twice as many as a page shows without a stutter. Of all others only the number is told."""

SERVICES_MAX: Final = 2_000
"""Services that are named."""


class _Row(NamedTuple):
    """What history notes of a service, and what it was made of."""

    service: ServiceSum
    rate: ServiceRate
    subject: str
    values: Values


class Sums:
    """A look, and what its brokers told of services and nodes, added up once for all that need it.

    Attributes:
        look: the net.
        rates: what each broker has done.
        done: what was done since the look before.
        services: the services of the whole net.
        nodes: the nodes of the whole net.
        rows: what history notes of each service, and what that was made of.

    Args:
        look: the net.
        before: the brokers at the look before.
        earlier: the same of that look, of which what has not changed is taken over.
    """

    def __init__(self, look: Look, before: Sequence[View] = (), earlier: "Sums | None" = None) -> None:
        self.look = look
        self.rates = rates(look.views, before)
        self.done = done(look.views, before)
        self.services = services(look.views)
        self.nodes = nodes(look.views)
        known: dict[str, _Row] = {} if earlier is None else earlier.rows
        self.rows: dict[str, _Row] = {each.name: self._row(each, known.get(each.name)) for each in self.services}

    def values(self) -> dict[str, Values]:
        """Return what history notes: of the net, of each broker that told its state, and of each service."""
        net = total(self.rates)
        queued, outstanding = 0, 0
        rows: dict[str, Values] = {NET: ()}
        for view in self.look.views:
            if view.told:
                load = _load(view)
                queued, outstanding = queued + load["queued"], outstanding + load["outstanding"]
                rated = self.rates.get(view.info.name, UNKNOWN)
                latency = self.done.brokers.get(view.info.name, NO_LATENCY)
                row = (*rated, load["queued"], load["outstanding"], *latency)
                rows[f"broker:{printable(view.info.name)}"] = row
        told = len(rows) > 1
        rows[NET] = (*net, queued if told else None, outstanding if told else None, *self.done.net)
        for row_of in self.rows.values():
            rows[row_of.subject] = row_of.values
        return rows

    def _row(self, service: ServiceSum, known: _Row | None) -> _Row:
        rate = self.rate(service)
        if known is not None and known.service is service and known.rate == rate:
            return known
        values = (
            rate.requests, rate.replies, rate.rejects, service.queued, service.outstanding, rate.p50_ms, rate.p99_ms
        )  # fmt: skip
        return _Row(service, rate, f"service:{printable(service.name)}", values)

    def rate(self, service: ServiceSum) -> ServiceRate:
        """Return what a service has done since the look before."""
        return self.done.services.get(service.name, NO_RATE)


def level(look: Look) -> str:
    """Return how the net is in a word: `well`, `degraded`, or `unreachable`, if no broker tells its state."""
    if not any(view.told for view in look.views):
        return "unreachable"
    return "well" if is_well(look.findings) else "degraded"


def snapshot(
    node: str, sums: Sums, standing: Standing, unix_s: float, callable_: Collection[str] = ()
) -> dict[str, Any]:
    """Return the net as a JSON object.

    Args:
        node: the name of the monitor.
        sums: the look.
        standing: since when its findings stand.
        unix_s: when the look was, in seconds since 1970 (UTC).
        callable_: services that the monitor can call now.
    """
    look = sums.look
    problem = judge(node, look.views)
    said = health(look.views, look.findings)
    return {
        "at": round(unix_s, 3),
        "node": node,
        "health": said if problem is None else f"{said}: {problem}",
        "level": level(look),
        "agree": agree(look.views),
        "findings": list(_findings(look, standing, unix_s)),
        "brokers": [_broker(view, sums.rates.get(view.info.name, UNKNOWN)) for view in look.views],
        "services": [_service(service, sums.rate(service), callable_) for service in sums.services[:SERVICES_MAX]],
        "nodes": [_node(node) for node in sums.nodes[:NODES_MAX]],
        "refusals": list(_refusals(look.views)),
        "services_total": len(sums.services),
        "nodes_total": len(sums.nodes),
    }


def encode(told: Mapping[str, Any]) -> bytes:
    """Return a JSON object in which all text is printable: what peers say stands in it."""
    encoded = msgspec.json.encode(told)
    if encoded.isascii() and b"\\" not in encoded:
        return encoded
    return msgspec.json.encode(_cleaned(msgspec.json.decode(encoded)))


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {printable(key): _cleaned(each) for key, each in value.items()}
    return [_cleaned(each) for each in value] if isinstance(value, list) else value


def _findings(look: Look, standing: Standing, unix_s: float) -> Iterator[dict[str, Any]]:
    for finding in look.findings:
        since = unix_s - (look.at_s - standing.since_s(finding, look.at_s))
        about = {"names": list(finding.who), "sentence": finding.sentence, "since": round(since, 3)}
        yield finding.as_dict() | about


def _broker(view: View, rated: Rates) -> dict[str, Any]:
    info, report = view.info, view.report
    shown: dict[str, Any] = {
        "name": info.name,
        "endpoints": list(info.endpoints),
        "link": info.state,
        "told": view.told,
        "problem": view.problem or None,
        "state": None,
        "uptime_s": None,
        "software": None,
        "nodes": None,
        "services": None,
        "sees": {},
    }
    if report is not None and view.told:
        shown |= {
            "state": report.state,
            "uptime_s": round(report.uptime_s, 1),
            "software": report.software,
            "nodes": report.nodes_total,
            "services": report.services_total,
            "sees": {row.name: {"state": row.state, "link": row.link} for row in report.brokers},
        }
    return shown | _rates(rated) | _load(view)


def _load(view: View) -> dict[str, int]:
    """Return what waits at a broker, and what is with its workers."""
    if view.report is None or not view.told:
        return {"queued": 0, "outstanding": 0}
    own = next((row for row in view.report.brokers if row.name == view.info.name), None)
    return {"queued": own.queued, "outstanding": own.in_flight} if own else {"queued": 0, "outstanding": 0}


def _service(service: ServiceSum, rate: ServiceRate, callable_: Collection[str]) -> dict[str, Any]:
    parts = {
        broker: {
            "workers": part.workers,
            "credit": part.credit,
            "outstanding": part.outstanding,
            "queued": part.queued,
        }
        for broker, part in service.parts.items()
    }
    return {
        "name": service.name,
        "workers": service.workers,
        "credit": service.credit,
        "outstanding": service.outstanding,
        "queued": service.queued,
        **_rates(Rates(rate.requests, rate.replies, rate.rejects)),
        "p50_ms": None if rate.p50_ms is None else round(rate.p50_ms, 3),
        "p99_ms": None if rate.p99_ms is None else round(rate.p99_ms, 3),
        "callable": service.name in callable_,
        "by_broker": parts,
    }


def _node(node: NodeSum) -> dict[str, Any]:
    return {
        "name": node.name,
        "state": node.state,
        "brokers": node.brokers,
        "serves": node.serves,
        "in_flight": node.in_flight,
        "silent_ms": node.silent_ms,
        "bridge": None if node.bridge is None else msgspec.structs.asdict(node.bridge),
    }


def _rates(rated: Rates) -> dict[str, float | None]:
    return {
        f"{name}_per_s": None if value is None else round(value, 2)
        for name, value in zip(Rates._fields, rated, strict=True)
    }


def _refusals(views: Sequence[View]) -> Iterator[dict[str, Any]]:
    for view in views:
        if view.report is not None and view.told:
            for row in view.report.refusals:
                yield msgspec.structs.asdict(row) | {"broker": view.info.name}
