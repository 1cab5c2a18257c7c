"""What one broker holds of another one, and which news of it counts."""

from typing import Final

from braidmq.core.membership.suspicion import Suspicion
from braidmq.wire.gossip import Rumor, State

_RANK: Final[dict[State, int]] = {"alive": 0, "suspect": 1, "leaving": 2, "dead": 3}
"""At one incarnation the higher overrides the lower."""


class PeerRecord:
    """What this broker holds of another one.

    Attributes:
        incarnation: which of its lives this is about.
        state: alive, suspect, leaving or dead.
        since: when it came into that state.
        suspicion: while it is suspect.
        left: whether it is dead, and had said before that it would leave.
        rtt_s: how long a probe takes there and back, smoothed; 0.0 if none was answered yet.
    """

    __slots__ = ("incarnation", "left", "name", "rtt_s", "since", "state", "suspicion")

    def __init__(self, name: str, incarnation: int, state: State, now: float) -> None:
        self.name = name
        self.incarnation = incarnation
        self.state: State = state
        self.since = now
        self.suspicion: Suspicion | None = None
        self.left = False
        self.rtt_s = 0.0


def overrides(rumor: Rumor, incarnation: int, state: State) -> bool:
    """Whether a rumor is news of a broker of which this is held (SWIM, 4.2).

    Only a broker itself raises its incarnation: so a later life overrides an earlier one, whatever was said of that.
    """
    if rumor.incarnation != incarnation:
        return rumor.incarnation > incarnation
    return _RANK[rumor.state] > _RANK[state]
