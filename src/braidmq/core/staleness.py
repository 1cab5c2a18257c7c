"""How long a message lay in buffers on its way, without comparing clocks.

Every message says when it was written, on its writer's clock. The smallest difference between that and the
time of arrival, over the last minute, stands for an undelayed journey; what a message takes beyond it, it
has waited: in a slow reader's buffers, or in those of a process that was stopped and goes on.
"""

from typing import Final

from braidmq.wire.envelope import UINT32

WINDOW_S: Final = 30.0
"""The smallest difference is taken over this window and the one before it, so that clocks may drift apart by
50 ppm without an error above 3 ms."""

_HALF: Final = 0x80000000


class Staleness:
    """The age of one peer's messages."""

    __slots__ = ("_current", "_previous", "_turned")

    def __init__(self) -> None:
        self._current: int | None = None
        self._previous: int | None = None
        self._turned = 0.0

    def age_s(self, sent_ms: int, now: float) -> float:
        """Return for how many seconds a message that was written at `sent_ms` was delayed; 0.0 at best."""
        offset = (int(now * 1000.0) - sent_ms) & UINT32  # since_ms, inline
        if now - self._turned > WINDOW_S:
            self._previous = self._current
            self._current = None
            self._turned = now
        current, previous = self._current, self._previous
        if current is None or ((offset - current) & UINT32) >= _HALF:
            self._current = current = offset
        if previous is not None and ((current - previous) & UINT32) < _HALF:
            current = previous
        return ((offset - current) & UINT32) / 1000.0
