"""When to look at which broker again, and why: one time for each reason, the earliest that was asked for."""

import heapq
from enum import IntEnum


class Occasion(IntEnum):
    """Why a broker is looked at."""

    SUSPICION = 0
    """Its time to refute is over."""
    TOMBSTONE = 1
    """It was dead for long enough to be forgotten."""


class Reminders:
    """The times at which one broker looks at others.

    Whoever is looked at too soon is to be put down again. So a time that moves away needs no new entry, and a flood of
    accusations, each of which moves it, leaves none.
    """

    __slots__ = ("_due", "_order")

    def __init__(self) -> None:
        self._order: list[tuple[float, Occasion, str]] = []
        self._due: dict[tuple[Occasion, str], float] = {}

    def __len__(self) -> int:
        return len(self._order)

    def __contains__(self, occasion: tuple[Occasion, str]) -> bool:
        return occasion in self._due

    @property
    def next_at(self) -> float | None:
        """When the next look is due; there may be nothing to see then."""
        return self._order[0][0] if self._order else None

    def put(self, occasion: Occasion, name: str, due: float) -> None:
        """Look at a broker at `due`, unless that is done earlier."""
        earlier = self._due.get((occasion, name))
        if earlier is None or due < earlier:
            self._due[occasion, name] = due
            heapq.heappush(self._order, (due, occasion, name))

    def take(self, now: float) -> tuple[Occasion, str] | None:
        """Return the next broker that is to be looked at now, and forget it; None if none is."""
        while self._order and self._order[0][0] <= now:
            due, occasion, name = heapq.heappop(self._order)
            if self._due.get((occasion, name)) == due:
                del self._due[occasion, name]
                return occasion, name
        return None

    def validate_state(self) -> None:
        """Assert what must hold between two inputs. For tests and the simulator."""
        assert {(due, *key) for key, due in self._due.items()} <= set(self._order), "what is due has a time"
