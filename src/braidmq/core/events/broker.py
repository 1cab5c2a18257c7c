"""What a broker tells of its members and of their sessions."""

from braidmq.core.events.event import DEBUG, INFO, WARNING, Event


class HelloCame(Event, frozen=True):
    """A node has begun a session; whether it stays is seen later."""

    level = DEBUG

    def text(self) -> str:
        """See `Event`."""
        return f"hello from {self.about}"


class SessionBegun(Event, frozen=True):
    """A member is connected: a broker, a worker, or a node that stays."""

    def text(self) -> str:
        """See `Event`."""
        return f"{self.about} connected"


class SessionStateChanged(Event, frozen=True):
    """A session stands another way.

    Attributes:
        state: how: see `SessionState`.
        told: whether the log has its begin.
    """

    state: str
    told: bool

    @property
    def level(self) -> int:
        """What the log has no begin of is of no interest to it later, either."""
        return INFO if self.told else DEBUG

    def text(self) -> str:
        """See `Event`."""
        return f"{self.about} is {self.state}"


class SessionEnded(Event, frozen=True):
    """A member's connection has ended.

    Attributes:
        told: whether the log has its begin.
    """

    told: bool

    @property
    def level(self) -> int:
        """What the log has no begin of is of no interest to it later, either."""
        return INFO if self.told else DEBUG

    def text(self) -> str:
        """See `Event`."""
        return f"{self.about} disconnected"


class SessionSilent(Event, frozen=True):
    """A session was ended as nothing was heard of its member.

    Attributes:
        silent_s: for how long.
    """

    level = WARNING

    silent_s: float

    def text(self) -> str:
        """See `Event`."""
        return f"{self.about} was silent for {self.silent_s:.1f} s: given up"


class SessionTaken(Event, frozen=True):
    """A member's routing id came with another key: its own connection has ended."""

    level = WARNING

    def text(self) -> str:
        """See `Event`."""
        return f"{self.about} is gone: another key has its routing id"


class SessionRefused(Event, frozen=True):
    """A member, or a key that is registered as none, gets no session.

    Attributes:
        why: what is against it.
    """

    level = WARNING

    why: str

    def text(self) -> str:
        """See `Event`."""
        return f"refused a session to {self.about}: {self.why}"


class RefusalsSeen(Event, frozen=True):
    """Some were refused since this was told last. `about` is the kind: see core/broker/refusals.py.

    Attributes:
        count: how many.
        who: the newest one: a member, or a key.
        where: from which address, if that is known.
        what: it wanted or did, if there is more to say than the kind does.
        sentence: what the line says behind the number.
    """

    level = WARNING

    count: int
    who: str
    where: str
    what: str
    sentence: str

    def text(self) -> str:
        """See `Event`."""
        return f"{self.count} {self.sentence}"


class TwinFound(Event, frozen=True):
    """Another process runs with the join file of this broker, which `about` names.

    Attributes:
        other: which one.
    """

    level = WARNING

    other: str

    def text(self) -> str:
        """See `Event`."""
        return f"another process runs as {self.about}, with the same join file: {self.other}; stop one of the two"


class MemberMalformed(Event, frozen=True):
    """A member has sent what is not BRAID/1, for the first time in its session.

    Attributes:
        what: it was.
    """

    level = WARNING

    what: str

    def text(self) -> str:
        """See `Event`."""
        return f"{self.about} sent {self.what}; further occurrences are only counted"


class KeyBarred(Event, frozen=True):
    """A key is kept out for some time.

    Attributes:
        why: what it has done.
        barred_s: for how long.
    """

    level = WARNING

    why: str
    barred_s: float

    def text(self) -> str:
        """See `Event`."""
        return f"{self.about} {self.why}: its connections are cut, and it is barred for {self.barred_s:.0f} s"


class Operated(Event, frozen=True):
    """A member, which `about` names, has asked for something that only operators may, and it was done.

    Attributes:
        action: what, as in the protocol.
        whom: it is about.
        did: what was done.
    """

    level = WARNING

    action: str
    whom: str
    did: str

    def text(self) -> str:
        """See `Event`."""
        return f"{self.about} has asked to {self.action} {self.whom}: {self.did}"


class ServiceOffered(Event, frozen=True):
    """A member serves a service.

    Attributes:
        service: which one.
    """

    level = DEBUG

    service: str

    def text(self) -> str:
        """See `Event`."""
        return f"{self.about} serves {self.service}"


class ServiceDenied(Event, frozen=True):
    """A member wants to serve what it may not.

    Attributes:
        service: which service.
    """

    level = WARNING

    service: str

    def text(self) -> str:
        """See `Event`."""
        return f"{self.about} may not serve '{self.service}': its READY is ignored"


class ServicePostponed(Event, frozen=True):
    """There is no room for one more service.

    Attributes:
        service: which one waits for room.
        limit: what is reached.
    """

    level = WARNING

    service: str
    limit: str

    def text(self) -> str:
        """See `Event`."""
        return f"{self.about}: {self.limit} is reached: its READY for {self.service} waits for room"
