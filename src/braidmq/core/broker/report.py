"""What a broker tells an observer."""

from collections.abc import Iterable

from braidmq.core.broker.dispatch import Dispatcher
from braidmq.core.broker.transit import Session
from braidmq.members import Role
from braidmq.wire.control import (
    REPORT_ROWS_MAX,
    REPORT_SERVES_MAX,
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
    registry: RegistryStatus | None,
    software: str,
    uptime_s: float,
    now: float,
) -> Report:
    """Return the state of a broker, its lists cut at REPORT_ROWS_MAX."""
    nodes = [session for session in sessions if session.member.role is Role.NODE]
    services = dispatcher.services
    return Report(
        broker=broker,
        software=software,
        state="draining" if dispatcher.draining else "up",
        uptime_s=uptime_s,
        brokers=peers[:REPORT_ROWS_MAX],
        nodes=[
            NodeStatus(
                name=session.member.name,
                state=session.state,
                silent_ms=max(0, int((now - session.heard_at) * 1000)),
                in_flight=len(session.requests),
                serves=sorted(name.decode() for name in session.offers)[:REPORT_SERVES_MAX],
                bridge=session.bridge,
            )
            for session in nodes[:REPORT_ROWS_MAX]
        ],
        nodes_total=len(nodes),
        services=[
            ServiceStatus(
                name=service.name.decode(),
                workers=len(service.offers),
                credit=sum(offer.credit for offer in service.offers.values()),
                outstanding=sum(offer.outstanding for offer in service.offers.values()),
                queued=service.queued,
            )
            for service in list(services.values())[:REPORT_ROWS_MAX]
        ],
        services_total=len(services),
        counters=counters,
        refusals=refusals,
        registry=registry,
        losses=losses,
    )
