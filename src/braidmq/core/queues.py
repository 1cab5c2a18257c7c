"""The requests that wait at a broker for a worker with credit: who may wait, who is next, and who waits no longer."""

from typing import Final

from braidmq.core.assignments import Assignments
from braidmq.core.catalogue import Catalogue
from braidmq.core.exchange import Exchange, Service, SessionState, Slot
from braidmq.core.outgoing import Outgoing
from braidmq.core.patience import ask_s
from braidmq.core.share import fits
from braidmq.core.timers import Timers
from braidmq.settings import Settings
from braidmq.wire import control
from braidmq.wire.envelope import Reason

DEMAND_S: Final = 0.05
"""How often a service with a queue asks its workers for more credit: some round trips of a data centre."""

TURN_BYTES: Final = 65_536
"""A waiting request up to this size takes one turn of its key, a larger one as many as it is times as large: what is
worth a bundle of its own is no longer cheap."""


class Queues:
    """See the module. Each service has its own queue; what all of them hold together is bounded here.

    Attributes:
        bytes: the size of all that waits.
    """

    __slots__ = (
        "_assignments", "_catalogue", "_counters", "_outgoing", "_released", "_settings", "_timers", "bytes",
    )  # fmt: skip

    def __init__(
        self,
        settings: Settings,
        catalogue: Catalogue,
        assignments: Assignments,
        outgoing: Outgoing,
        timers: Timers[Exchange],
        *,
        counters: dict[str, int],
    ) -> None:
        self._settings = settings
        self._catalogue = catalogue
        self._assignments = assignments
        self._outgoing = outgoing
        self._timers = timers
        self._counters = counters
        self._released = False
        self.bytes = 0

    def add(self, exchange: Exchange, rest: bytes, now: float) -> None:
        """Let a request wait, or refuse it; `rest` is its extension block and payload."""
        service, settings, size_bytes, account = exchange.service, self._settings, exchange.size_bytes, exchange.account
        queue, turns = service.queue, (len(rest) + TURN_BYTES - 1) // TURN_BYTES or 1
        if not service.granting and self._catalogue.settle_at is None:
            self.refuse(exchange, Reason.NO_WORKER, now)
        elif self._released:
            self.refuse(exchange, Reason.DRAINING, now)
        elif not (
            fits(queue.held(account), 1, settings.queue_messages_max - queue.count)
            and fits(account.queued_bytes, size_bytes, settings.queue_bytes_max - self.bytes)
            and account.queued_bytes + size_bytes <= settings.in_flight_bytes_max
        ):
            self.refuse(exchange, Reason.BUSY, now)
        elif late_by_s := service.pace.late_s(queue.ahead(account, turns), exchange.deadline - now):
            self.refuse(exchange, Reason.BUSY, now, retry_after_s=late_by_s)
        else:
            if exchange.returns:
                queue.put_back(account, exchange)
            else:
                queue.add(account, exchange, turns)
            exchange.waits = exchange.has_waited = True
            exchange.rest = rest
            self.bytes += size_bytes
            account.queued_bytes += size_bytes
            ask_at = now + ask_s(exchange.interval_s)
            exchange.timer = self._timers.add(exchange, min(exchange.deadline, ask_at))
            self.demand(service, now)

    def take(self, exchange: Exchange, *, for_worker: bool = False) -> bytes:
        """Let a request wait no longer; return its extension block and payload."""
        rest, exchange.rest = exchange.rest, None
        assert rest is not None
        exchange.waits = False
        service, account = exchange.service, exchange.account
        if for_worker:
            service.queue.take(account, exchange)
        else:
            service.queue.remove(account, exchange)
        if not service.queued:
            service.pace.reset()
            self._catalogue.tidy(service)
        self.bytes -= exchange.size_bytes
        account.queued_bytes -= exchange.size_bytes
        self._timers.cancel(exchange, exchange.timer)
        return rest

    def feed(self, slot: Slot, now: float) -> None:
        """Send waiting requests to a worker as long as it has credit."""
        service = slot.service
        while slot.ready and slot.outstanding < slot.credit:
            exchange = service.queue.first()
            if exchange is None:
                return
            rest = self.take(exchange, for_worker=True)
            if exchange.deadline <= now:
                self._counters["expired"] += 1
                self.refuse(exchange, Reason.EXPIRED, now)
            else:
                self._assignments.give(exchange, slot, rest, now)
        if service.queued:
            self.demand(service, now)

    def demand(self, service: Service, now: float) -> None:
        """Ask the workers of a service for more credit, if they were not asked a moment ago."""
        if now < service.demand_at:
            return
        service.demand_at = now + DEMAND_S
        wish = control.Demand(service.name.decode(), service.queued)
        for slot in service.slots.values():
            if slot.session.state is SessionState.OPEN:
                self._outgoing.demand(slot.session, wish, now)

    def empty(self, service: Service, reason: Reason, now: float) -> None:
        """Reject what waits for a service."""
        for exchange in list(service.queue):
            self.take(exchange)
            self.refuse(exchange, reason, now)

    def release(self, now: float) -> None:
        """Reject what waits for a worker, as it was certainly not run: other brokers can have it."""
        self._released = True
        for service in list(self._catalogue.services.values()):
            self.empty(service, Reason.DRAINING, now)

    # -- those that wait for an answer no longer

    def refuse(self, exchange: Exchange, reason: Reason, now: float, *, retry_after_s: float = 0.0) -> None:
        """End a request that was certainly not run."""
        client = exchange.client
        assert client is not None
        self.forget_client(exchange)
        self._outgoing.reject(client, reason, exchange.id, exchange.client_tag, now, retry_after_s=retry_after_s)

    def forget_client(self, exchange: Exchange) -> None:
        """Take the request off its client's account; a worker that has it keeps its place in `assigned`."""
        client = exchange.client
        if client is not None:
            exchange.client = None
            del client.requests[exchange.client_tag]
            exchange.account.in_flight -= 1
        if exchange.waits:
            self.take(exchange)
        else:
            self._timers.cancel(exchange, exchange.timer)

    # -- self-check

    def validate_state(self) -> list[Exchange]:
        """Assert what always holds between two inputs; return what waits. For tests and the simulator."""
        services = self._catalogue.services.values()
        for service in services:
            service.validate_state(self._settings)
            assert service.granting or not service.queued or self._catalogue.settle_at is not None
        queued = [exchange for service in services for exchange in service.queue]
        for exchange in queued:
            assert exchange.waits
            assert exchange.rest is not None
            assert exchange.slot is None, "what waits is with no worker"
            assert exchange.client is not None, "what nobody waits for is not kept"
        assert self.bytes == sum(exchange.size_bytes for exchange in queued) <= self._settings.queue_bytes_max
        return queued
