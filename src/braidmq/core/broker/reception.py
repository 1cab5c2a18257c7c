"""Who says HELLO to a broker, and whether it is let in."""

from typing import Final, Literal

from braidmq.core.broker.dispatch import Dispatcher
from braidmq.core.broker.guard import Guard
from braidmq.core.broker.key_usage import KeyUsage
from braidmq.core.broker.refusals import Refusals, Refused
from braidmq.core.broker.session_life import WHY_NONE, SessionLife
from braidmq.core.broker.transit import Session
from braidmq.core.events.broker import SessionRefused, TwinFound
from braidmq.core.events.log import EventLog
from braidmq.core.membership.peering import PeeringCore
from braidmq.errors import ProtocolError
from braidmq.members import Directory, Member, Role, Standing
from braidmq.observer import BrokerObserver
from braidmq.settings import Settings
from braidmq.wire import control
from braidmq.wire.bundle import split_some
from braidmq.wire.envelope import MAJOR, command_of, major_of
from braidmq.wire.limits import ROUTE_BYTES

TWIN_S_MAX: Final = 90.0
"""How long another process of the same key counts as running after it was met: some of the looks that brokers take."""

_HELLO: Final = control.Hello.NUMBER

_NO_MEMBER: Final = {
    Standing.MEMBER: Refused.UNJUDGED,
    Standing.UNKNOWN: Refused.UNKNOWN,
    Standing.REMOVED: Refused.REMOVED,
    Standing.REVOKED: Refused.REVOKED,
    Standing.EXPIRED: Refused.EXPIRED,
}


class Reception:
    """Handles the first frame of a route that has no session.

    `meet` returns the new session, for which the same frame is to be handled, or None if the route was turned away.
    `sessions` is the broker's own table.

    Args:
        process: tells this process from another one that runs with the same key.
    """

    __slots__ = (
        "_counters", "_directory", "_dispatcher", "_events", "_guard", "_life", "_observer", "_peering",
        "_process", "_refusals", "_sessions", "_settings", "_twin", "_twin_at",
    )  # fmt: skip

    def __init__(
        self,
        peering: PeeringCore,
        settings: Settings,
        directory: Directory,
        *,
        sessions: dict[bytes, Session],
        dispatcher: Dispatcher,
        life: SessionLife,
        guard: Guard,
        counters: dict[str, int],
        events: EventLog,
        refusals: Refusals,
        process: str,
        now: float,
        observer: BrokerObserver | None = None,
    ) -> None:
        self._peering = peering
        self._observer = observer
        self._settings = settings
        self._directory = directory
        self._sessions = sessions
        self._dispatcher = dispatcher
        self._life = life
        self._guard = guard
        self._counters = counters
        self._events = events
        self._refusals = refusals
        self._process = process
        self._twin = ""
        self._twin_at = now

    def meet(self, route: bytes, principal: str, frame: bytes, now: float) -> Session | None:
        """Begin a session, if that is what the first message of a frame asks for."""
        messages, _, _ = split_some(frame, 0, 1)
        if not messages or command_of(messages[0]) != _HELLO:
            self._turn_away(route, "no-session", "say HELLO first", now)
            return None
        member = self._directory.member(principal)
        major = major_of(messages[0])
        if major != MAJOR:
            who = _who(principal, member)
            if self._turn_away(route, "no-session", f"this broker speaks BRAID/{MAJOR}, and not BRAID/{major}", now):
                self._refusals.note(Refused.VERSION, who, now, what=f"BRAID/{major}")
            return None
        hello = _hello_in(messages[0])
        if hello is not None and hello.asks and member is not None:
            self._hand_over(route, principal, member, now)
            return None
        if member is not None and member.role is Role.BROKER and self._is_itself(principal, member):
            self._meet_itself(route, hello, now)
            return None
        return self._welcome(route, principal, now)

    def _hand_over(self, route: bytes, principal: str, member: Member, now: float) -> None:
        """Hand a member its papers, once for each connection; it may come for them as often as for a session."""
        if route in self._life.strangers:
            self._turn_away(route, "refused", "they were handed over already", now)
        elif self._guard.bars.count_session(principal, now):
            self._life.hand_over(route, principal, now)
        else:
            self._guard.bar(principal, member, "asks for its certificate too often", now)
            self._guard.cuts.append(route)

    def _welcome(self, route: bytes, principal: str, now: float) -> Session | None:
        member = self._directory.member(principal)
        usage = self._life.usages.get(principal) or KeyUsage(principal, now)
        if self._dispatcher.draining:
            self._turn_away(route, "ended", "this broker is about to stop", now)
            return None
        if member is not None and not self._guard.bars.count_session(principal, now):
            self._guard.bar(principal, member, "begins sessions too often", now)
            self._guard.cuts.append(route)
            return None
        kind, why = self._why_refused(route, usage, member, now)
        if kind is not None or member is None:
            self._counters["sessions_refused"] += 1
            who = _who(principal, member)
            if kind is not None:
                self._refusals.note(kind, who, now, what=why, quiet=True)
            if self._turn_away(route, "refused", why, now):
                self._events.add(SessionRefused(who, why))
                if self._observer is not None:
                    self._observer.on_session_refused(who, why, now)
            return None
        return self._life.begin(route, usage, member, now)

    def on_tick(self, now: float) -> None:
        """Forget another process of this broker's key that was not met for long."""
        if self._twin and now - self._twin_at > TWIN_S_MAX:
            self._twin = ""
            self._counters["twins"] = 0

    def _is_itself(self, principal: str, member: Member) -> bool:
        """Whether a key is this broker's own: it may be registered by another name than that of a moment ago."""
        return member.name == self._peering.own.name or principal in self._peering.principals

    def _meet_itself(self, route: bytes, hello: control.Hello | None, now: float) -> None:
        """Refuse this broker's own key, and say who is here: perhaps another process runs with its join file."""
        other = "an unknown one" if hello is None else hello.software
        if other != self._process:
            self._counters["twins"] = 1
            self._twin_at = now
            if other != self._twin:
                self._twin = other
                self._events.add(TwinFound(self._peering.own.name, other))
        self._turn_away(route, "refused", self._process, now)

    def _turn_away(
        self, route: bytes, reason: Literal["ended", "no-session", "refused"], text: str, now: float
    ) -> bool:
        """Tell a route why it has no session; return whether that was now. Who goes on for long is cut."""
        if self._life.turn_away(route, reason, text, now):
            return True
        if self._life.has_gone_on(route):
            self._guard.cuts.append(route)
        return False

    def _why_refused(
        self, route: bytes, usage: KeyUsage, member: Member | None, now: float
    ) -> tuple[Refused | None, str]:
        settings = self._settings
        if member is None:
            standing = self._directory.standing(usage.principal)
            return _NO_MEMBER[standing], WHY_NONE[standing]
        if barred_s := self._guard.bars.left_s(usage.principal, now):
            return Refused.BARRED, f"this key is barred for another {barred_s:.0f} s"
        if len(route) != ROUTE_BYTES or not route[0]:
            return Refused.ROOM, f"a routing id must be {ROUTE_BYTES} bytes, the first not 0"
        if len(self._sessions) >= settings.nodes_max:
            return Refused.ROOM, f"nodes_max={settings.nodes_max} is reached: add brokers, or raise it here"
        if usage.sessions >= settings.connections_per_key_max:
            most = settings.connections_per_key_max
            why = (
                f"connections_per_key_max={most} is reached: give each process a join file of its own, or raise it here"
            )
            return Refused.THRONG, why
        return None, ""


def _who(principal: str, member: Member | None) -> str:
    return f"key {principal[:16]}..." if member is None else member.name


def _hello_in(message: bytes) -> control.Hello | None:
    """Return the HELLO in a message, or None if it is malformed."""
    try:
        received = control.decode_control(message)
    except ProtocolError:
        return None
    return received if isinstance(received, control.Hello) else None
