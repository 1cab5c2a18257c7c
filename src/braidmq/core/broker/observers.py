"""The members that have asked for a report, and what a broker tells them of itself."""

from collections.abc import Iterable
from typing import Final

from msgspec import structs

from braidmq.core.broker.announcements import Announcements
from braidmq.core.broker.dispatch import Dispatcher
from braidmq.core.broker.lag import Lag
from braidmq.core.broker.losses import Losses
from braidmq.core.broker.operations import Operations
from braidmq.core.broker.outgoing import Outgoing
from braidmq.core.broker.refusals import Refusals, Refused
from braidmq.core.broker.registrar import Registrar
from braidmq.core.broker.report import report
from braidmq.core.broker.transit import Session
from braidmq.core.membership.peering import PeeringCore
from braidmq.members import Role
from braidmq.wire import control
from braidmq.wire.envelope import now_ms

REPORT_ROWS_PER_TICK: Final = 1_000
"""Sessions and services that a report may count in each tick, some percent of a core: with more of them observers wait
longer for the next one."""


class Observers:
    """Those who have asked for a report since it was last made.

    `add` notes a session; when `is_due` says so, `answer` makes one report and sends it to all; `on_end` forgets a
    session. `sessions` is the broker's own table.
    """

    __slots__ = (
        "_announcements", "_asking", "_claimed", "_counters", "_dispatcher", "_lag", "_losses", "_operations",
        "_outgoing", "_peering", "_refusals", "_registrar", "_report_at", "_sessions", "_software",
        "_started_at", "_tick_s",
    )  # fmt: skip

    def __init__(
        self,
        sessions: dict[bytes, Session],
        dispatcher: Dispatcher,
        announcements: Announcements,
        peering: PeeringCore,
        outgoing: Outgoing,
        *,
        counters: dict[str, int],
        refusals: Refusals,
        losses: Losses,
        lag: Lag,
        operations: Operations,
        registrar: Registrar | None,
        software: str,
        tick_s: float,
        now: float,
    ) -> None:
        self._sessions = sessions
        self._dispatcher = dispatcher
        self._announcements = announcements
        self._peering = peering
        self._outgoing = outgoing
        self._counters = counters
        self._refusals = refusals
        self._losses = losses
        self._lag = lag
        self._operations = operations
        self._registrar = registrar
        self._software = software
        self._tick_s = tick_s
        self._started_at = now
        self._asking: dict[Session, None] = {}
        self._claimed: dict[str, None] = {}
        self._report_at = now

    def add(self, session: Session, claimed: Iterable[str] = ()) -> None:
        """Note that a member asks for a report, and who claims some names; `answer` tells it whether it gets one."""
        self._asking[session] = None
        if _may_observe(session):
            for name in claimed:
                if len(self._claimed) < control.REPORT_CLAIMED_MAX:
                    self._claimed[name] = None

    def on_end(self, session: Session) -> None:
        """Note that a session is over."""
        self._asking.pop(session, None)

    def is_due(self, now: float) -> bool:
        """Whether to call `answer`."""
        return bool(self._asking) and now >= self._report_at

    def answer(self, now: float) -> None:
        """Send one report to each member that has asked since the last tick, however often it asked."""
        observers, self._asking = self._asking, {}
        claimed, self._claimed = self._claimed, {}
        sent_ms, report_ = now_ms(now), b""
        denial = control.encode_control(control.Report(broker=self._peering.own.name, denied=True), sent_ms)
        for session in observers:
            if _may_observe(session):
                if not report_:
                    report_ = control.encode_control(self.report(now, claimed), sent_ms)
                    rows = len(self._sessions) + len(self._dispatcher.services)
                    self._report_at = now + self._tick_s * rows / REPORT_ROWS_PER_TICK
                self._outgoing.send(session, report_)
            else:
                self._counters["denied"] += 1
                self._refusals.note(Refused.OBSERVE, session.member.name, now)
                self._outgoing.send(session, denial)

    def report(self, now: float, claimed: Iterable[str] = ()) -> control.Report:
        """Return the broker's state for an observer, and who claims some names by tokens."""
        return report(
            self._peering.own.name,
            self._sessions.values(),
            self._dispatcher,
            self._brokers(now),
            self._counters | {f"gossip_{name}": count for name, count in self._peering.membership.counters.items()},
            refusals=self._refusals.rows(now),
            losses=self._losses.rows({session.member.name for session in self._sessions.values()}, now),
            lag=self._lag.status(now),
            registry=None if self._registrar is None else self._registrar.status(claimed, now),
            software=self._software,
            uptime_s=now - self._started_at,
            now=now,
        )

    def _brokers(self, now: float) -> list[control.PeerStatus]:
        rows = [self._own_row(now), *self._peering.rows(now)]
        if self._registrar is None:
            return rows
        versions = self._registrar.versions
        return [structs.replace(row, registry=versions.get(row.name, 0)) for row in rows]

    def _own_row(self, now: float) -> control.PeerStatus:
        own, about = self._peering.membership, self._announcements.about()
        return control.PeerStatus(
            self._peering.own.name,
            own.state,
            incarnation=own.incarnation,
            since_ms=int((now - own.since) * 1000),
            nodes=about.nodes,
            in_flight=about.in_flight,
            queued=about.queued,
            services=len(about.services),
            operations=self._operations.rows(now),
        )


def _may_observe(session: Session) -> bool:
    return session.member.observe or session.member.role is Role.BROKER
