"""What a broker tells an observer."""

from collections.abc import Iterable

from msgspec.structs import replace

from braidmq.core.broker.dispatch import Dispatcher
from braidmq.core.broker.key_usage import KeyUsage
from braidmq.core.broker.transit import Service, Session
from braidmq.core.reasons import name_of
from braidmq.members import Role
from braidmq.wire.control import (
    REPORT_BUCKETS_MAX,
    REPORT_ROWS_MAX,
    REPORT_SERVES_MAX,
    LagStatus,
    LossStatus,
    NodeStatus,
    PeerStatus,
    RefusalStatus,
    Report,
    ServiceStatus,
)
from braidmq.wire.registry_status import RegistryStatus


def report(
    broker: str,
    sessions: Iterable[Session],
    dispatcher: Dispatcher,
    peers: list[PeerStatus],
    counters: dict[str, int],
    *,
    refusals: list[RefusalStatus],
    losses: list[LossStatus],
    lag: LagStatus,
    registry: RegistryStatus | None,
    software: str,
    uptime_s: float,
    now: float,
) -> Report:
    """Return the state of a broker, its lists cut at REPORT_ROWS_MAX."""
    nodes = [session for session in sessions if session.member.role is Role.NODE]
    services = list(dispatcher.services.values())[:REPORT_ROWS_MAX]
    took = _latencies(services)
    return Report(
        broker=broker,
        software=software,
        state="draining" if dispatcher.draining else "up",
        uptime_s=uptime_s,
        brokers=peers[:REPORT_ROWS_MAX],
        nodes=_rows(nodes[:REPORT_ROWS_MAX], now),
        nodes_total=len(nodes),
        services=[
            ServiceStatus(
                name=service.name.decode(),
                workers=len(service.offers),
                credit=sum(offer.credit for offer in service.offers.values()),
                outstanding=sum(offer.outstanding for offer in service.offers.values()),
                queued=service.queued,
                replies=service.replies,
                took=took.get(service.name, []),
                requests=service.requests,
                rejected=service.rejected,
            )
            for service in services
        ],
        services_total=len(dispatcher.services),
        counters=counters,
        refusals=refusals,
        registry=registry,
        losses=losses,
        lag=lag,
    )


def _rows(sessions: Iterable[Session], now: float) -> list[NodeStatus]:
    """Return the rows of nodes; what is counted for a key is in the first one of it."""
    told: set[KeyUsage] = set()
    rows = []
    for session in sessions:
        usage = session.usage
        row = _row(session, now)
        if usage not in told:
            told.add(usage)
            rejected = {name_of(reason): count for reason, count in usage.rejected.items()}
            row = replace(row, requests=usage.requests, request_bytes=usage.request_bytes, rejected=rejected)
        rows.append(row)
    return rows


def _row(session: Session, now: float) -> NodeStatus:
    withheld = session.withheld
    return NodeStatus(
        name=session.member.name,
        state=session.state,
        silent_ms=max(0, int((now - session.heard_at) * 1000)),
        in_flight=len(session.requests),
        serves=sorted(name.decode() for name in session.offers)[:REPORT_SERVES_MAX],
        bridge=session.bridge,
        out_by="" if withheld is None else withheld.by,
        out_ms=0 if withheld is None else int((now - withheld.since) * 1000),
    )


def _latencies(services: Iterable[Service]) -> dict[bytes, list[int]]:
    """Return how long the requests of services have taken: of those with the most replies, as long as there is room."""
    found: dict[bytes, list[int]] = {}
    left = 2 * REPORT_BUCKETS_MAX
    for service in sorted(services, key=_replies, reverse=True):
        took = service.timing.encoded()
        left -= len(took)
        if not took or left < 0:
            break
        found[service.name] = took
    return found


def _replies(service: Service) -> int:
    return service.replies
