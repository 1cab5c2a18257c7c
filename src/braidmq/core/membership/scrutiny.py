"""How far a broker believes the others: what no honest one would say is not heeded, but counted and told.

Honest brokers may be wrong about one another, which SWIM puts right. But a liar could do without end what they do
seldom: raise incarnations, declare brokers dead and alive again, and make up new ones. So all of that is bounded.
"""

from typing import Final, Protocol

from braidmq.core.events.log import EventLog
from braidmq.core.events.membership import RumorImplausible
from braidmq.wire.gossip import Rumor

INCARNATION_JUMP_MAX: Final = 1_000_000
"""How far a rumor may be ahead of what is known. Incarnations grow by one per refutation, so that no honest broker
comes near it, and a liar who drives somebody's incarnation up reaches no limit."""

COMPLAINTS_MAX: Final = 1_000
"""Different complaints that are said once each; after that they are only counted."""

PERIOD_S: Final = 60.0
"""In which the rumors and the certificates that one broker hands on are counted."""

CHANGES_MAX: Final = 60
"""How often in a period one broker may change what is held of another one, or accuse this one: once a second. A crash
that repeats itself takes some seconds each time; who changes its mind faster lies, and is not heeded about that broker
until the period ends. What this broker sees for itself counts all the same."""

FALSE_MAX: Final = 64
"""Certificates of one broker in a period that may turn out not to be valid before no more of it are looked at: each
costs a check of its signature."""


class Certificates(Protocol):
    """The valid certificates of brokers: those that the net's authority has signed."""

    def certificate(self, name: str) -> bytes | None:
        """Return the certificate of the broker with this name, or None if none is known."""

    def admit(self, name: str, certificate: bytes, now: float) -> bool:
        """Return whether a certificate of the broker with this name is known, or the given one is valid for it."""


class Scrutiny:
    """What one broker has noticed of the honesty of the others.

    `may_change` is asked once for each rumor that would change something, `admits` for each of a broker that is not
    known. What is implausible for another reason comes by `complain`.

    Attributes:
        lies: how many rumors could not be true.
        unknown: how many were of brokers without a valid certificate.
    """

    __slots__ = ("_certificates", "_changes", "_complaints", "_events", "_false", "_period_ends_at", "lies", "unknown")

    def __init__(self, certificates: Certificates, events: EventLog, now: float) -> None:
        self.lies = 0
        self.unknown = 0
        self._certificates = certificates
        self._events = events
        self._changes: dict[tuple[str, str], int] = {}
        self._false: dict[str, int] = {}
        self._complaints: set[tuple[str, str]] = set()
        self._period_ends_at = now + PERIOD_S

    def on_timer(self, now: float) -> None:
        """Begin to count anew if a period has ended."""
        if now >= self._period_ends_at:
            self._period_ends_at = now + PERIOD_S
            self._changes.clear()
            self._false.clear()

    def may_change(self, sender: str, name: str) -> bool:
        """Whether a broker has not yet changed too often what is held of another one; count it."""
        changes = self._changes.get((sender, name), 0)
        if changes >= CHANGES_MAX:
            self.complain(sender, f"changes its mind on {name} more than {CHANGES_MAX} times in {PERIOD_S:g} s")
            return False
        self._changes[sender, name] = changes + 1
        return True

    def admits(self, sender: str, rumor: Rumor, now: float) -> bool:
        """Whether there is a broker such as a rumor tells of: its certificate is known, or comes along and is valid."""
        false = self._false.get(sender, 0) if rumor.certificate else 0
        if false < FALSE_MAX and self._certificates.admit(rumor.name, rumor.certificate, now):
            return True
        self.unknown += 1
        if rumor.certificate:
            self._false[sender] = false + 1
            self.complain(sender, f"tells of {rumor.name} with a certificate that is not valid for it")
        return False

    def complain(self, who: str, what: str) -> None:
        """Note that `who` does `what` cannot be; tell it if it is the first time that it does so."""
        self.lies += 1
        key = (who, what.partition(" ")[0])
        if key not in self._complaints and len(self._complaints) < COMPLAINTS_MAX:
            self._complaints.add(key)
            self._events.add(RumorImplausible(who, what))

    def validate_state(self) -> None:
        """Assert what must hold between two inputs. For tests and the simulator."""
        assert len(self._complaints) <= COMPLAINTS_MAX
        assert all(0 < count <= CHANGES_MAX for count in self._changes.values())
