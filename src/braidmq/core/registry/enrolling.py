"""Members that tokens make: who asks a broker for admission, and what brokers tell each other of it."""

from collections.abc import Iterable
from typing import Final, Protocol

from braidmq.core.events.log import EventLog
from braidmq.core.events.registry import Enrolled, EnrolmentRefused, TokenTrouble
from braidmq.core.registry.source import Key
from braidmq.wire.kinds import Control
from braidmq.wire.limits import TEXT_CHARS_MAX
from braidmq.wire.registry import ENROLMENTS_TOLD_MAX, Enrol, EnrolmentRow
from braidmq.wire.registry import Enrolled as EnrolledMessage

LOOK_S: Final = 10.0
"""How often it is looked who was seen, and who was gone for too long: a small part of the shortest time that counts."""

MESSAGES_PER_LOOK: Final = 4
"""Messages of enrolments to one broker at a time: others have their turn between them."""

TELL_PAUSE_S: Final = 0.04
"""How long it is until the next ones: whoever hears them checks a signature for each row, and one that meets this
broker again and again is told all of it each time. The 16,384 that there can be take some seconds."""


class Verdict(Protocol):
    """What has become of an enrolment that a token's holder has handed in."""

    @property
    def name(self) -> str:
        """The name of the new member, as far as it is known."""

    @property
    def refusal(self) -> str:
        """Why it is refused, and what to do; empty if it is not."""

    @property
    def new(self) -> bool:
        """Whether there is one member more."""


class News(Protocol):
    """What the enrolments of another broker have brought."""

    @property
    def lost(self) -> bool:
        """Whether somebody is no member any more, or by another enrolment."""

    @property
    def troubles(self) -> tuple[str, ...]:
        """What people have to be told: tokens that were used too often, names that two keys claim, lies."""


class Roll(Protocol):
    """Who was enrolled by tokens. All times are Unix seconds, of the net."""

    @property
    def revision(self) -> int:
        """Grows with every change."""

    def admit(self, enrolment: bytes, unix_s: float) -> Verdict:
        """Handle an enrolment of somebody who holds a token. Raises ProtocolError."""

    def merge(self, rows: Iterable[tuple[bytes, int]], unix_s: float) -> News:
        """Handle what another broker knows. Raises ProtocolError."""

    def rows_since(self, revision: int, most: int) -> tuple[list[tuple[bytes, int]], int]:
        """Return what has changed since a revision, oldest first, and the revision to go on from."""

    def seen(self, principal: str, unix_s: float) -> None:
        """Note that a member is there."""

    def expire(self, unix_s: float) -> bool:
        """Drop members that were gone for too long; return whether there were any."""


class EnrolmentCore:
    """The enrolments at one broker.

    Inputs: `on_met`, `on_gone`, `on_enrol`, `on_enrolled`, `on_timer`. Outputs: `take_sends`, `events`, `due_at`.

    Attributes:
        events: what is worth a line in the log.
        due_at: when `on_timer` is due.
        lost: whether somebody is no member any more since its owner has looked last.

    Args:
        roll: who was enrolled.
        now: the time.
    """

    __slots__ = ("_look_at", "_roll", "_sends", "_tell_at", "_told", "due_at", "events", "lost")

    def __init__(self, roll: Roll, now: float) -> None:
        self.events = EventLog()
        self.due_at = now + LOOK_S
        self.lost = False
        self._look_at = now + LOOK_S
        self._tell_at = now
        self._roll = roll
        self._told: dict[str, int] = {}
        self._sends: list[tuple[Key, Control]] = []

    def take_sends(self) -> list[tuple[Key, Control]]:
        """Return the messages that are due: to brokers by their names, to sessions by their routes."""
        sends, self._sends = self._sends, []
        return sends

    def on_met(self, name: str, now: float) -> None:
        """Note that there is a session with another broker: it is to hear of all that there is."""
        self._told[name] = 0
        self._tell(now)

    def on_gone(self, name: str) -> None:
        """Note that there is none any more."""
        self._told.pop(name, None)

    def on_enrol(self, route: bytes, holder: str, message: Enrol, unix_s: float, now: float) -> bool:
        """Handle that the holder of a token asks for admission; return whether there is one member more.

        Raises:
            ProtocolError: it is no enrolment.
        """
        verdict = self._roll.admit(message.enrolment, unix_s)
        if verdict.new:
            self.events.add(Enrolled(verdict.name, holder))
        elif verdict.refusal:
            self.events.add(EnrolmentRefused(holder, verdict.refusal))
        self._sends.append((route, EnrolledMessage([], verdict.refusal[:TEXT_CHARS_MAX])))
        self._tell(now)
        return verdict.new

    def on_enrolled(self, name: str, message: EnrolledMessage, unix_s: float, now: float) -> None:
        """Handle what another broker knows. Raises ProtocolError."""
        news = self._roll.merge([(row.enrolment, row.seen_s) for row in message.rows], unix_s)
        self.lost = self.lost or news.lost
        for trouble in news.troubles:
            self.events.add(TokenTrouble(name, trouble))
        self._tell(now)

    def on_timer(self, present: Iterable[str], unix_s: float, now: float) -> None:
        """Do what is due; `present` are the keys of the nodes that are connected."""
        self.events.on_timer(now)
        if now >= self._look_at:
            self._look_at = now + LOOK_S
            for principal in present:
                self._roll.seen(principal, unix_s)
            self.lost = self._roll.expire(unix_s) or self.lost
        self._tell(now)

    def validate_state(self) -> None:
        """Assert what must hold between two inputs. For tests and the simulator."""
        assert all(0 <= told <= self._roll.revision for told in self._told.values())
        self.events.validate_state()

    def _tell(self, now: float) -> None:
        """Tell the other brokers what they have not heard yet, some of it at a time."""
        newest = self._roll.revision
        behind = [name for name, told in self._told.items() if told < newest]
        if behind and now >= self._tell_at:
            self._tell_at = now + TELL_PAUSE_S
            for name in behind:
                for _ in range(MESSAGES_PER_LOOK):
                    if not self._tell_one(name):
                        break
        behind = [name for name, told in self._told.items() if told < newest]
        self.due_at = min(self._look_at, self._tell_at) if behind else self._look_at

    def _tell_one(self, name: str) -> bool:
        """Tell another broker the next rows; return whether there were any."""
        rows, revision = self._roll.rows_since(self._told[name], ENROLMENTS_TOLD_MAX)
        self._told[name] = revision if rows else self._roll.revision
        if rows:
            self._sends.append((name, EnrolledMessage([EnrolmentRow(blob, seen_s) for blob, seen_s in rows])))
        return bool(rows)
