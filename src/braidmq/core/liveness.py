"""How long a peer may be silent, and what this process's own standstills say of that.

Brokers judge their sessions by it, and members their connections to brokers. What follows from silence, and when either
says a word itself, is its own affair: a broker speaks to all at one time, a member to each broker in its turn.
"""

from typing import Final, NamedTuple, Protocol

from braidmq.settings import Settings

STALL_S: Final = 0.05
"""How late a look may be before the time is taken off the silence of others."""

REST_S: Final = 0.25
"""For how long looks may be left out that would find nothing: as often as a node reviews its choice of brokers in any
case. A standstill that is over within this time does not show; nothing was under way then."""

EARLY_S: Final = 1e-6
"""How much earlier than asked for a look may be: times that are added up in different ways differ by less."""


class Heard(Protocol):
    """A peer.

    Attributes:
        heard_at: when something came from it.
        spoke: whether something was sent to it since somebody last looked.
    """

    heard_at: float
    spoke: bool


class Silence(NamedTuple):
    """The silences of a peer that mean something."""

    suspect_s: float
    """After this it gets no new work."""
    dead_s: float
    """After this it is given up."""


def silence_of(settings: Settings, heartbeat_s: float) -> Silence:
    """Return what silence means where heartbeats are due each `heartbeat_s`: rarer ones allow a longer one."""
    longer = max(1.0, heartbeat_s / settings.heartbeat_s)
    return Silence(settings.suspect_after_s * longer, settings.dead_after_s * longer)


class Looks:
    """The regular looks at peers, which tell whether this process has stood still since the last one.

    Those that would find nothing may be left out (`rest`). What is left is due when it would be if none were, so that
    nothing that follows from a look comes later for that.

    Attributes:
        due_at: when the next one is due.
        stalled_s: for how long this process had stood still at the last one; 0.0 if it had not. What it has stood still
            before the look was due is not known.
    """

    __slots__ = ("_hastened", "_looked_at", "due_at", "period_s", "stalled_s")

    def __init__(self, period_s: float, first_at: float, now: float) -> None:
        self.period_s = period_s
        self.due_at = first_at
        self.stalled_s = 0.0
        self._looked_at = now
        self._hastened = False

    def hasten(self, now: float) -> None:
        """Let the next one be due now."""
        self.due_at = min(self.due_at, now)
        self._hastened = True

    def begin(self, now: float) -> None:
        """Begin the one that is due."""
        late_s = now - self.due_at
        since_s = now - self._looked_at - self.period_s  # less than that, if it was hastened
        self.stalled_s = min(late_s, since_s) if late_s > STALL_S else 0.0
        self._looked_at = now
        self._hastened = False
        self.due_at = now + self.period_s

    def rest(self, until: float) -> None:
        """Leave out those that would be due before `until`, or before REST_S are over since the last one."""
        if not self._hastened:
            self._put_off(min(until, self._looked_at + REST_S))

    def rouse(self, now: float) -> None:
        """Leave out none any more."""
        if self.resting and not self._hastened:
            self._put_off(now)

    @property
    def resting(self) -> bool:
        """Whether some are left out until the next one."""
        return self.due_at > self._looked_at + self.period_s

    def _put_off(self, until: float) -> None:
        due_at, period_s = self._looked_at + self.period_s, self.period_s
        while due_at < until - EARLY_S:
            due_at += period_s
        self.due_at = due_at

    def excuse(self, peer: Heard, now: float) -> None:
        """Take the time of a standstill off a peer's silence; what was said before it is as old as that."""
        peer.heard_at = min(now, peer.heard_at + self.stalled_s)
        peer.spoke = False

    def validate_state(self) -> None:
        """Assert what must hold between two inputs. For tests and the simulator."""
        assert self.due_at <= self._looked_at + REST_S + self.period_s
