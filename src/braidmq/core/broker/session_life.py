"""How sessions begin, change and end, and who else has to hear of it; and the routes that have none."""

from collections.abc import Container
from typing import Final, Literal

from braidmq.core.broker.announcements import Announcements
from braidmq.core.broker.dispatch import Dispatcher
from braidmq.core.broker.key_usage import KEY_IN_FLIGHT_FACTOR, KeyUsage
from braidmq.core.broker.observers import Observers
from braidmq.core.broker.operations import Operations
from braidmq.core.broker.outgoing import Outgoing
from braidmq.core.broker.registrar import Registrar
from braidmq.core.broker.transit import Session, SessionState
from braidmq.core.events.broker import HelloCame, SessionBegun, SessionStateChanged
from braidmq.core.events.log import EventLog
from braidmq.core.intake import Intake
from braidmq.core.liveness import silence_of
from braidmq.core.membership.peering import PeeringCore
from braidmq.core.send_queue import SendQueue
from braidmq.members import Directory, Member, Role, Standing
from braidmq.observer import BrokerObserver
from braidmq.settings import Settings
from braidmq.wire import control
from braidmq.wire.limits import TEXT_CHARS_MAX

NODES_PER_HEARTBEAT_S: Final = 1_000
"""Above this many nodes the heartbeat interval grows with their number, so that a broker spends at most some
percent of a core on heartbeats."""

STRANGERS_MAX: Final = 1_024
"""Routes without a session that were told so; they are told once."""

STRANGER_FRAMES_MAX: Final = 1_000
"""Frames of such a route until it is cut: more than can be under way when an honest member is told."""

WHY_NONE: Final = {
    Standing.MEMBER: "the registry does not say who holds the key",
    Standing.UNKNOWN: "the key is not registered",
    Standing.REMOVED: "the key was removed from the registry",
    Standing.REVOKED: "the key was revoked",
    Standing.EXPIRED: "the certificate has expired",
}
"""What is told to whoever has a key that is no member's."""

WHY_NO_LONGER: Final = WHY_NONE | {Standing.UNKNOWN: "the key is no longer registered"}
"""The same, where it was a member's until now."""


class SessionLife:
    """Begins and ends sessions, and tells whoever has to know, in order.

    `begin` is for a member that was let in; `end` gives what was not sent to others, and then does what `forget` does
    for a session with nothing to send; `discard` is for one that cannot even be ended. `sessions` is the broker's own
    table.

    Attributes:
        usages: what each connected key holds here.
        strangers: routes without a session that were told so, and how many frames have come of each since.
        unix_ahead_s: what to add to the time for that of the system's clock, in seconds since 1970; None if it is not
            known.
        registry: the version of the registry that is in force; 0 if it is not known.
    """

    __slots__ = (
        "_announcements",
        "_counters",
        "_directory",
        "_dispatcher",
        "_events",
        "_intake",
        "_observer",
        "_observers",
        "_operations",
        "_outgoing",
        "_peering",
        "_registrar",
        "_send_queue",
        "_sessions",
        "_settings",
        "_software",
        "registry",
        "strangers",
        "unix_ahead_s",
        "usages",
    )  # fmt: skip

    def __init__(
        self,
        settings: Settings,
        directory: Directory,
        peering: PeeringCore,
        *,
        sessions: dict[bytes, Session],
        intake: Intake[Session],
        dispatcher: Dispatcher,
        announcements: Announcements,
        observers: Observers,
        operations: Operations,
        send_queue: SendQueue[bytes],
        outgoing: Outgoing,
        counters: dict[str, int],
        events: EventLog,
        software: str,
        observer: BrokerObserver | None = None,
        registrar: Registrar | None = None,
    ) -> None:
        self._observer = observer
        self._registrar = registrar
        self._settings = settings
        self._directory = directory
        self._peering = peering
        self._sessions = sessions
        self._intake = intake
        self._dispatcher = dispatcher
        self._announcements = announcements
        self._observers = observers
        self._operations = operations
        self._send_queue = send_queue
        self._outgoing = outgoing
        self._counters = counters
        self._events = events
        self._software = software
        self.usages: dict[str, KeyUsage] = {}
        self.strangers: dict[bytes, int] = {}
        self.unix_ahead_s: float | None = None
        self.registry = 0

    def begin(self, route: bytes, usage: KeyUsage, member: Member, now: float) -> Session:
        """Begin a session, and tell its member what there is."""
        heartbeat_s = self.heartbeat_s()
        silence = silence_of(self._settings, heartbeat_s)
        session = self._sessions[route] = Session(route, usage, member, silence, heartbeat_s, now)
        self.usages[usage.principal] = usage
        usage.sessions += 1
        self.strangers.pop(route, None)
        self._counters["sessions"] += 1
        if self._observer is not None:
            self._observer.on_session(member.name, member.role.value, now)
        if member.role is Role.BROKER:
            self.tell_of(session)
        else:
            self._events.add(HelloCame(member.name))
        self._outgoing.send_control(session, self._welcome(session, now), now)
        self._announcements.on_welcome(session, now)
        if member.role is Role.BROKER:
            self._peering.on_session(member.name, up=True, now=now)
        return session

    def heartbeat_s(self) -> float:
        """Return the heartbeat interval for as many members as there are."""
        return self._settings.heartbeat_s * max(1.0, len(self._sessions) / NODES_PER_HEARTBEAT_S)

    def slow_down(self, session: Session, heartbeat_s: float, now: float) -> None:
        """Welcome a member again, with a longer heartbeat interval: there are more of them than when it came."""
        session.heartbeat_s = heartbeat_s
        session.silence = silence_of(self._settings, heartbeat_s)
        self._outgoing.send_control(session, self._welcome(session, now), now)

    def _welcome(self, session: Session, now: float) -> control.Welcome:
        return control.Welcome(
            self._peering.own.name,
            session.member.name,
            int(session.heartbeat_s * 1000),
            self._settings.payload_bytes_max,
            self._software,
            0 if self.unix_ahead_s is None else max(0, int((now + self.unix_ahead_s) * 1000)),
            self.registry,
        )

    def on_rights(self, session: Session, now: float) -> None:
        """Look up anew what a member is and may do; cut it off if it is none any more."""
        member = self._directory.member(session.usage.principal)
        if member is None:
            self.end(session, now)
            why = WHY_NO_LONGER[self._directory.standing(session.usage.principal)]
            self.turn_away(session.route, "refused", why, now)
            return
        before = session.member
        if Role.BROKER in (before.role, member.role) and (before.role, before.name) != (member.role, member.name):
            self.end(session, now)  # the other brokers' sessions are counted by their names
            self.turn_away(session.route, "ended", "the key is registered as another member now", now)
            return
        session.member = member
        session.name = member.name.encode()
        self._dispatcher.offers.on_rights(session, now)

    def set_state(self, session: Session, state: SessionState, now: float) -> None:
        """Change how a session stands; one that leaves never comes back."""
        if session.state is state or session.state is SessionState.LEAVING:
            return
        session.state = state
        if self._observer is not None:
            self._observer.on_session_state(session.member.name, state.value, now)
        if state is not SessionState.LEAVING:
            self.tell_of(session)
        self._events.add(SessionStateChanged(session.member.name, state.value, session.told))
        self._dispatcher.offers.on_state(session, now)

    def tell_of(self, session: Session) -> None:
        """Let the log have a session, once."""
        if not session.told:
            session.told = True
            self._events.add(SessionBegun(session.member.name))

    def end(self, session: Session, now: float) -> None:
        """End a session; what was not sent to it goes elsewhere."""
        self._dispatcher.on_unsent(session, self._send_queue.drop(session.route), now)
        self.forget(session, now)

    def forget(self, session: Session, now: float) -> None:
        """Note that a session is over, and nothing waits to be sent to it."""
        self._dispatcher.on_end(session, now)
        del self._sessions[session.route]
        if self._observer is not None:
            self._observer.on_session_end(session.member.name, now)
        self._observers.on_end(session)
        self._operations.on_end(session, now)
        self._announcements.on_end(session)
        if self._registrar is not None:
            self._registrar.on_end(session, now)
        if session.member.role is Role.BROKER:
            self._peering.on_session(session.member.name, up=False, now=now)
        session.usage.sessions -= 1
        if not session.usage.sessions:
            self._intake.drop(session.usage.inlet)
            del self.usages[session.usage.principal]

    def discard(self, session: Session, now: float) -> None:
        """Forget a session that could not be ended in order."""
        if self._sessions.pop(session.route, None) is not None and self._observer is not None:
            self._observer.on_session_end(session.member.name, now)
        self._observers.on_end(session)
        self._operations.on_end(session, now)
        self._announcements.on_end(session)
        if self._registrar is not None:
            self._registrar.on_end(session, now)
        session.state = SessionState.LEAVING

    # -- strangers

    def hand_over(self, route: bytes, principal: str, now: float) -> None:
        """Hand a member its certificate and the list of brokers, once, without a session."""
        if self._registrar is None:
            self.turn_away(route, "refused", "this broker hands over no certificates", now)
            return
        for message in self._registrar.papers_of(principal):
            self._send_queue.put_control(route, message, now)
        self.turn_away(route, "ended", "that is all", now)

    def turn_away(self, route: bytes, reason: Literal["ended", "no-session", "refused"], text: str, now: float) -> bool:
        """Tell a route why it has no session, once; return whether that was now."""
        if route in self.strangers:
            return False
        self.note_stranger(route)
        self._send_queue.put_control(route, control.Goodbye(reason, text[:TEXT_CHARS_MAX]), now)
        return True

    def has_gone_on(self, route: bytes) -> bool:
        """Note a frame of a route that was turned away; return whether it is one too many."""
        count = self.strangers[route] = self.strangers[route] + 1
        return count == STRANGER_FRAMES_MAX

    def note_stranger(self, route: bytes) -> None:
        """Remember a route that needs no answer."""
        if len(self.strangers) >= STRANGERS_MAX:
            self.strangers.clear()
        self.strangers[route] = 0

    # -- self-check

    def validate_state(self, unreviewed: Container[Session] = ()) -> None:
        """Assert what always holds between two inputs. For tests and the simulator.

        Args:
            unreviewed: sessions whose members may be none any more.
        """
        settings = self._settings
        assert len(self._sessions) <= settings.nodes_max
        assert len(self.strangers) <= STRANGERS_MAX
        assert not self.strangers.keys() & self._sessions.keys()
        held: dict[str, list[Session]] = {}
        for route, session in self._sessions.items():
            assert session.route == route
            assert session.name == session.member.name.encode()
            held.setdefault(session.usage.principal, []).append(session)
        assert self.usages.keys() == held.keys()
        for principal, sessions in held.items():
            usage = self.usages[principal]
            assert all(session.usage is usage for session in sessions)
            requests = [transit for session in sessions for transit in session.requests.values()]
            assert usage.sessions == len(sessions) <= settings.connections_per_key_max
            assert self._directory.member(principal) is not None or any(each in unreviewed for each in sessions)
            assert usage.in_flight == len(requests) <= settings.in_flight_max * KEY_IN_FLIGHT_FACTOR
            queued_bytes = sum(transit.size_bytes for transit in requests if transit.waits)
            assert usage.queued_bytes == queued_bytes <= settings.in_flight_bytes_max
