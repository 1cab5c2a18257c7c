"""How long a peer may be silent, and what this process's own standstills say of that.

Brokers judge their sessions by it, and members their connections to brokers. What follows from silence, and when either
says a word itself, is its own affair: a broker speaks to all at one time, a member to each broker in its turn.
"""

from typing import Final, NamedTuple, Protocol

from braidmq.settings import Settings

STALL_S: Final = 0.05
"""How late a look may be before the time is taken off the silence of others."""


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

    Attributes:
        due_at: when the next one is due.
        stalled_s: for how long this process had stood still at the last one; 0.0 if it had not.
    """

    __slots__ = ("_looked_at", "due_at", "period_s", "stalled_s")

    def __init__(self, period_s: float, first_at: float, now: float) -> None:
        self.period_s = period_s
        self.due_at = first_at
        self.stalled_s = 0.0
        self._looked_at = now

    def hasten(self, now: float) -> None:
        """Let the next one be due now."""
        self.due_at = min(self.due_at, now)

    def begin(self, now: float) -> None:
        """Begin the one that is due."""
        self.stalled_s = now - self._looked_at - self.period_s if now - self.due_at > STALL_S else 0.0
        self._looked_at = now
        self.due_at = now + self.period_s

    def excuse(self, peer: Heard, now: float) -> None:
        """Take the time of a standstill off a peer's silence; what was said before it is as old as that."""
        peer.heard_at = min(now, peer.heard_at + self.stalled_s)
        peer.spoke = False

    def validate_state(self) -> None:
        """Assert what must hold between two inputs. For tests and the simulator."""
        assert self.due_at <= self._looked_at + self.period_s
