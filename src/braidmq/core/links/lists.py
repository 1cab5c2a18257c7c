"""The lists and the signed papers that a broker sends: how fast they may come, and which of them wait.

Each is whole: it replaces the one before it. So of those that come too fast the newest waits, and no other.
"""

import math
from collections.abc import Iterator
from typing import Final

from braidmq.wire.limits import CONTROL_BYTES_MAX
from braidmq.wire.registry import CertificateIs, RosterIs

LIST_BYTES_MAX: Final = CONTROL_BYTES_MAX
"""Bytes of PEERS and SERVICES that a broker may send at once: the largest list, or all changes of a stormy hour."""

LIST_BYTES_PER_S: Final = 1024 * 1024
"""How fast it may send more. Lists are whole, and a MiB of them takes a node some tens of milliseconds. Of what comes
faster the newest waits, which replaces the others."""

LIST_BYTES_EACH: Final = 1_000
"""What each list counts for beside its length."""

PAPER_BYTES_EACH: Final = 64 * 1024
"""The same of a paper that the authority is to have signed, a list of brokers or a certificate: to see whether it has
takes longest of all. 64 may come at once, and 16 a second; new ones come when an operator has changed something."""

_PAPERS: Final = frozenset((RosterIs.NUMBER, CertificateIs.NUMBER))


class Lists:
    """The lists of one broker.

    Each that comes is told by `admit`, and read at once if it is admitted. Those that are not wait for `due`.

    Attributes:
        waiting: the newest of each command that came faster than it may.
        bytes_left: how many more may come, as of `counted_at`.
    """

    __slots__ = ("bytes_left", "counted_at", "waiting")

    def __init__(self) -> None:
        self.waiting: dict[int, bytes] = {}
        self.bytes_left = 0.0
        self.counted_at = -math.inf

    def admit(self, command: int, message: bytes, now: float) -> bool:
        """Return whether a list may be read now; otherwise it waits, until a newer one comes."""
        self.waiting.pop(command, None)
        if self._affords(command, message, now):
            return True
        self.waiting[command] = message
        return False

    def due(self, now: float) -> Iterator[bytes]:
        """Yield the lists that have waited long enough, and forget them."""
        for command, message in list(self.waiting.items()):
            if self._affords(command, message, now):
                del self.waiting[command]
                yield message

    def clear(self) -> None:
        """Forget what waits: its session has ended."""
        self.waiting.clear()

    def _affords(self, command: int, message: bytes, now: float) -> bool:
        """Whether one more list is due; if so it is paid for."""
        earned = (now - self.counted_at) * LIST_BYTES_PER_S
        self.counted_at = now
        self.bytes_left = min(float(LIST_BYTES_MAX), self.bytes_left + earned)
        each = PAPER_BYTES_EACH if command in _PAPERS else LIST_BYTES_EACH
        cost = min(LIST_BYTES_MAX, len(message) + each)
        if self.bytes_left < cost:
            return False
        self.bytes_left -= cost
        return True
