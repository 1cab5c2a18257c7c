"""A key that has begun more large messages than it may have: one of them goes on at a time, until there is room again.

Its connections that bring the others are not read meanwhile, so that the system lets their senders wait. The one that
goes on may take what it needs beyond the bound, so there is always one that can be completed. If it is not, it holds up
all others in vain, and is to be ended.
"""

import math
from typing import Final

from braidmq.carrier.keys import KeyUse
from braidmq.carrier.reassembly import STEP_BYTES
from braidmq.settings import Settings

WAIT_SHARE: Final = 2
"""The one that goes on has half of the time after which a member that is not heard is suspect, for each STEP_BYTES.
Others of its key are not read meanwhile."""


class _Crowd:
    """What is known of a key with too much.

    Attributes:
        ahead: the connection that is read, or -1.
        size: how much had come of its message when it was waited for the next step.
        due: until when that has to come.
    """

    __slots__ = ("ahead", "due", "size")

    def __init__(self) -> None:
        self.ahead = -1
        self.size = 0
        self.due = math.inf


class Crowding:
    """The keys with too much. `note` each that may have; then `review` says who is read until the next time.

    Args:
        bytes_max: how much a key may have of large messages that are not complete.
        step_s_max: how long the one that goes on may take for its next STEP_BYTES.
    """

    def __init__(self, bytes_max: int, step_s_max: float) -> None:
        self._bytes_max = bytes_max
        self._step_s_max = step_s_max
        self._crowds: dict[KeyUse, _Crowd] = {}

    def __len__(self) -> int:
        return len(self._crowds)

    def note(self, use: KeyUse) -> None:
        """Note that a key has begun more, or that a connection has brought more of what it had begun."""
        if use.joining_bytes > self._bytes_max and use not in self._crowds:
            self._crowds[use] = _Crowd()

    def review(self, now: float) -> list[tuple[KeyUse, int]]:
        """Return who is ahead of each key that has, or had, too much; -1 if its connections are all read again."""
        found: list[tuple[KeyUse, int]] = []
        for use, crowd in list(self._crowds.items()):
            if use.joining_bytes <= self._bytes_max:
                del self._crowds[use]
                crowd.ahead = -1
            else:
                self._look(use, crowd, now)
            found.append((use, crowd.ahead))
        return found

    def overdue(self, now: float) -> list[int]:
        """Return the connections that are ahead and do not go on; they are to be ended."""
        return [crowd.ahead for crowd in self._crowds.values() if now >= crowd.due]

    def next_deadline(self) -> float:
        """Return when there will be one in `overdue`, if nothing comes; infinity if there are none."""
        return min((crowd.due for crowd in self._crowds.values()), default=math.inf)

    def _look(self, use: KeyUse, crowd: _Crowd, now: float) -> None:
        """See whether the one ahead goes on; if its message is complete, that of which most has come is the next."""
        size = use.joining.get(crowd.ahead, 0)
        if size < crowd.size or not size:
            crowd.ahead = max(use.joining, key=use.joining.__getitem__)
        elif size - crowd.size < STEP_BYTES:
            return
        crowd.size = use.joining[crowd.ahead]
        crowd.due = now + self._step_s_max


def wait_s_max(settings: Settings) -> float:
    """Return how long one connection of a key may hold up the others for nothing."""
    return settings.suspect_after_s / WAIT_SHARE
