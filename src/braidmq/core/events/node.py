"""What a node tells of its calls and of its jobs."""

from braidmq.core.events.event import WARNING, Event


class PathClosed(Event, frozen=True):
    """A broker does worse than the others, and gets no new calls for some time: see core/client/path_health.py.

    Attributes:
        why: what it does.
        closed_s: for how long.
    """

    level = WARNING

    why: str
    closed_s: float

    def text(self) -> str:
        """See `Event`."""
        return f"{self.about} {self.why}: no new calls for {self.closed_s:g} s"


class PathOpened(Event, frozen=True):
    """A broker does as well as the others again."""

    def text(self) -> str:
        """See `Event`."""
        return f"{self.about} takes calls again"


class WorkWithheld(Event, frozen=True):
    """A broker gives this node no new work, or gives it some again, as an operator has asked for.

    Attributes:
        by: who has.
        out: whether it gives none.
    """

    level = WARNING

    by: str
    out: bool

    def text(self) -> str:
        """See `Event`."""
        if self.out:
            return f"{self.about} gives this node no new work: {self.by} has taken it out"
        return f"{self.about} gives this node work again: {self.by} has put it back"


class ReplyUnproven(Event, frozen=True):
    """A broker has brought a reply that its worker has not proved, for the first time.

    Attributes:
        worker: in whose name.
        service: which service was called.
        flaw: what is wrong with the proof.
    """

    level = WARNING

    worker: str
    service: str
    flaw: str

    def text(self) -> str:
        """See `Event`."""
        said = f"{self.about} brings a reply of '{self.worker}' to {self.service} that is refused: {self.flaw}"
        return f"{said}; further ones are only counted"


class ErrorMalformed(Event, frozen=True):
    """A worker has answered with an error that cannot be read.

    Attributes:
        service: which service was called.
        flaw: what is wrong with it.
    """

    level = WARNING

    service: str
    flaw: str

    def text(self) -> str:
        """See `Event`."""
        return f"{self.about} answers {self.service} with what is no error: {self.flaw}"


class HandlerOverdue(Event, frozen=True):
    """A handler goes on after its deadline, although it was told to stop; `about` is its service.

    Attributes:
        request: the id of its request.
        client: who waited for it.
        replaced: whether another one may begin in its place.
        strays: how many handlers may go on in this way at most.
    """

    level = WARNING

    request: str
    client: str
    replaced: bool
    strays: int

    def text(self) -> str:
        """See `Event`."""
        taken = f"its place stays taken, as {self.strays} others go on, too"
        place = "another one may begin" if self.replaced else taken
        request = f"request {self.request} of {self.client}"
        return f"a handler of {self.about} goes on after the deadline of {request}: {place}"


class ResultTooLarge(Event, frozen=True):
    """A handler has returned more than fits a message; `about` is its service.

    Attributes:
        request: the id of its request.
        client: who waited for it.
        what: how large it is, and may be.
    """

    level = WARNING

    request: str
    client: str
    what: str

    def text(self) -> str:
        """See `Event`."""
        return f"{self.about}, request {self.request} of {self.client}: {self.what}"
