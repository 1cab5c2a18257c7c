"""What nodes and brokers tell of errors of their own: see core/containment.py."""

from braidmq.core.events.event import ERROR, Event


class Fault(Event, frozen=True):
    """An error of our own was contained; `about` is what was being done, and what follows.

    Attributes:
        error: its kind and its text.
        place: where in the source it has come from.
    """

    level = ERROR

    error: str
    place: str

    def text(self) -> str:
        """See `Event`."""
        return f"a bug of BraidMQ, please report it: {self.about}; {self.error}; at {self.place}"
