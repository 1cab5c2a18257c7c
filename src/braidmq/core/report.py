"""What a broker tells an observer."""

from typing import TYPE_CHECKING

from braidmq.members import Role
from braidmq.wire.control import REPORT_ROWS_MAX, REPORT_SERVES_MAX, NodeStatus, Report, ServiceStatus

if TYPE_CHECKING:
    from braidmq.core.broker import BrokerCore


def report(core: "BrokerCore", software: str, uptime_s: float, now: float) -> Report:
    """Return the state of `core`, its lists cut at REPORT_ROWS_MAX."""
    nodes = [session for session in core.sessions.values() if session.member.role is Role.NODE]
    return Report(
        broker=core.name,
        software=software,
        state="draining" if core.dispatcher.draining else "up",
        uptime_s=uptime_s,
        brokers=core.peer_states[:REPORT_ROWS_MAX],
        nodes=[
            NodeStatus(
                name=session.member.name,
                state=session.state,
                silent_ms=max(0, int((now - session.heard_at) * 1000)),
                in_flight=len(session.requests),
                serves=sorted(name.decode() for name in session.slots)[:REPORT_SERVES_MAX],
            )
            for session in nodes[:REPORT_ROWS_MAX]
        ],
        nodes_total=len(nodes),
        services=[
            ServiceStatus(
                name=service.name.decode(),
                workers=len(service.slots),
                credit=sum(slot.credit for slot in service.slots.values()),
                outstanding=sum(slot.outstanding for slot in service.slots.values()),
                queued=service.queued,
            )
            for service in list(core.dispatcher.services.values())[:REPORT_ROWS_MAX]
        ],
        services_total=len(core.dispatcher.services),
        counters=dict(core.counters),
    )
