"""The requests that wait at a broker for a worker with credit: who may wait, who is next, and who waits no longer."""

from typing import Final

from braidmq.core.broker.assignments import Assignments
from braidmq.core.broker.catalogue import Catalogue
from braidmq.core.broker.outgoing import Outgoing
from braidmq.core.broker.transit import Offer, Service, SessionState, Transit
from braidmq.core.patience import ask_s
from braidmq.core.share import fits
from braidmq.core.timers import Timers
from braidmq.observer import BrokerObserver
from braidmq.settings import Settings
from braidmq.wire import control
from braidmq.wire.envelope import Reason

DEMAND_S: Final = 0.05
"""How often a service with a queue asks its workers for more credit: some round trips of a data centre."""

TURN_BYTES: Final = 65_536
"""A waiting request up to this size takes one turn of its key, a larger one as many as it is times as large: what is
worth a bundle of its own is no longer cheap."""


class Queues:
    """The requests that wait.

    `add` lets one wait or refuses it at once; it leaves by `feed`, which gives a worker what is next, by `take`, or
    refused by `empty` and `release`. Each service has its own queue; what all of them hold together is bounded here.

    Attributes:
        bytes: the size of all that waits.
    """

    __slots__ = (
        "_assignments", "_catalogue", "_counters", "_observer", "_outgoing", "_released", "_settings", "_timers",
        "bytes",
    )  # fmt: skip

    def __init__(
        self,
        settings: Settings,
        catalogue: Catalogue,
        assignments: Assignments,
        outgoing: Outgoing,
        timers: Timers[Transit],
        *,
        counters: dict[str, int],
        observer: BrokerObserver | None = None,
    ) -> None:
        self._observer = observer
        self._settings = settings
        self._catalogue = catalogue
        self._assignments = assignments
        self._outgoing = outgoing
        self._timers = timers
        self._counters = counters
        self._released = False
        self.bytes = 0

    def add(self, transit: Transit, rest: bytes, now: float) -> None:
        """Let a request wait, or refuse it; `rest` is its extension block and payload."""
        service, settings, size_bytes, usage = transit.service, self._settings, transit.size_bytes, transit.usage
        queue, turns = service.queue, (len(rest) + TURN_BYTES - 1) // TURN_BYTES or 1
        if not service.granting and self._catalogue.settle_at is None:
            self.refuse(transit, Reason.NO_WORKER, now)
        elif self._released:
            self.refuse(transit, Reason.DRAINING, now)
        elif not (
            fits(queue.held(usage), 1, settings.queue_messages_max - queue.count)
            and fits(usage.queued_bytes, size_bytes, settings.queue_bytes_max - self.bytes)
            and usage.queued_bytes + size_bytes <= settings.in_flight_bytes_max
        ):
            self.refuse(transit, Reason.BUSY, now)
        elif late_by_s := service.pace.late_s(queue.ahead(usage, turns), transit.deadline - now):
            self.refuse(transit, Reason.BUSY, now, retry_after_s=late_by_s)
        else:
            if transit.returns:
                queue.put_back(usage, transit)
            else:
                queue.add(usage, transit, turns)
            transit.waits = True
            transit.came_at = transit.came_at or now
            transit.rest = rest
            self.bytes += size_bytes
            usage.queued_bytes += size_bytes
            ask_at = now + ask_s(transit.interval_s)
            transit.timer = self._timers.add(transit, min(transit.deadline, ask_at))
            if self._observer is not None:
                self._observer.on_request_queued(transit.id, service.name.decode(), service.queued, now)
            self.demand(service, now)

    def take(self, transit: Transit, *, for_worker: bool = False) -> bytes:
        """Let a request wait no longer; return its extension block and payload."""
        rest, transit.rest = transit.rest, None
        assert rest is not None
        transit.waits = False
        service, usage = transit.service, transit.usage
        if for_worker:
            service.queue.take(usage, transit)
        else:
            service.queue.remove(usage, transit)
        if not service.queued:
            service.pace.reset()
            self._catalogue.tidy(service)
        self.bytes -= transit.size_bytes
        usage.queued_bytes -= transit.size_bytes
        self._timers.cancel(transit, transit.timer)
        return rest

    def feed(self, offer: Offer, now: float) -> None:
        """Send waiting requests to a worker as long as it has credit."""
        service = offer.service
        while offer.ready and offer.outstanding < offer.credit:
            transit = service.queue.first()
            if transit is None:
                return
            rest = self.take(transit, for_worker=True)
            if transit.deadline <= now:
                self._counters["expired"] += 1
                self.refuse(transit, Reason.EXPIRED, now)
            else:
                self._assignments.give(transit, offer, rest, now)
        if service.queued:
            self.demand(service, now)

    def demand(self, service: Service, now: float) -> None:
        """Ask the workers of a service for more credit, if they were not asked a moment ago."""
        if now < service.demand_at:
            return
        service.demand_at = now + DEMAND_S
        wish = control.Demand(service.name.decode(), service.queued)
        for offer in service.offers.values():
            if offer.session.state is SessionState.OPEN:
                self._outgoing.demand(offer.session, wish, now)

    def empty(self, service: Service, reason: Reason, now: float) -> None:
        """Reject what waits for a service."""
        for transit in list(service.queue):
            self.take(transit)
            self.refuse(transit, reason, now)

    def release(self, now: float) -> None:
        """Reject what waits for a worker, as it was certainly not run: other brokers can have it."""
        self._released = True
        for service in list(self._catalogue.services.values()):
            self.empty(service, Reason.DRAINING, now)

    # -- those that wait for an answer no longer

    def refuse(self, transit: Transit, reason: Reason, now: float, *, retry_after_s: float = 0.0) -> None:
        """End a request that was certainly not run."""
        client = transit.client
        assert client is not None
        self.forget_client(transit)
        self._outgoing.reject(
            client, reason, transit.id, transit.client_tag, now, service=transit.service, retry_after_s=retry_after_s
        )

    def forget_client(self, transit: Transit) -> None:
        """Take the request off its client's usage; a worker that has it keeps its place in `assigned`."""
        client = transit.client
        if client is not None:
            transit.client = None
            del client.requests[transit.client_tag]
            transit.usage.in_flight -= 1
        if transit.waits:
            self.take(transit)
        else:
            self._timers.cancel(transit, transit.timer)

    # -- self-check

    def validate_state(self) -> list[Transit]:
        """Assert what always holds between two inputs; return what waits. For tests and the simulator."""
        services = self._catalogue.services.values()
        for service in services:
            service.validate_state(self._settings)
            assert service.granting or not service.queued or self._catalogue.settle_at is not None
        queued = [transit for service in services for transit in service.queue]
        for transit in queued:
            assert transit.waits
            assert transit.rest is not None
            assert transit.offer is None, "what waits is with no worker"
            assert transit.client is not None, "what nobody waits for is not kept"
        assert self.bytes == sum(transit.size_bytes for transit in queued) <= self._settings.queue_bytes_max
        return queued
