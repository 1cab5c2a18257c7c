"""What is done with an error of our own: it ends one session at most, is told once, and is counted.

Whatever a peer sends must be handled or refused. Where that fails there is a bug, and its cause is best known here; but
a whole process, with all its other members, must not end for it. Tests and the simulator fail on any.
"""

import traceback
from typing import Final

from braidmq.core.events.fault import Fault
from braidmq.core.events.log import EventLog
from braidmq.wire.envelope import COMMON

PLACES_MAX: Final = 100
"""Places of the source whose errors are told; further ones are only counted."""

FRAMES_SHOWN: Final = 4
"""Calls that are shown of where an error has come from, the innermost last."""

TEXT_CHARS_MAX: Final = 200
"""How much of an error's own text is shown: it may hold what a peer has sent."""


class Containment:
    """The errors that have been contained.

    Attributes:
        count: how many.
    """

    __slots__ = ("_events", "_told", "count")

    def __init__(self, events: EventLog) -> None:
        self.count = 0
        self._events = events
        self._told: set[str] = set()

    def note(self, error: Exception, what: str) -> None:
        """Count an error, and tell it if it is the first one of its place; `what` was being done, and what follows."""
        self.count += 1
        calls = traceback.extract_tb(error.__traceback__)[-FRAMES_SHOWN:]
        place = " > ".join(f"{call.filename.rpartition('/')[2]}:{call.lineno} {call.name}" for call in calls)
        if place not in self._told and len(self._told) < PLACES_MAX:
            self._told.add(place)
            text = f"{type(error).__name__}: {error}"[:TEXT_CHARS_MAX]
            self._events.add(Fault(what, text, place))


def shape_of(message: bytes) -> str:
    """Return what a message looks like, without its contents."""
    return f"{len(message)} bytes that begin with {message[: COMMON.size].hex()}"
