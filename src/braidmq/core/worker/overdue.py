"""Handlers that go on after their deadline: each is to stop, or it loses its place, as far as few others have."""

from collections.abc import Collection
from typing import Final

from braidmq.core.events.log import EventLog
from braidmq.core.events.node import HandlerOverdue
from braidmq.core.worker.dedup import Key
from braidmq.core.worker.job import Job, LocalService

STOP_S: Final = 0.1
"""How long after its deadline a handler is stopped, if nobody has called it off before: its caller knows the deadline
better, by what the request took on its way, and must not be told of a loss before it gives up itself."""

STRAY_S: Final = 0.25
"""How long a handler may take to stop after that, before it loses its place. Then the log says that it goes on."""

STRAY_AGAIN_S: Final = 1.0
"""How often a handler is looked at that keeps its place, as too many others go on already."""


class Overdue:
    """Judges the handlers that nobody waits for any more.

    `look` is asked of each from STOP_S after its deadline on, as often as it says; once a handler has lost its place it
    is a stray, and `end` is told when that ends.

    Attributes:
        strays: the jobs without a place whose handlers go on, by their keys.
    """

    __slots__ = ("_events", "strays")

    def __init__(self, events: EventLog) -> None:
        self._events = events
        self.strays: dict[Key, Job] = {}

    def look(self, job: Job) -> float:
        """Return after how many seconds to look at a handler again; 0 if it has lost its place, and is a stray now.

        At the first look it is stopped, which is its owner's to do, and has STRAY_S for it.
        """
        job.overdue += 1
        if job.overdue == 1:
            return STRAY_S
        service = job.service
        may_go = job.begun and service.strays < service.strays_max
        if job.overdue == 2:
            sender, id_ = job.request.sender.decode("ascii", "replace"), job.request.id.hex()
            self._events.add(HandlerOverdue(service.name.decode(), id_, sender, may_go, service.strays_max))
        if not may_go:
            return STRAY_AGAIN_S
        self.strays[job.key] = job
        service.strays += 1
        return 0.0

    def end(self, job: Job) -> bool:
        """Note that a handler has ended; return whether it was a stray, so that all have been told already."""
        if self.strays.pop(job.key, None) is None:
            return False
        job.service.strays -= 1
        return True

    def validate_state(self, services: Collection[LocalService]) -> None:
        """Assert what must hold between two inputs, given all services. For tests and the simulator."""
        strays = self.strays.values()
        assert all(job.service in services for job in strays)
        for service in services:
            assert service.strays == sum(job.service is service for job in strays) <= service.most
