"""What a broker does about what must not be: errors of its own, and keys that break the rules.

See containment.py and bars.py. Neither costs others more than the session, or the key, that it concerns.
"""

from collections.abc import Callable

from braidmq.core.broker.bars import Bars
from braidmq.core.broker.losses import Losses
from braidmq.core.broker.session_life import SessionLife
from braidmq.core.broker.transit import Session
from braidmq.core.containment import Containment
from braidmq.core.events.broker import KeyBarred, MemberMalformed, SessionEnded
from braidmq.core.events.log import EventLog
from braidmq.members import Member


class Guard:
    """What is done about errors and offences at one broker.

    Steps that concern no single session are taken by `attempt`; for those that do, the caller catches the error and
    says `contain`, which ends the session. `on_malformed` counts an offence, `bar` keeps a key out. `sessions` is the
    broker's own table.

    Attributes:
        bars: the keys that are kept out.
        cuts: the connections that the shell is to end; whoever reads them clears them.
    """

    __slots__ = ("_containment", "_counters", "_events", "_life", "_losses", "_sessions", "bars", "cuts")

    def __init__(
        self,
        sessions: dict[bytes, Session],
        life: SessionLife,
        containment: Containment,
        counters: dict[str, int],
        events: EventLog,
        *,
        losses: Losses,
    ) -> None:
        self._sessions = sessions
        self._life = life
        self._containment = containment
        self._counters = counters
        self._events = events
        self._losses = losses
        self.bars = Bars()
        self.cuts: list[bytes] = []

    def attempt(self, step: Callable[[float], object], now: float) -> None:
        """Take a step that concerns no single session."""
        try:
            step(now)
        except Exception as error:  # noqa: BLE001 - see containment.py
            self._containment.note(error, "a step of this broker failed, and it goes on without")

    def contain(self, session: Session, error: Exception, what: str, now: float) -> None:
        """End the session for which something could not be handled."""
        name = session.member.name
        self._containment.note(error, f"{what} {name} could not be handled, and the session of {name} ends")
        if self._sessions.get(session.route) is not session:
            return
        try:
            self._life.end(session, now)
        except Exception as another:  # noqa: BLE001 - see containment.py
            self._containment.note(another, f"the session of {name} could not be ended in order")
            self._life.discard(session, now)
        self._life.turn_away(session.route, "ended", "the broker has met an error of its own, which its log tells", now)

    def on_gone(self, session: Session, now: float) -> None:
        """The connection of a session is gone, and what has come over it before was read."""
        self._losses.note(session, now, silent=False)
        try:
            self._life.end(session, now)
        except Exception as error:  # noqa: BLE001 - see containment.py
            self.contain(session, error, "the end of", now)
        self._events.add(SessionEnded(session.member.name, session.told))

    def on_malformed(self, session: Session, what: str, now: float) -> None:
        """Count a message that is not BRAID/1 against its key."""
        self._counters["malformed"] += 1
        session.usage.offend(now)
        if not session.warned:
            session.warned = True
            self._events.add(MemberMalformed(session.member.name, what))

    def bar(self, principal: str, member: Member | None, why: str, now: float) -> None:
        """End all that a key has here, and keep it out for some time."""
        lasts_s = self.bars.add(principal, now)
        self._counters["barred"] += 1
        who = f"key {principal[:16]}..." if member is None else member.name
        self._events.add(KeyBarred(who, why, lasts_s))
        for session in [each for each in self._sessions.values() if each.usage.principal == principal]:
            try:
                self._life.end(session, now)
            except Exception as error:  # noqa: BLE001 - see containment.py
                self.contain(session, error, "the end of", now)
            self._life.turn_away(session.route, "refused", f"this key {why}: it is barred for {lasts_s:.0f} s", now)
            self.cuts.append(session.route)
