"""Certificates that end, at one broker: its log and its observer are told some days before, and at the end."""

from typing import Final, Protocol

from braidmq.core.events.log import EventLog
from braidmq.core.events.registry import CertificatesEnd, OwnCertificateEnds
from braidmq.core.registry.ends import Marks
from braidmq.observer import BrokerObserver

NAMED_MAX: Final = 8
"""Members that one line names: `braidmq list` has all of them."""

OBSERVED_MAX: Final = 1_000
"""Ends that an observer is told of at one moment, the earliest: so many take some milliseconds."""


class Endings(Protocol):
    """Knows when certificates end."""

    def ending(self, after_s: float, until_s: float) -> list[tuple[int, str]]:
        """Return the certificates that end later than a Unix time, and no later than another one.

        Returns:
            The end of each in Unix seconds, and the name of its member; the earliest first.
        """


class EndWatch:
    """Tells of each certificate 30, 7 and 1 days before its end, and then: in one line for all that are due at once.

    Args:
        name: of this broker.
        endings: knows the ends.
        events: where lines go.
        observer: is told of each member.
    """

    __slots__ = ("_endings", "_events", "_marks", "_name", "_observer")

    def __init__(self, name: str, endings: Endings, events: EventLog, observer: BrokerObserver | None) -> None:
        self._name = name
        self._endings = endings
        self._events = events
        self._observer = observer
        self._marks = Marks()

    def look(self, unix_s: float, now: float) -> None:
        """Tell what there is to be told at a Unix time, which is that of the net."""
        for days, after_s, until_s in self._marks.spans(unix_s):
            found = self._endings.ending(after_s, until_s)
            names = [name for _, name in found if name != self._name]
            if len(names) < len(found):
                self._events.add(OwnCertificateEnds(self._name, days))
            if names:
                more = f" and {len(names) - NAMED_MAX:,} more" if len(names) > NAMED_MAX else ""
                self._events.add(CertificatesEnd(self._name, days, len(names), ", ".join(names[:NAMED_MAX]) + more))
            if self._observer is not None:
                for end_s, name in found[:OBSERVED_MAX]:
                    self._observer.on_certificate_end(name, end_s - unix_s, now)
