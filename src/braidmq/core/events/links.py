"""What nodes and brokers tell of their connections to brokers: see core/links/links.py."""

from braidmq.core.events.event import DEBUG, INFO, WARNING, Event


class Connected(Event, frozen=True):
    """A broker has welcomed this member."""

    def text(self) -> str:
        """See `Event`."""
        return f"connected to {self.about}"


class LinkStateChanged(Event, frozen=True):
    """A connection stands another way.

    Attributes:
        state: how: see `LinkState`.
    """

    state: str

    def text(self) -> str:
        """See `Event`."""
        return f"{self.about} is {self.state}"


class NotConnected(Event, frozen=True):
    """A connection has ended, or did not come about.

    Attributes:
        why: for what reason.
        harmless: whether it was left on purpose, or will be back by itself.
        repeated: whether that has happened for this reason since the broker was last connected.
    """

    why: str
    harmless: bool
    repeated: bool

    @property
    def level(self) -> int:
        """A warning, unless it is harmless; the same once more is only of use when something is looked for."""
        if self.repeated:
            return DEBUG
        return INFO if self.harmless else WARNING

    def text(self) -> str:
        """See `Event`."""
        return f"no connection to {self.about}: {self.why}"


class BrokerIgnored(Event, frozen=True):
    """There is no room for one more broker.

    Attributes:
        most: how many there may be.
    """

    level = WARNING

    most: int

    def text(self) -> str:
        """See `Event`."""
        return f"{self.about} is ignored: {self.most} brokers are known already"


class CertificateRefused(Event, frozen=True):
    """A broker's certificate that another member has handed on is not valid.

    Attributes:
        why: what is wrong with it.
    """

    level = WARNING

    why: str

    def text(self) -> str:
        """See `Event`."""
        return f"{self.about} is refused: {self.why}"


class BrokerMalformed(Event, frozen=True):
    """A broker has sent what is not BRAID/1, for the first time in its session.

    Attributes:
        what: what is wrong with it.
    """

    level = WARNING

    what: str

    def text(self) -> str:
        """See `Event`."""
        return f"{self.about} sent what is not BRAID/1: {self.what}"


class BrokerTakenOff(Event, frozen=True):
    """The net's authority has taken a broker off the list.

    Attributes:
        version: of the list.
    """

    version: int

    def text(self) -> str:
        """See `Event`."""
        return f"{self.about} is no longer a broker of this net, says its list of brokers {self.version}"
