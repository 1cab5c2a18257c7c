"""Which workers and nodes are gone or silent, as brokers tell. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from braidmq.monitor.finding import Finding, Kind, lasting, listed, together
from braidmq.monitor.net import NodeSum, View, nodes
from braidmq.wire.control import BridgeStatus, LossStatus

ELSEWHERE_MS: Final = 1_000
"""How long ago another broker has heard a worker that is there, and is missed at one broker only: a heartbeat comes
every `heartbeat_s`, 1 s by default."""


def silent_nodes(views: Iterable[View]) -> Iterator[Finding]:
    """Find the nodes that are connected to brokers, and silent there."""
    here = nodes(views)
    silent = [(node, at) for node in here if (at := [part for part in node.parts if part[1].state == "suspect"])]
    servers = _servers(here) if silent else {}
    for node, at in silent:
        since_s = max(part.silent_ms for _, part in at) / 1000
        where = together([broker for broker, _ in at])
        elsewhere = [broker for broker in node.brokers if broker not in dict(at)]
        hear = f"{together(elsewhere)} {'hears' if len(elsewhere) == 1 else 'hear'} it"
        heard = f"; {hear}" if elsewhere else ""
        if node.serves and any(part.state == "open" and part.silent_ms <= ELSEWHERE_MS for _, part in node.parts):
            what = f"{node.name} says nothing to {where}{lasting(since_s)}"
            why = f"{hear}; it gets no new work at {where}"
            yield Finding(Kind.PATH_LOST, (node.name,), what, why, since_s)
        elif node.serves:
            what = f"{node.name} hangs or is cut off{lasting(since_s)}"
            why = (
                f"it says nothing to {where}{heard}, and gets no new work there{_left(servers, node.name, node.serves)}"
            )
            yield Finding(Kind.WORKER_HANGS, (node.name,), what, why, since_s)
        else:
            what = f"{node.name} is silent{lasting(since_s)}"
            yield Finding(Kind.NODE_SILENT, (node.name,), what, f"it says nothing to {where}{heard}", since_s)


def lost_workers(views: Sequence[View]) -> Iterator[Finding]:
    """Find the workers and bridges that have ended, or were given up, without a goodbye."""
    losses: dict[str, dict[str, LossStatus]] = {}
    for view in views:
        if view.report is not None and view.told:
            for loss in view.report.losses:
                losses.setdefault(loss.name, {})[view.info.name] = loss
    here = {node.name: node for node in nodes(views)} if losses else {}
    servers = _servers(here.values())
    for name, at in sorted(losses.items()):
        node = here.get(name)
        if node is not None:
            if _is_at_work(node):
                yield _path(node, at)
            continue
        rows = at.values()
        since_s = max(loss.ago_ms for loss in rows) / 1000
        requests = sum(loss.requests for loss in rows)
        serves = sorted({service for loss in rows for service in loss.serves})
        with_it = f"; {requests:,} requests were with it" if requests else ""
        silent = any(loss.silent for loss in rows)
        how = "hangs or is cut off" if silent else "is dead"
        why = f"{together(list(at))} {'have' if len(at) > 1 else 'has'} "
        why += "given it up for its silence" if silent else "lost its connection, without a goodbye"
        kind = Kind.WORKER_HANGS if silent else Kind.WORKER_DEAD
        what = f"{name} {how}{lasting(since_s)}"
        bridge = next((loss.bridge for loss in rows if loss.bridge is not None), None)
        if bridge is not None:
            kind = Kind.BRIDGE_GONE
            what = f"the {bridge.kind} bridge {what}"
            with_it = f"; {_foreign(bridge)}{with_it}"
        yield Finding(kind, (name,), what, f"{why}{with_it}{_left(servers, name, serves)}", since_s)


def taken_out(views: Iterable[View]) -> Iterator[Finding]:
    """Find the nodes that operators have taken out of work."""
    for node in nodes(views):
        out = node.out_at
        if not out:
            continue
        since_s = max(part.out_ms for part in out.values()) / 1000
        by = sorted({part.out_by for part in out.values()})
        elsewhere = [broker for broker in node.brokers if broker not in out]
        what, still = f"{node.name} gets no new work{lasting(since_s)}", ""
        if elsewhere:
            what = f"{node.name} is out{lasting(since_s)}, but not everywhere"
            still = f"; {together(elsewhere)} {'gives' if len(elsewhere) == 1 else 'give'} it work"
        why = f"{together(by)} {'has' if len(by) == 1 else 'have'} taken it out at {together(list(out))}{still}"
        yield Finding(Kind.NODE_OUT, (node.name,), what, why, since_s)


def _foreign(bridge: BridgeStatus) -> str:
    """Return what foreign programs have lost."""
    if bridge.peers > 1:
        return f"{bridge.peers:,} foreign programs were connected to it"
    return f"{'1' if bridge.peers else 'no'} foreign program was connected to it"


def _is_at_work(node: NodeSum) -> bool:
    return all(part.state == "open" for _, part in node.parts)


def _path(node: NodeSum, at: dict[str, LossStatus]) -> Finding:
    since_s = min(loss.ago_ms for loss in at.values()) / 1000
    what = f"{node.name} has no connection to {together(list(at))} any more{lasting(since_s)}"
    return Finding(Kind.PATH_LOST, (node.name,), what, f"it is there over {together(node.brokers)}", since_s)


def _servers(found: Iterable[NodeSum]) -> dict[str, list[str]]:
    """Return who serves each service, of those that some broker hears."""
    servers: dict[str, list[str]] = {}
    for node in found:
        if any(part.state == "open" for _, part in node.parts):
            for service in node.serves:
                servers.setdefault(service, []).append(node.name)
    return servers


def _left(servers: Mapping[str, Sequence[str]], name: str, serves: Sequence[str]) -> str:
    """Return who else serves what a worker does that is not there."""
    if not serves:
        return ""
    alone = [service for service in serves if all(other == name for other in servers.get(service, ()))]
    if not alone:
        return f"; others serve {listed(serves)}, too"
    return f"; nobody else serves {listed(alone)}"
