"""What a broker tells of the other brokers."""

from braidmq.core.events.event import WARNING, Event


class BrokerJoined(Event, frozen=True):
    """A broker is new."""

    def text(self) -> str:
        """See `Event`."""
        return f"{self.about} has joined"


class BrokerSuspected(Event, frozen=True):
    """A broker was not heard; it is dead unless it refutes that.

    Attributes:
        accuser: who says so first.
    """

    accuser: str

    def text(self) -> str:
        """See `Event`."""
        return f"{self.about} is suspect, says {self.accuser}"


class BrokerAliveAgain(Event, frozen=True):
    """A broker that was suspect or dead is alive."""

    def text(self) -> str:
        """See `Event`."""
        return f"{self.about} is alive again"


class BrokerDied(Event, frozen=True):
    """A broker is dead.

    Attributes:
        why: as far as this broker knows.
    """

    level = WARNING

    why: str

    def text(self) -> str:
        """See `Event`."""
        return f"{self.about} is dead: {self.why}" if self.why else f"{self.about} is dead"


class BrokerLeft(Event, frozen=True):
    """A broker that was about to leave is gone."""

    def text(self) -> str:
        """See `Event`."""
        return f"{self.about} has left"


class BrokerRemoved(Event, frozen=True):
    """A broker is no longer registered."""

    def text(self) -> str:
        """See `Event`."""
        return f"{self.about} is no longer a broker of this net"


class RumorRefuted(Event, frozen=True):
    """This broker, which `about` names, was accused, and is not what it was said to be.

    Attributes:
        state: what it was said to be.
        accuser: who says so.
    """

    state: str
    accuser: str

    def text(self) -> str:
        """See `Event`."""
        return f"refuted that {self.about} is {self.state}, as {self.accuser} says"


class RumorImplausible(Event, frozen=True):
    """A broker says what cannot be so, for the first time.

    Attributes:
        what: it does.
    """

    level = WARNING

    what: str

    def text(self) -> str:
        """See `Event`."""
        return f"{self.about} {self.what}; further occurrences are only counted"


class BrokerMisreported(Event, frozen=True):
    """A broker has described another one.

    Attributes:
        other: which one.
    """

    level = WARNING

    other: str

    def text(self) -> str:
        """See `Event`."""
        return f"{self.about} speaks for {self.other}: refused; a broker describes itself only"
