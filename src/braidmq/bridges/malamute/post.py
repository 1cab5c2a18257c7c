"""Brings mail to programs: to the one that has asked, to the newest under its address, or into the mailbox."""

from braidmq.bridges.malamute import wire
from braidmq.bridges.malamute.mailboxes import Letter, Mailboxes
from braidmq.bridges.malamute.sessions import BRIDGE, Session, Sessions


class Post:
    """All mail of one bridge.

    Args:
        sessions: whom it can be brought to.
        counters: see BridgeCore; `mail` and `mail_dropped` are counted here.
    """

    def __init__(self, sessions: Sessions, counters: dict[str, int]) -> None:
        self._sessions = sessions
        self._counters = counters
        self._mailboxes = Mailboxes(counters)

    def answer(self, session: Session, letter: Letter, now: float) -> None:
        """Bring an answer to the program that has asked, as long as it is there; then as any mail."""
        if session.opened and session.address == letter.message.address:
            self._bring(session, letter, now)
        else:
            self.send(letter, now)

    def send(self, letter: Letter, now: float) -> None:
        """Bring mail to the newest program under its address, behind what is kept for it; keep it if there is none."""
        if letter.message.address in (b"", BRIDGE):
            self._counters["mail_dropped"] += 1
            return
        session = self._sessions.newest(letter.message.address)
        if session is None or letter.message.address in self._mailboxes:
            self._mailboxes.keep(letter, now)
        else:
            self._bring(session, letter, now)

    def hand_out(self, session: Session, now: float) -> None:
        """Bring a program what is kept for it."""
        if session.address in self._mailboxes:
            for letter in self._mailboxes.take(session.address):
                self._bring(session, letter, now)

    def on_unsent(self, message: wire.Message, now: float) -> None:
        """Keep mail that could not leave: its program reads it later, or is another one by then."""
        if message.address:
            self._mailboxes.keep(Letter(message), now)
        else:
            self._counters["mail_dropped"] += 1

    def on_timer(self, now: float) -> None:
        """Drop what was kept for too long."""
        self._mailboxes.drop_old(now)

    def next_deadline(self) -> float | None:
        """Return when `on_timer` has something to do."""
        return self._mailboxes.next_deadline()

    def _bring(self, session: Session, letter: Letter, now: float) -> None:
        self._counters["mail"] += 1
        self._sessions.deliver(session, wire.frames_of(letter.message), now)

    def validate_state(self) -> None:
        """Assert that the books are right. For tests."""
        self._mailboxes.validate_state()
