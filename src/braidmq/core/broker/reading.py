"""The messages of sessions, each to whoever handles its kind. None of them raises: it ends its session at most."""

from braidmq.core.broker.controls import Controls
from braidmq.core.broker.dispatch import Dispatcher
from braidmq.core.broker.guard import Guard
from braidmq.core.broker.key_usage import OFFENCES_MAX
from braidmq.core.broker.session_life import SessionLife
from braidmq.core.broker.transit import Session, SessionState
from braidmq.core.containment import shape_of
from braidmq.core.intake import Intake
from braidmq.errors import ProtocolError
from braidmq.wire.envelope import (
    CANCEL,
    COMMAND_AT,
    CONTROL_FIRST,
    LOST,
    MAJOR,
    REJECT,
    RENEW,
    REPLY,
    REQUEST,
    SENT_AT,
    SENT_END,
    VERSION_AT,
    WORKING,
    major_of,
)


class Reading:
    """Reads what has come of the sessions of one broker. `sessions` is the broker's own table."""

    __slots__ = ("_controls", "_dispatcher", "_guard", "_intake", "_life", "_sessions")

    def __init__(
        self,
        sessions: dict[bytes, Session],
        dispatcher: Dispatcher,
        controls: Controls,
        life: SessionLife,
        guard: Guard,
        *,
        intake: Intake[Session],
    ) -> None:
        self._sessions = sessions
        self._dispatcher = dispatcher
        self._controls = controls
        self._life = life
        self._guard = guard
        self._intake = intake

    def read(self, session: Session, messages: list[bytes], intact: bool, now: float) -> None:
        """Handle messages that stood in one frame, one behind the other."""
        message = b""
        try:
            sent, age_s = b"", 0.0
            if len(messages) > 1:  # the last one was written last
                session.staleness.age_s(int.from_bytes(messages[-1][SENT_AT:SENT_END]), now)
            for message in messages:
                if message[SENT_AT:SENT_END] != sent:  # the first one, or one added to what waited for a full pipe
                    sent = message[SENT_AT:SENT_END]
                    age_s = session.staleness.age_s(int.from_bytes(sent), now)
                self._on_message(session, message, age_s, now)
            if not intact:
                self._guard.on_malformed(session, "a frame that is no bundle", now)
            if session.state is SessionState.SUSPECT:  # after its messages: it may take back its credit, or leave
                self._life.set_state(session, SessionState.OPEN, now)
            if session.usage.offences > OFFENCES_MAX:
                self._guard.bar(session.usage.principal, session.member, "keeps sending what is not BRAID/1", now)
        except Exception as error:  # noqa: BLE001 - see containment.py
            self._guard.contain(session, error, f"a message ({shape_of(message)}) of", now)

    def read_on(self, now: float) -> None:
        """Handle what waits of the frames that have come, as much as may be done in one turn."""
        for session, messages, intact in self._intake.portions():
            if self._sessions.get(session.route) is not session:
                continue  # it has ended meanwhile
            if messages or not intact:
                self.read(session, messages, intact, now)
            else:
                self._guard.on_gone(session, now)

    def _on_message(self, session: Session, message: bytes, age_s: float, now: float) -> None:
        command = message[COMMAND_AT]
        if message[VERSION_AT] >> 4 != MAJOR:
            self._guard.on_malformed(session, f"a message of major version {major_of(message)}", now)
            return
        try:
            if command == REQUEST:
                self._dispatcher.on_request(session, message, age_s, now)
            elif command in (REPLY, WORKING, REJECT, LOST):
                self._dispatcher.on_answer(session, command, message, now)
            elif command == CANCEL:
                self._dispatcher.on_cancel(session, message, now)
            elif command == RENEW:
                self._dispatcher.on_renew(session, message, now)
            elif command >= CONTROL_FIRST:
                self._controls.on_control(session, command, message, now)
        except ProtocolError as error:
            self._guard.on_malformed(session, str(error), now)
