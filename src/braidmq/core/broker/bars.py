"""Keys that are kept out for some seconds, because they have asked too much of a broker.

What is bounded for a key is bounded for all its connections together.
"""

from typing import Final

BAR_S: Final = 5.0
"""How long a key is barred the first time: its flood has ended by then, or it is no accident."""

BAR_S_MAX: Final = 60.0
"""How long at most, when it goes on each time: whoever has mended a program that ran wild waits no longer."""

PARDON_S: Final = 120.0
"""After this time without a bar a key counts as new."""

SESSIONS_PER_S: Final = 50.0
"""Sessions that a key may begin each second in the long run. Each costs a broker about a millisecond; a script that
makes one call after the other from the command line begins some ten."""

SESSIONS_BURST: Final = 500
"""Sessions that it may begin at once beyond that: all its processes start anew, and some fail a few times."""

KEYS_MAX: Final = 10_000
"""Keys that are remembered; then those are forgotten that were so for longest."""


class _Record:
    """What is remembered of a key.

    Attributes:
        until: when its bar ends.
        next_s: how long the next one lasts.
        sessions: those that it has begun, less SESSIONS_PER_S for each second since.
        counted_at: when that was so.
    """

    __slots__ = ("counted_at", "next_s", "sessions", "until")

    def __init__(self, now: float) -> None:
        self.until = -PARDON_S
        self.next_s = BAR_S
        self.sessions = 0.0
        self.counted_at = now


class Bars:
    """The keys that are barred, and those that were lately, or have begun sessions lately."""

    __slots__ = ("_records",)

    def __init__(self) -> None:
        self._records: dict[str, _Record] = {}

    def add(self, principal: str, now: float) -> float:
        """Bar a key; return for how long, in seconds. The time doubles while it comes back to do so again."""
        record = self._record_of(principal, now)
        if now - record.until > PARDON_S:
            record.next_s = BAR_S
        lasts_s = record.next_s
        record.until = now + lasts_s
        record.next_s = min(BAR_S_MAX, 2.0 * lasts_s)
        return lasts_s

    def left_s(self, principal: str, now: float) -> float:
        """Return for how much longer a key is barred; 0.0 if it is not."""
        record = self._records.get(principal)
        return 0.0 if record is None or record.until <= now else record.until - now

    def count_session(self, principal: str, now: float) -> bool:
        """Note that a key begins a session; return whether it has not begun too many."""
        record = self._record_of(principal, now)
        record.sessions = max(0.0, record.sessions - SESSIONS_PER_S * (now - record.counted_at)) + 1.0
        record.counted_at = now
        return record.sessions <= SESSIONS_BURST

    def validate_state(self) -> None:
        """Assert what always holds. For tests and the simulator."""
        assert len(self._records) <= KEYS_MAX
        assert all(BAR_S <= record.next_s <= BAR_S_MAX for record in self._records.values())

    def _record_of(self, principal: str, now: float) -> _Record:
        record = self._records.pop(principal, None) or _Record(now)
        if len(self._records) >= KEYS_MAX:
            del self._records[next(iter(self._records))]
        self._records[principal] = record
        return record
