"""A zgossip node that this bridge speaks to, and how far it has been told what the bridge knows."""

from braidmq.bridges.port import Peer
from braidmq.bridges.zgossip.limits import CHANGES_AT_ONCE_MAX, CHANGES_PER_S_MAX, HELLO_S, PASSED_TO_PEER_MAX


class Contact:
    """One connection of a node.

    Args:
        peer: the connection.
        outgoing: the bridge has opened it, and is that node's client; else the node has come.
        now: the time.

    Attributes:
        heard_at: when it last said anything.
        own_at: up to which change it has been sent the bridge's own tuples.
        foreign_at: likewise those of others.
        reads_own: it is sent the bridge's own tuples: it has said HELLO, or the bridge has.
        reads_foreign: it is sent those of others, too. A node that the bridge has greeted tells all it knows, and then
            answers PING: until that came, older values that the bridge has kept would take the place of newer ones.
        hindered: what it was sent last has not left: it does not read as fast.
        greet_at: when it is to be greeted (outgoing), or is to be told everything (others); None: not again.
    """

    __slots__ = (
        "_changes", "_changes_at", "_greeted_at", "_window", "foreign_at", "greet_at", "heard_at", "hindered",
        "outgoing", "own_at", "peer", "reads_foreign", "reads_own",
    )  # fmt: skip

    def __init__(self, peer: Peer, *, outgoing: bool, now: float) -> None:
        self.peer = peer
        self.outgoing = outgoing
        self.heard_at = now
        self.own_at = self.foreign_at = 0
        self.reads_own = self.reads_foreign = False
        self.greet_at: float | None = None
        self._greeted_at = now - HELLO_S
        self._changes = float(CHANGES_AT_ONCE_MAX)
        self._changes_at = now
        self._window = PASSED_TO_PEER_MAX
        self.hindered = False

    def ask_to_greet(self, now: float) -> None:
        """Let it be greeted, or told everything, once more; now, unless that has just been done."""
        if self.greet_at is None:
            self.greet_at = max(now, self._greeted_at + HELLO_S)

    def greet(self, now: float) -> None:
        """Note that it is being greeted, or told everything."""
        self.greet_at = None
        self._greeted_at = now
        self.own_at = self.foreign_at = 0
        self.reads_own = True
        self.reads_foreign = not self.outgoing

    def may_change(self, now: float) -> bool:
        """Take one of the changes that it may bring; return False if it has brought too many."""
        self._changes = min(CHANGES_AT_ONCE_MAX, self._changes + (now - self._changes_at) * CHANGES_PER_S_MAX)
        self._changes_at = now
        if self._changes < 1.0:
            return False
        self._changes -= 1.0
        return True

    def begin_passing(self) -> int:
        """Return how many tuples it may be sent now: one if it did not take the last ones, twice as many each time."""
        self._window = 1 if self.hindered else min(PASSED_TO_PEER_MAX, 2 * self._window)
        self.hindered = False
        return self._window

    def on_unsent(self) -> None:
        """Note that what it was sent has not left."""
        self.hindered = True
