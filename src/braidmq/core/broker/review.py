"""Another registry is in force: what each member is and may do is looked up anew, some at a time."""

from itertools import islice
from typing import Final

from braidmq.core.broker.guard import Guard
from braidmq.core.broker.registrar import Registrar
from braidmq.core.broker.session_life import SessionLife
from braidmq.core.broker.transit import Session
from braidmq.members import Role

REVIEWED_PER_TURN: Final = 1_000
"""Sessions that are looked at before others have their turn: 3 ms of work, or 8 ms if all of them end."""


class Review:
    """Lets sessions know of another registry.

    `begin` is for a registry that has come into force, `go_on` for those that are left. Nobody goes by the old one
    meanwhile: `catch_up` comes before whatever a member says. `sessions` is the broker's own table.

    Attributes:
        left: the sessions that were not looked at yet.
        due_at: when `go_on` is due, if there are any.
    """

    __slots__ = ("_guard", "_life", "_registrar", "_sessions", "due_at", "left")

    def __init__(
        self, sessions: dict[bytes, Session], life: SessionLife, guard: Guard, registrar: Registrar | None, now: float
    ) -> None:
        self.left: dict[Session, None] = {}
        self.due_at = now
        self._sessions = sessions
        self._life = life
        self._guard = guard
        self._registrar = registrar

    def begin(self, now: float) -> None:
        """Look at the first sessions, and at those of all brokers: what follows for these concerns the whole net."""
        self.left = dict.fromkeys(self._sessions.values())
        first = list(islice(self.left, REVIEWED_PER_TURN))
        first += [each for each in islice(self.left, REVIEWED_PER_TURN, None) if each.member.role is Role.BROKER]
        for session in first:
            self._look_at(session, now)
        if self._registrar is not None:
            self._registrar.on_registry(now)
        self._tell(first, now)

    def go_on(self, now: float) -> None:
        """Look at the next ones."""
        some = list(islice(self.left, REVIEWED_PER_TURN))
        for session in some:
            self._look_at(session, now)
        self._tell(some, now)

    def catch_up(self, session: Session, now: float) -> bool:
        """Look at one session whose member says something; return whether there still is one."""
        if session in self.left:
            self._look_at(session, now)
            self._tell([session], now)
        return self._sessions.get(session.route) is session

    def _look_at(self, session: Session, now: float) -> None:
        self.left.pop(session, None)
        if self._sessions.get(session.route) is not session:  # it has ended meanwhile
            return
        try:
            self._life.on_rights(session, now)
        except Exception as error:  # noqa: BLE001 - see containment.py
            self._guard.contain(session, error, "the new rights of", now)

    def _tell(self, sessions: list[Session], now: float) -> None:
        """Let members hear what is new for them."""
        self.due_at = now
        if self._registrar is not None:
            for session in sessions:
                if self._sessions.get(session.route) is session:
                    self._registrar.tell_of_change(session, now)
            self._registrar.pass_on(now)
