"""Time and sessions: who is silent, who has to hear a word, and who is done with a broker that drains."""

from typing import Final

from braidmq.core.broker.dispatch import Dispatcher
from braidmq.core.broker.lag import Lag
from braidmq.core.broker.losses import Losses
from braidmq.core.broker.outgoing import Outgoing
from braidmq.core.broker.session_life import SessionLife
from braidmq.core.broker.transit import Session, SessionState
from braidmq.core.events.broker import SessionSilent
from braidmq.core.events.log import EventLog
from braidmq.core.liveness import Looks
from braidmq.members import Role
from braidmq.wire import control
from braidmq.wire.envelope import now_ms

GUEST_S_MAX: Final = 3.0
"""The log has nodes that provide no service only once they have stayed for so long: a call from the command line is
nothing that anybody wants to read of."""

LOOKS_PER_TICK: Final = 500
"""Sessions that are looked at in one tick, a quarter of a percent of a core: with more of them each is looked at less
often, with 10,000 every 0.8 s."""

SLOWER: Final = 1.25
"""By how much the heartbeat interval for so many nodes has to exceed that of a session before the node is told."""

ENDED_PER_TICK: Final = 50
"""Sessions that a draining broker ends in one tick: one per millisecond, so that not all nodes turn to the others at
one instant."""


class Watch:
    """Looks after the sessions of one broker, once in each tick.

    `notice_stall` comes before what was read is handled, so that a broker that stood still takes nobody for silent;
    then `on_tick`; `end_sessions` last, while the broker drains. `sessions` is the broker's own table.

    Args:
        looks: when they are due.
        lag: is told how late they come.
    """

    __slots__ = (
        "_counters", "_dispatcher", "_events", "_lag", "_life", "_looks", "_losses", "_outgoing", "_round", "_sessions",
    )  # fmt: skip

    def __init__(
        self,
        sessions: dict[bytes, Session],
        dispatcher: Dispatcher,
        life: SessionLife,
        outgoing: Outgoing,
        *,
        counters: dict[str, int],
        events: EventLog,
        losses: Losses,
        looks: Looks,
        lag: Lag,
    ) -> None:
        self._sessions = sessions
        self._dispatcher = dispatcher
        self._life = life
        self._outgoing = outgoing
        self._counters = counters
        self._events = events
        self._losses = losses
        self._looks = looks
        self._lag = lag
        self._round: list[Session] = []

    def notice_stall(self, now: float) -> None:
        """Take the time in which this process has stood still off the silence of others."""
        self._lag.note(now - self._looks.due_at, now)
        self._looks.begin(now)
        if self._looks.stalled_s:
            for session in self._sessions.values():
                self._looks.excuse(session, now)

    def on_tick(self, now: float) -> None:
        """Look who is silent, and say a word to whoever has not heard one."""
        silent, self._dispatcher.silent = self._dispatcher.silent, []
        for session in silent:
            if self._sessions.get(session.route) is session:
                self._life.set_state(session, SessionState.SUSPECT, now)
        heartbeat = control.encode_control(control.Heartbeat(), now_ms(now))
        interval_s = self._life.heartbeat_s()
        dead = []
        for session in self._next_ones():
            if not session.told and now - session.began_at >= GUEST_S_MAX:
                self._life.tell_of(session)
            silent_s, limits = now - session.heard_at, session.silence
            if silent_s > limits.suspect_s:
                if silent_s > limits.dead_s:
                    dead.append(session)
                    continue
                self._life.set_state(session, SessionState.SUSPECT, now)
            if now >= session.beat_at:
                # Twice per interval: what was said just after one beat covers the next, and no more.
                session.beat_at = now + session.heartbeat_s / 2
                if session.paced and interval_s > SLOWER * session.heartbeat_s:
                    self._life.slow_down(session, interval_s, now)
                elif session.spoke:
                    session.spoke = False
                else:
                    self._outgoing.send(session, heartbeat)
        for session in dead:
            self._counters["sessions_dead"] += 1
            self._events.add(SessionSilent(session.member.name, now - session.heard_at))
            self._losses.note(session, now, silent=True)
            self._life.end(session, now)
            self._life.turn_away(session.route, "no-session", "you were silent for too long", now)

    def _next_ones(self) -> list[Session]:
        """Return the sessions to look at in this tick: all, or in a large net the next ones of a round."""
        if len(self._sessions) <= LOOKS_PER_TICK:
            self._round.clear()
            return list(self._sessions.values())
        if not self._round:
            self._round = list(self._sessions.values())
        found = self._round[-LOOKS_PER_TICK:]
        del self._round[-LOOKS_PER_TICK:]
        return [session for session in found if self._sessions.get(session.route) is session]

    def end_sessions(self, now: float) -> None:
        """End the sessions that are done with this draining broker.

        Those of workers end once nothing can need them, those of other brokers last, so that these hear of it until
        the end.
        """
        busy = any(session.requests for session in self._sessions.values())
        nodes = [session for session in self._sessions.values() if session.member.role is Role.NODE]
        done = [
            session
            for session in nodes or self._sessions.values()
            if session.noted and not session.requests and not (busy and (session.offers or session.assigned))
        ]
        for session in done[:ENDED_PER_TICK]:
            self._outgoing.send_control(session, control.Goodbye("ended"), now)
            self._life.forget(session, now)
            self._life.note_stranger(session.route)  # what it says until it has read that needs no answer
