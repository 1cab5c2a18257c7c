"""How long a message lay in buffers on its way, without comparing clocks.

Every message says when it was written, on its writer's clock. The smallest difference between that and the
time of arrival, over the last minute, stands for an undelayed journey; what a message takes beyond it, it
has waited: in a slow reader's buffers, or in those of a process that was stopped and goes on.
"""

from typing import Final

from braidmq.wire.envelope import SENT_AT, SENT_END, UINT32, since_ms

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

    def ages_s(self, messages: list[bytes], now: float) -> list[float]:
        """Return for how many seconds each of the messages of one frame was delayed.

        They were written in one turn, but for those that were added to what waited for a full pipe.
        """
        written, age_s = b"", 0.0
        ages_s = []
        for message in messages:
            if message[SENT_AT:SENT_END] != written:
                written = message[SENT_AT:SENT_END]
                age_s = self.age_s(int.from_bytes(written), now)
            ages_s.append(age_s)
        return ages_s

    def age_s(self, sent_ms: int, now: float) -> float:
        """Return for how many seconds a message that was written at `sent_ms` was delayed; 0.0 at best."""
        offset = since_ms(sent_ms, now)
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
