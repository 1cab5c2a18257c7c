"""What a core tells its shell for the log. Cold path only."""

from dataclasses import dataclass
from typing import Final

EVENTS_MAX: Final = 1_000
"""Events kept until the shell takes them; a flood of them says nothing that the first thousand do not. As many
warnings again have a place behind them: no flood of lesser news drowns what is wrong."""

DEBUG: Final = 10
INFO: Final = 20
WARNING: Final = 30
ERROR: Final = 40


@dataclass(slots=True)
class Event:
    """One line for the log.

    Attributes:
        level: as in `logging`.
        text: what happened, and what to do if something is to be done.
    """

    level: int
    text: str


class EventLog:
    """A bounded list of events."""

    __slots__ = ("_events", "dropped")

    def __init__(self) -> None:
        self._events: list[Event] = []
        self.dropped = 0

    def add(self, level: int, text: str) -> None:
        """Keep an event, or count it as dropped."""
        if len(self._events) < (EVENTS_MAX if level < WARNING else 2 * EVENTS_MAX):
            self._events.append(Event(level, text))
        else:
            self.dropped += 1

    def take(self) -> list[Event]:
        """Return the events and forget them."""
        if not self._events:
            return self._events
        events, self._events = self._events, []
        return events
