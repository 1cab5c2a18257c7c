"""Large messages that are not complete, in fragments or as one long frame: none of them keeps its memory for long.

Whoever sends one goes on with it, step by step, as long as the connection lasts: small messages take turns with it, and
wait for nothing else. What a key has of them is bounded besides (`joining_bytes_max`).
"""

from typing import Final

from braidmq.carrier.deadlines import Deadlines
from braidmq.carrier.options import frame_bytes_max
from braidmq.settings import Settings
from braidmq.wire.limits import BUNDLE_BYTES

STEP_BYTES: Final = BUNDLE_BYTES // 2
"""How much more of a message has to come for it to have gone on. Full fragments are twice as much: who sends single
bytes does not keep a message for ever."""


def joining_bytes_max(settings: Settings) -> int:
    """Return how much a key may have of large messages that are not complete, over all its connections.

    It is as much as may wait for it in the other direction, but no less than one message of the largest size.
    """
    return max(settings.outbox_bytes_max, frame_bytes_max(settings))


class Reassemblies:
    """The connections over which such a message comes. Tell each of them with `note` when something has come over it.

    Args:
        step_s_max: how long a message may take for its next STEP_BYTES.
    """

    def __init__(self, step_s_max: float) -> None:
        self._steps = Deadlines(step_s_max)
        self._came: dict[int, int] = {}  # what had come when it was waited for the next step of each

    def __len__(self) -> int:
        return len(self._came)

    def note(self, key: int, size: int, came: int, now: float) -> None:
        """Note how much has come of a message over a connection; 0 if none is under way.

        How much has come in all tells one that stands still from one that has taken the place of another of its size.

        Args:
            key: what the connection is known by.
            size: what has come of the message, without what has come of others before.
            came: what has come of large messages over the connection in all.
            now: the time, in seconds.
        """
        before = self._came.get(key)
        if size == 0:
            if before is not None:
                self.leave(key)
        elif before is None or came - before >= min(size, STEP_BYTES):  # a step more, or one that has begun since
            self._came[key] = came
            self._steps.begin(key, now)

    def leave(self, key: int) -> None:
        """Note that a connection has ended."""
        self._came.pop(key, None)
        self._steps.leave(key)

    def overdue(self, now: float) -> list[int]:
        """Return the connections whose message does not go on; they are to be ended."""
        return self._steps.overdue(now)

    def next_deadline(self) -> float:
        """Return when there will be one in `overdue`, if nothing comes; infinity if there are none."""
        return self._steps.next_deadline()
