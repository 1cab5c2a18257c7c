"""The lists that a broker sends, of brokers and of services: how fast they may come, and which of them wait.

Each list is whole: it replaces the one before it. So of those that come too fast the newest waits, and no other.
"""

import math
from collections.abc import Iterator
from typing import Final

from braidmq.wire.limits import CONTROL_BYTES_MAX

LIST_BYTES_MAX: Final = CONTROL_BYTES_MAX
"""Bytes of PEERS and SERVICES that a broker may send at once: the largest list, or all changes of a stormy hour."""

LIST_BYTES_PER_S: Final = 1024 * 1024
"""How fast it may send more. Lists are whole, and a MiB of them takes a node some tens of milliseconds. Of what comes
faster the newest waits, which replaces the others."""

LIST_BYTES_EACH: Final = 1_000
"""What each list counts for beside its length."""


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
        if self._affords(len(message), now):
            return True
        self.waiting[command] = message
        return False

    def due(self, now: float) -> Iterator[bytes]:
        """Yield the lists that have waited long enough, and forget them."""
        for command, message in list(self.waiting.items()):
            if self._affords(len(message), now):
                del self.waiting[command]
                yield message

    def clear(self) -> None:
        """Forget what waits: its session has ended."""
        self.waiting.clear()

    def _affords(self, size: int, now: float) -> bool:
        """Whether one more list is due; if so it is paid for."""
        earned = (now - self.counted_at) * LIST_BYTES_PER_S
        self.counted_at = now
        self.bytes_left = min(float(LIST_BYTES_MAX), self.bytes_left + earned)
        cost = min(LIST_BYTES_MAX, size + LIST_BYTES_EACH)
        if self.bytes_left < cost:
            return False
        self.bytes_left -= cost
        return True
