"""What members with the right to operate ask of a broker: to drain, to take a node out of work, and to put it back.

Each broker decides and remembers for itself; none passes it on. So a broker, of which the others need not think well,
can withhold nothing but its own work from a node. Whoever operates asks all of them: core/node/operating.py.
"""

from collections import deque
from collections.abc import Callable
from typing import Final

from braidmq.core.broker.dispatch import Dispatcher
from braidmq.core.broker.outgoing import Outgoing
from braidmq.core.broker.refusals import Refusals, Refused
from braidmq.core.broker.transit import Session, Withholding
from braidmq.core.events.broker import Operated as Told
from braidmq.core.events.log import EventLog
from braidmq.core.membership.peering import PeeringCore
from braidmq.members import Role
from braidmq.observer import BrokerObserver
from braidmq.wire.operation import (
    DENIED,
    DONE,
    DRAIN,
    NOTHING,
    PUT_BACK,
    REFUSED,
    TAKE_OUT,
    Operate,
    Operated,
    OperationStatus,
    Withheld,
)

OUT_MAX: Final = 1_000
"""Nodes that are out at one time: whoever wants more out drains the broker."""

OUT_KEPT_S: Final = 60.0
"""How long it is remembered that a node is out whose sessions have all ended: its process may come again over another
connection. Another process of it is another matter."""

TOLD_MAX: Final = 16
"""Operations that a report tells of: as many as anybody looks back for; the log has all."""


class _Out:
    """A node that is out.

    Attributes:
        by, since: see Withholding.
        sessions: those that get nothing.
        instances: their processes.
        gone_at: when the last session has ended, if there is none.
    """

    __slots__ = ("by", "gone_at", "instances", "sessions", "since")

    def __init__(self, by: str, since: float) -> None:
        self.by = by
        self.since = since
        self.sessions: dict[Session, None] = {}
        self.instances: set[bytes] = set()
        self.gone_at = since


class Operations:
    """Does what operators ask, at one broker. `sessions` is the broker's own table.

    `on_operate` answers each; `on_hello` and `on_end` follow the sessions of nodes that are out.

    Attributes:
        leaving: whether this broker is to drain, as it was asked to: whoever owns the core then lets it, and ends it.
    """

    __slots__ = (
        "_actions", "_dispatcher", "_done", "_events", "_observer", "_out", "_outgoing", "_peering",
        "_refusals", "_sessions", "leaving",
    )  # fmt: skip

    def __init__(
        self,
        sessions: dict[bytes, Session],
        dispatcher: Dispatcher,
        peering: PeeringCore,
        outgoing: Outgoing,
        *,
        events: EventLog,
        refusals: Refusals,
        observer: BrokerObserver | None = None,
    ) -> None:
        self.leaving = False
        self._sessions = sessions
        self._dispatcher = dispatcher
        self._peering = peering
        self._outgoing = outgoing
        self._events = events
        self._refusals = refusals
        self._observer = observer
        self._out: dict[str, _Out] = {}
        self._done: deque[tuple[float, str, str, str]] = deque(maxlen=TOLD_MAX)
        self._actions: dict[str, Callable[[str, Operate, float], tuple[str, str]]] = {
            DRAIN: self._drain,
            TAKE_OUT: self._take_out,
            PUT_BACK: self._put_back,
        }

    def on_operate(self, session: Session, operate: Operate, now: float) -> None:
        """Do what a member asks, if it may ask for it; answer in any case."""
        member, action = session.member, operate.action
        if not member.operate or member.role is not Role.NODE:
            self._dispatcher.counters["denied"] += 1
            self._refusals.note(Refused.OPERATE, member.name, now, what=f"{action} {operate.name}")
            denial = Operated(operate.number, DENIED, f"{member.name} may not operate")
            self._outgoing.send_control(session, denial, now)
            return
        act = self._actions.get(action)
        outcome, text = (REFUSED, "it does not know how") if act is None else act(member.name, operate, now)
        if outcome == DONE:
            self._done.appendleft((now, action, operate.name, member.name))
            self._events.add(Told(member.name, action, operate.name, text))
            if self._observer is not None:
                self._observer.on_operated(member.name, action, operate.name, now)
        self._outgoing.send_control(session, Operated(operate.number, outcome, text), now)

    def on_hello(self, session: Session, now: float) -> None:
        """Note that a member has said which process it is: one that was out before is so over each connection."""
        out = self._out.get(session.member.name)
        if out is not None and session.withheld is None and session.instance in out.instances:
            self._withhold(session, out, now)

    def on_end(self, session: Session, now: float) -> None:
        """Note that a session is over."""
        if session.withheld is not None:
            for out in self._out.values():
                if session in out.sessions:
                    del out.sessions[session]
                    out.gone_at = now

    def on_tick(self, now: float) -> None:
        """Forget who is gone."""
        for name, out in list(self._out.items()):
            if not out.sessions and now - out.gone_at > OUT_KEPT_S:
                del self._out[name]

    def rows(self, now: float) -> list[OperationStatus]:
        """Return what was done, for a report, the latest first."""
        return [OperationStatus(action, name, by, int((now - at) * 1000)) for at, action, name, by in self._done]

    # -- what there is to do: who asks, what for, and what comes of it, with a word on it

    def _drain(self, _by: str, operate: Operate, _now: float) -> tuple[str, str]:
        own = self._peering.own.name
        if operate.name != own:
            return REFUSED, f"this is {own}, and not {operate.name}"
        if self.leaving or self._dispatcher.draining:
            return DONE, "it drains already"
        if not self._peering.has_company and not operate.force:
            return REFUSED, "it is the last broker that is alive: without it no request gets through; --force does it"
        self.leaving = True
        return DONE, f"it takes no new requests, and ends within {self._dispatcher.settings.drain_s:g} s"

    def _take_out(self, by: str, operate: Operate, now: float) -> tuple[str, str]:
        name = operate.name
        found = [each for each in self._sessions.values() if each.member.name == name]
        if not any(each.member.role is Role.NODE for each in found):
            return NOTHING, f"no node {name} is connected there"
        out = self._out.get(name)
        if out is None:
            if len(self._out) >= OUT_MAX:
                return REFUSED, f"{OUT_MAX:,} nodes are out there: that is as many as can be"
            out = self._out[name] = _Out(by, now)
        for session in found:
            if session.withheld is None:
                self._withhold(session, out, now)
        left = sum(len(each.assigned) for each in found)
        return DONE, "it gets no new work there" + (f"; {left:,} requests are with it" if left else "")

    def _put_back(self, by: str, operate: Operate, now: float) -> tuple[str, str]:
        name = self._known_as(operate.name)
        if name is None:
            return NOTHING, f"{operate.name} was not taken out there"
        for session in self._out.pop(name).sessions:
            self._dispatcher.offers.restore(session, now)
            self._outgoing.send_control(session, Withheld(by), now)
        return DONE, "it gets work there again"

    def _known_as(self, name: str) -> str | None:
        """Return the name by which a node was taken out, which may have another one by now; None if it was not."""
        if name in self._out:
            return name
        for former, out in self._out.items():
            if any(session.member.name == name for session in out.sessions):
                return former
        return None

    def _withhold(self, session: Session, out: _Out, now: float) -> None:
        out.sessions[session] = None
        if session.instance:
            out.instances.add(session.instance)
        self._dispatcher.offers.withhold(session, Withholding(out.by, out.since), now)
        self._outgoing.send_control(session, Withheld(out.by, out=True), now)

    # -- self-check

    def validate_state(self) -> None:
        """Assert what always holds between two inputs. For tests and the simulator."""
        assert len(self._out) <= OUT_MAX
        held = [session for out in self._out.values() for session in out.sessions]
        withheld = {session for session in self._sessions.values() if session.withheld is not None}
        assert set(held) == withheld
        assert len(held) == len(withheld)
