"""One request of a node, from its caller's wish to its end."""

from enum import Enum
from typing import Final

from braidmq.bounds import ATTEMPTS_MAX
from braidmq.core.links.link import Link


class Stage(Enum):
    """Where a call stands."""

    QUEUED = "waits for a place among in_flight_max"
    PARKED = "waits for a path"
    AWAITING = "waits for a worker"
    PAUSED = "waits for its pause to end"
    SENT = "awaits the answer to an attempt"
    LISTENING = "has no attempt left, but an answer may still come"


Attempt = tuple[Link, int, int]
"""Its link, its session there, and its tag."""

_QUEUED: Final = Stage.QUEUED


class Call:
    """One request of this node.

    Attributes:
        began_at: when its caller made it.
        path: the link of the current attempt, and `epoch` its session.
        earlier: attempts before the current one that may still be answered.
        worker: the worker that has said that it runs this request, and `instance` the process of it.
        running: whether it has said so of the current attempt.
        waited: whether its broker has said that it waits, or something unknown.
        silent: the worker that was given an attempt and has said nothing, as its name behind its process.
        held_until: when the next attempt may be sent, unless the current one runs (patience.py).
        hold_s: for how long the next attempt is held back since the current one was sent. Within half of it that one
            begins, or begins with the flag.
        untold: the last attempt, if its broker does not know yet that another one follows.
        waits: whether it waits for a worker where there is none; None leaves it to the settings.
        nested: which run of a handler of this node makes it; 0 if none does.
        careful_until: until when the next attempt waits for a path that passes it on (passage.py); 0 if it does not.
        risky: whether the current attempt may make its path deaf.
        flagged: whether an attempt may have been run, or an earlier request that this one repeats.
        repeats: how many earlier requests it repeats, by its caller's word; the retry count begins with that.
        failed_over: whether the free first failover was used.
        owes: whether the next attempt waits until the budget allows it.
        verdict_of: the path over which it was told that it is refused for good; a second one has to say so, too.
        advised: whether it has gone to a second one for that without the budget.
        rejection: why the last attempt was rejected, if it was.
    """

    __slots__ = (
        "advised",
        "attempts_max",
        "began_at",
        "careful_until",
        "deadline",
        "earlier",
        "epoch",
        "extension",
        "failed_over",
        "flagged",
        "heard_at",
        "held_until",
        "hold_s",
        "id",
        "instance",
        "nested",
        "owes",
        "path",
        "payload",
        "rejection",
        "repeats",
        "retry_count",
        "risky",
        "round",
        "running",
        "sends",
        "sent_at",
        "service",
        "silent",
        "stage",
        "tag",
        "timer",
        "tried",
        "unsent",
        "untold",
        "verdict_of",
        "via",
        "waited",
        "waits",
        "worker",
    )

    def __init__(
        self,
        id_: bytes,
        service: bytes,
        payload: bytes,
        extension: bytes,
        deadline: float,
        attempts_max: int,
        via: str | None,
        waits: bool | None,
        nested: int,
        now: float,
        repeats: int = 0,
    ) -> None:
        self.id = id_
        self.service = service
        self.payload = payload
        self.extension = extension
        self.deadline = deadline
        self.attempts_max = attempts_max
        self.via = via
        self.waits = waits
        self.nested = nested
        self.began_at = now
        self.stage = _QUEUED
        self.path: Link | None = None
        self.epoch = 0
        self.tag = 0
        self.sent_at = 0.0
        self.heard_at = 0.0
        self.sends = 0
        self.repeats = repeats
        self.retry_count = repeats
        self.flagged = repeats > 0
        self.failed_over = False
        self.owes = False
        self.unsent = False
        self.round = 0
        self.rejection: int | None = None
        self.worker = b""
        self.instance = b""
        self.running = False
        self.waited = False
        self.silent = b""
        self.held_until = 0.0
        self.hold_s = 0.0
        self.careful_until = 0.0
        self.risky = False
        self.untold: Attempt | None = None
        self.verdict_of: Link | None = None
        self.advised = False
        self.tried: list[Link] = []
        self.earlier: list[Attempt] = []
        self.timer = 0

    @property
    def lost(self) -> bool:
        """Whether an attempt of this call may have been run."""
        return self.retry_count > self.repeats

    def may_be_answered(self) -> bool:
        """Whether an answer to an earlier attempt may still come."""
        return any(link.open and link.epoch == epoch for link, epoch, _tag in self.earlier)

    def validate_state(self) -> None:
        """Assert what must hold between two inputs. For tests and the simulator."""
        assert 0 <= self.retry_count - self.repeats <= self.sends <= self.attempts_max
        assert self.flagged == (self.retry_count > 0)
        assert len(self.earlier) <= min(self.retry_count - self.repeats, ATTEMPTS_MAX)
        assert len(set(self.tried)) == len(self.tried)
        assert not self.owes or (self.stage is Stage.PAUSED and self.flagged)
        path = self.path
        assert (self.stage is Stage.SENT) == (path is not None)
        if path is not None:
            assert path.open
            assert path.epoch == self.epoch
            assert self in path.calls
            assert path in self.tried
            assert self.sent_at <= self.heard_at
            assert (path, self.epoch, self.tag) not in self.earlier
        elif self.stage is Stage.LISTENING:
            assert self.may_be_answered()
        elif self.stage is Stage.QUEUED:
            assert not self.sends
