"""The broker's inner loop: requests to workers with credit, answers back to their clients.

It knows services, their workers and the requests on their way; it knows nothing of how sessions begin. Messages
that break the protocol raise ProtocolError, which `BrokerCore` counts against their sender.
"""

from collections.abc import Collection
from typing import Final

from braidmq.core.catalogue import Catalogue
from braidmq.core.cooling import Cooling
from braidmq.core.events import DEBUG, WARNING, EventLog
from braidmq.core.exchange import JOINING_BYTES_MAX, Exchange, Service, Session, SessionState, Slot
from braidmq.core.outbox import Outbox
from braidmq.core.patience import ask_again_s, ask_s, interval_s, promise_s, sure_s
from braidmq.core.share import fits
from braidmq.core.timers import Timers
from braidmq.errors import ProtocolError
from braidmq.members import is_service
from braidmq.settings import Settings
from braidmq.wire import control
from braidmq.wire.envelope import (
    CANCEL,
    INSTANCE_BYTES,
    LOST,
    PREFIX,
    PREFIX_BYTES,
    REJECT,
    REPLY,
    REQUEST,
    UINT32,
    VERSION,
    WORKING,
    Field,
    Flag,
    Outcome,
    Progress,
    Reason,
    Withdrawal,
    milliseconds,
    pack_field,
    unpack,
)

_DUPLICATE: Final = int(Flag.POSSIBLE_DUPLICATE)
_RESULT: Final = int(Outcome.RESULT)

DEMAND_S: Final = 0.05
"""How often a service with a queue asks its workers for more credit: some round trips of a data centre."""

CREDIT_MAX: Final = 10_000
"""Most requests of one service that one worker can have: a larger grant counts as this. It bounds what a worker
that never answers can make the broker keep."""

KEY_CREDIT_MAX: Final = 100_000
"""Most requests that all workers with one key can be granted and have: what goes beyond it counts as no grant. They are
some 50 MiB of what the broker keeps of them."""

TIME_MS_MAX: Final = 86_400_000
"""Longest deadline of a request, as at the client: a day."""

TURN_BYTES: Final = 65_536
"""A waiting request up to this size takes one turn of its key, a larger one as many as it is times as large: what is
worth a bundle of its own is no longer cheap."""

KEPT_S: Final = 0.05
"""How long a request that went to a worker is kept, in case the worker gives it back: one that has no place says so at
once. Longer would keep the payloads of all requests that are with workers."""

KEPT_BYTES_MAX: Final = 64 * 1024 * 1024
"""Bytes of what is kept in this way; what finds no room in it is given to a worker all the same."""

POSTPONED_PER_TICK: Final = 100
"""Grants that had to wait for room, and are tried again in one tick: less than a millisecond's work."""

EARLY_S: Final = 0.05
"""A worker that refuses a request as expired with more time left than this refuses what others would run."""

RETURNS_MAX: Final = 16
"""How often workers may give one request back before its client is told: as many as may be full at one moment, and no
endless game between a broker and a worker that invites and refuses."""

WORKING_SHARE: Final = 0.5
"""The share of its interval that lies between two WORKING of a worker that reach a client: more of them say nothing
new, and would let a worker keep the client busy with one request."""

SILENT_INTERVALS: Final = 1.5
"""Intervals after which a worker gets no more that has said nothing since it was given a request, not even WORKING."""

KEY_IN_FLIGHT_FACTOR: Final = 8
"""Unanswered requests that a key may have here, in times of in_flight_max: a node makes so many for its callers, and
more for its handlers, which may call one another to some depth."""

_OF_BROKERS: Final = (Reason.DENIED, Reason.TOO_LARGE)
"""Reasons that end a call, and which a broker has found not to be there: from a worker they count as BUSY."""


class Dispatcher:
    """See the module.

    Attributes:
        services: those that have a worker here, or are waited for.
        draining: take no new requests.
        announce: set when the list of available services may have changed.
        settle_at: until then requests for a service without a worker wait for one; None once that is over.
        elsewhere: services that other brokers have workers for: before `settle_at` only those are waited for. None,
            if no other broker can tell.
        failed: clients of which a request could not be looked after, each with the error; see `take_failed`.
        silent: workers that have said nothing since they were given a request; whoever reads it clears it.
    """

    def __init__(
        self, name: str, settings: Settings, outbox: Outbox[bytes], counters: dict[str, int], events: EventLog
    ) -> None:
        self.settings = settings
        self._catalogue = Catalogue(settings)
        self.services = self._catalogue.services
        self.queued_bytes = 0
        self.draining = False
        self.announce = False
        self.settle_at: float | None = None
        self.elsewhere: frozenset[bytes] | None = None
        self.silent: list[Session] = []
        self._released = False
        self.failed: list[tuple[Session, Exception]] = []
        self._name = name.encode()
        self._outbox = outbox
        self.counters = counters
        self._events = events
        self._timers: Timers[Exchange] = Timers()
        self._kept: dict[Exchange, None] = {}
        self._kept_bytes = 0
        self._cooling = Cooling()
        self._tag = 0

    def next_deadline(self) -> float | None:
        """Return when `on_timer` is due."""
        due = self._timers.next_deadline()
        if self.settle_at is None:
            return due
        return self.settle_at if due is None else min(due, self.settle_at)

    def take_failed(self) -> list[tuple[Session, Exception]]:
        """Return `failed`, and forget it."""
        failed, self.failed = self.failed, []
        return failed

    def available(self) -> list[str]:
        """Return the services that have a worker here now, in alphabetical order."""
        return sorted(name.decode() for name, service in self.services.items() if service.available())

    # -- sessions

    def on_state(self, session: Session, now: float) -> None:
        """Take in that a session changed its state."""
        self.announce = self.announce or bool(session.slots)
        for slot in session.slots.values():
            slot.service.offer(slot)
            self._feed(slot, now)

    def on_rights(self, session: Session, now: float) -> None:
        """Take in that a session's rights changed."""
        session.callable.clear()
        self.announce = True
        for slot in list(session.slots.values()):
            if not session.member.may_serve(slot.service.name.decode()):
                self._remove_slot(slot, now)
        for name in list(session.postponed):
            if not session.member.may_serve(name.decode()):
                self._catalogue.withdraw(session, name)

    def on_unsent(self, session: Session, messages: list[bytes], now: float) -> None:
        """Take back messages that certainly did not reach a worker that is gone; others get its requests."""
        self._forget_requests(session, now)
        self.remove_slots(session, now)
        for message in messages:
            if message[5] == REQUEST:
                fields = unpack(message)
                exchange = session.assigned.pop(fields[7], None)
                if exchange is not None:
                    self._leave_worker(exchange)
                    self._timers.cancel(exchange, exchange.timer)
                    if exchange.client is not None and exchange.superseded:
                        self._refuse_exchange(exchange, Reason.EXPIRED, now)
                    elif exchange.client is not None:
                        self._route_again(exchange, message[PREFIX_BYTES + sum(fields[9:12]) :], now)

    def on_end(self, session: Session, now: float) -> None:
        """Take in that a session is over: forget what it asked, and report LOST what it had to do."""
        self._forget_requests(session, now)
        self.remove_slots(session, now)
        for exchange in session.assigned.values():
            self._leave_worker(exchange)
            if exchange.client is not None:
                self.counters["lost"] += 1
                self._tell_of_loss(exchange, now)
        session.assigned.clear()

    def on_timer(self, now: float) -> None:
        """Take in that time has passed."""
        for exchange in self._timers.take_due(now):
            client = exchange.client
            try:
                self._on_due(exchange, now)
            except Exception as error:  # noqa: BLE001 - see containment.py
                if client is not None:
                    self.failed.append((client, error))
        if self.settle_at is not None and now >= self.settle_at:
            self.settle_at = None
            for service in list(self.services.values()):
                if not service.granting:
                    self._dissolve(service, now)

    def on_tick(self, now: float) -> None:
        """Look after what need not be looked after at once; call it each KEPT_S or so."""
        self._forget_kept(now)
        for slot in self._cooling.take_due(now):
            slot.service.offer(slot)
            self._feed(slot, now)
        for session, name, credit in self._catalogue.take_postponed(POSTPONED_PER_TICK):
            self._grant(session, name, credit, now)

    # -- requests and answers

    def on_request(self, session: Session, message: bytes, age_s: float, now: float) -> None:
        """Take in a REQUEST that was delayed by `age_s` on its way."""
        self.counters["requests"] += 1
        if len(message) < PREFIX_BYTES:
            raise ProtocolError("a REQUEST that is cut off")
        (
            _length, version, _command, flags, retry_count, _sent_ms, time_ms, tag, id_, service_bytes,
            sender_bytes, receiver_bytes, code, extension_bytes, working_ms,
        ) = unpack(message)  # fmt: skip
        receiver_at = PREFIX_BYTES + service_bytes + sender_bytes
        rest_at = receiver_at + receiver_bytes
        payload_bytes = len(message) - rest_at - extension_bytes
        if payload_bytes < 0 or tag in session.requests:
            raise ProtocolError("a REQUEST whose lengths or tag are wrong")
        name = message[PREFIX_BYTES : PREFIX_BYTES + service_bytes]
        remaining_s = (time_ms if time_ms < TIME_MS_MAX else TIME_MS_MAX) / 1000.0 - age_s
        service = self.services.get(name)
        reason = self._why_not(session, name, service, payload_bytes, remaining_s)
        if service is None and reason is None:
            service = self._catalogue.expect(name, session.account)
        if reason is not None or service is None:
            self._reject(session, reason or Reason.NO_WORKER, id_, tag, now)
            return
        again, joins = None, False
        if retry_count and service.slots:
            again = service.pick_again(message[receiver_at:rest_at], message[rest_at : rest_at + extension_bytes])
            joins = again is not None and not (again.ready and again.outstanding < again.credit)
            if again is not None and joins and not self._may_join(session, again, len(message), now):
                again = None
        interval = interval_s(working_ms)
        exchange = Exchange(
            session, tag, id_, service, now + remaining_s, now - age_s + sure_s(interval, code), len(message), version,
            flags, retry_count, code, extension_bytes, working_ms, interval,
        )  # fmt: skip
        session.requests[tag] = exchange
        session.account.in_flight += 1
        if again is not None:
            if joins:
                exchange.joins = True
                exchange.account.joining_bytes += exchange.size_bytes
                again.session.joining_bytes += exchange.size_bytes
            self._dispatch(exchange, again, message[rest_at:], now)
        else:
            self._route(exchange, message[rest_at:], now)
            if not service.slots:
                self._tidy(service)

    def _why_not(
        self, session: Session, name: bytes, service: Service | None, payload_bytes: int, remaining_s: float
    ) -> Reason | None:
        allowed = session.callable.get(name)
        if not (session.may_call(name) if allowed is None else allowed):
            self.counters["denied"] += 1
            return Reason.DENIED
        if self.draining:
            return Reason.DRAINING
        if remaining_s <= 0.0:
            self.counters["expired"] += 1
            return Reason.EXPIRED
        if service is None and not self._may_come(name):
            return Reason.NO_WORKER
        if session.account.in_flight >= self.settings.in_flight_max * KEY_IN_FLIGHT_FACTOR:
            return Reason.BUSY
        if payload_bytes > self.settings.payload_bytes_max:
            return Reason.TOO_LARGE
        return None

    @staticmethod
    def _may_join(session: Session, again: Slot, size_bytes: int, now: float) -> bool:
        """Whether a request may go to a worker that has no credit for it, as it may have it already."""
        account, worker = session.account, again.session
        left = JOINING_BYTES_MAX - worker.joining_bytes
        return (
            worker.account.assigned < KEY_CREDIT_MAX
            and fits(account.joining_bytes, size_bytes, left)
            and account.join(now)
        )

    def _may_come(self, service: bytes) -> bool:
        """Whether a worker for a service that has none may be on its way to this broker, which has just started."""
        return self.settle_at is not None and (self.elsewhere is None or service in self.elsewhere)

    def _route(self, exchange: Exchange, rest: bytes, now: float) -> None:
        """Send a request to a worker with credit, or let it wait, or reject it."""
        if exchange.deadline <= now:
            self.counters["expired"] += 1
            self._refuse_exchange(exchange, Reason.EXPIRED, now)
            return
        balancer = exchange.service.balancer
        slot = None
        if balancer.slow and not exchange.retry_count and not exchange.returns:  # others are late already
            slot = balancer.pick_slow()
        slot = slot or balancer.pick(careful=exchange.retry_count > 0)
        if slot is not None:
            self._dispatch(exchange, slot, rest, now)
        else:
            self._enqueue(exchange, rest, now)

    def _route_again(self, exchange: Exchange, rest: bytes, now: float) -> None:
        """Route a request that was with a worker; its service may be gone meanwhile, or be another one."""
        name = exchange.service.name
        service = self.services.get(name)
        if service is None and self.settle_at is not None:
            service = self._catalogue.expect(name, exchange.account)
        if service is None:
            self._refuse_exchange(exchange, Reason.NO_WORKER, now)
            return
        exchange.service = service
        self._route(exchange, rest, now)
        self._tidy(service)

    def _enqueue(self, exchange: Exchange, rest: bytes, now: float) -> None:
        service, settings, size_bytes, account = exchange.service, self.settings, exchange.size_bytes, exchange.account
        queue, turns = service.queue, (len(rest) + TURN_BYTES - 1) // TURN_BYTES or 1
        if not service.granting and self.settle_at is None:
            self._refuse_exchange(exchange, Reason.NO_WORKER, now)
        elif self._released:
            self._refuse_exchange(exchange, Reason.DRAINING, now)
        elif not (
            fits(queue.held(account), 1, settings.queue_messages_max - queue.count)
            and fits(account.queued_bytes, size_bytes, settings.queue_bytes_max - self.queued_bytes)
            and account.queued_bytes + size_bytes <= settings.in_flight_bytes_max
        ):
            self._refuse_exchange(exchange, Reason.BUSY, now)
        elif late_by_s := service.pace.late_s(queue.ahead(account, turns), exchange.deadline - now):
            self._refuse_exchange(exchange, Reason.BUSY, now, retry_after_s=late_by_s)
        else:
            if exchange.returns:
                queue.put_back(account, exchange)
            else:
                queue.add(account, exchange, turns)
            exchange.waits = exchange.has_waited = True
            exchange.rest = rest
            self.queued_bytes += size_bytes
            account.queued_bytes += size_bytes
            ask_at = now + ask_s(exchange.interval_s)
            exchange.timer = self._timers.add(exchange, min(exchange.deadline, ask_at))
            self._demand(service, now)

    def _dequeue(self, exchange: Exchange, *, for_worker: bool = False) -> bytes:
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
            self._tidy(service)
        self.queued_bytes -= exchange.size_bytes
        account.queued_bytes -= exchange.size_bytes
        self._timers.cancel(exchange, exchange.timer)
        return rest

    def _dispatch(self, exchange: Exchange, slot: Slot, rest: bytes, now: float) -> None:
        client = exchange.client
        assert client is not None
        if now > exchange.sure_until:
            exchange.flags |= _DUPLICATE
        self._tag = tag = (self._tag + 1) & UINT32
        worker = slot.session
        names = exchange.service.name + client.name + worker.name
        head = PREFIX.pack(
            PREFIX_BYTES + len(names) + len(rest), exchange.version, REQUEST, exchange.flags, exchange.retry_count,
            int(now * 1000) & UINT32, int((exchange.deadline - now) * 1000), tag, exchange.id,
            len(exchange.service.name), len(client.name), len(worker.name), exchange.code, exchange.extension_bytes,
            exchange.working_ms,
        )  # fmt: skip
        exchange.tag = tag
        exchange.slot = slot
        exchange.dispatched_at = now
        account, size_bytes = exchange.account, exchange.size_bytes
        kept_bytes = account.kept_bytes + size_bytes
        if kept_bytes <= KEPT_BYTES_MAX - self._kept_bytes:  # `fits`, inline
            exchange.rest = rest
            self._kept[exchange] = None
            account.kept_bytes = kept_bytes
            self._kept_bytes += size_bytes
        worker.assigned[tag] = exchange
        worker.account.assigned += 1
        if not exchange.joins:  # what runs there already takes no credit
            slot.outstanding += 1
            slot.service.offer(slot)
        silent_at = now + SILENT_INTERVALS * exchange.interval_s
        exchange.timer = self._timers.add(exchange, silent_at if silent_at < exchange.deadline else exchange.deadline)
        self._send(worker, head + names + rest)

    def _forget_kept(self, now: float) -> None:
        """Forget what workers were given some time ago and have not given back."""
        for exchange in list(self._kept):
            if now - exchange.dispatched_at < KEPT_S:
                break
            self._keep_no_more(exchange)
        if not self._kept:
            self._kept = {}  # the old one has room for as many as there ever were

    def on_answer(self, session: Session, command: int, message: bytes, now: float) -> None:
        """Take in a REPLY, WORKING, REJECT or LOST from a worker."""
        if len(message) < PREFIX_BYTES:
            raise ProtocolError("an answer that is cut off")
        (
            _length, version, _command, flags, retry_count, _sent_ms, time_ms, tag, id_, service_bytes,
            sender_bytes, receiver_bytes, code, extension_bytes, _working_ms,
        ) = unpack(message)  # fmt: skip
        rest_at = PREFIX_BYTES + service_bytes + sender_bytes + receiver_bytes
        if rest_at + extension_bytes > len(message):
            raise ProtocolError("an answer whose lengths are wrong")
        exchange = session.assigned.get(tag)
        if exchange is None or exchange.id != id_:
            self.counters["unmatched"] += 1
            return
        client = exchange.client
        service = exchange.service
        slot = exchange.slot
        assert slot is not None
        if command == REPLY:
            self.counters["replies"] += 1
            slot.refusals = 0
            if len(service.slots) > 1:
                if code != _RESULT or slot.failing:
                    service.balancer.observe_outcome(slot, failed=code != _RESULT)
                if code == _RESULT and not exchange.retry_count and slot.listed:
                    service.balancer.observe(slot, now - exchange.dispatched_at)
            if service.queue.count:
                service.pace.on_answer(exchange.dispatched_at if exchange.has_waited else 0.0, now)
            self._finish(exchange, now)
        elif self._ends_here(exchange, command, code, now):
            return
        elif command == REJECT and code in _OF_BROKERS:
            code = int(Reason.BUSY)
        if client is None:
            return
        names = service.name + session.name + client.name
        head = PREFIX.pack(
            PREFIX_BYTES + len(names) + len(message) - rest_at, version, command, flags, retry_count,
            int(now * 1000) & UINT32, time_ms, exchange.client_tag, id_, len(service.name), len(session.name),
            len(client.name), code, extension_bytes, 0,
        )  # fmt: skip
        self._send(client, head + names + message[rest_at:])

    def _ends_here(self, exchange: Exchange, command: int, code: int, now: float) -> bool:
        """Take in an answer that is no REPLY; return whether the client is to hear nothing of it."""
        slot = exchange.slot
        assert slot is not None
        if command == WORKING:
            if now - exchange.working_at < exchange.interval_s * WORKING_SHARE:
                self.counters["working_dropped"] += 1
                return True
            exchange.working_at = now
            return False
        if command == REJECT:
            if self._take_back(exchange, code, now):
                return True
        elif exchange.client is not None:  # else it was asked to stop
            slot.service.balancer.observe_outcome(slot, failed=True)
            self._cooling.lose(slot, exchange.account.principal, now)
        self._finish(exchange, now)
        return False

    def _finish(self, exchange: Exchange, now: float) -> None:
        """A worker has answered: free its credit for the next request."""
        slot = exchange.slot
        assert slot is not None
        del slot.session.assigned[exchange.tag]
        self._leave_worker(exchange)
        self._forget_client(exchange)
        if slot.listed:
            slot.service.offer(slot)
            if slot.service.queue.count:
                self._feed(slot, now)

    def _leave_worker(self, exchange: Exchange) -> None:
        """Take in that no worker has a request any more: nothing of it is kept in case that one gives it back."""
        slot = exchange.slot
        assert slot is not None
        worker = slot.session
        worker.account.assigned -= 1
        if exchange.joins:
            exchange.joins = False
            exchange.account.joining_bytes -= exchange.size_bytes
            worker.joining_bytes -= exchange.size_bytes
        else:
            slot.outstanding -= 1
        exchange.slot = None
        if exchange.rest is not None:
            self._keep_no_more(exchange)

    def _keep_no_more(self, exchange: Exchange) -> None:
        exchange.rest = None
        exchange.account.kept_bytes -= exchange.size_bytes
        self._kept_bytes -= exchange.size_bytes
        del self._kept[exchange]

    @staticmethod
    def _is_over(exchange: Exchange, reason: int, now: float) -> bool:
        """Whether a worker is right to refuse a request as expired: its client gave it the time, or called it back."""
        withdrawn = exchange.client is None or exchange.superseded
        return reason == Reason.EXPIRED and (withdrawn or exchange.deadline - now <= EARLY_S)

    def _take_back(self, exchange: Exchange, reason: int, now: float) -> bool:
        """A worker refuses a request: find another one, or let it wait; return whether that can be done."""
        slot = exchange.slot
        assert slot is not None
        busy = reason == Reason.BUSY
        if (exchange.joins and busy) or self._is_over(exchange, reason, now):
            cools = slot.cools  # it is the client's doing, and says nothing of the worker
        else:
            slot.full = slot.full or busy
            cools = self._cooling.refuse(slot, busy=busy, now=now)
        service = self.services.get(exchange.service.name)
        elsewhere = busy or cools or (not slot.listed and service is not None and service.granting > 0)
        rest = exchange.rest
        if not elsewhere or exchange.client is None or exchange.superseded or rest is None:
            return False
        if exchange.returns >= RETURNS_MAX:
            return False
        self.counters["returned"] += 1
        exchange.returns += 1
        del slot.session.assigned[exchange.tag]
        self._leave_worker(exchange)
        if slot.listed:
            slot.service.offer(slot)
        self._timers.cancel(exchange, exchange.timer)
        self._route_again(exchange, rest, now)
        return True

    def on_renew(self, session: Session, message: bytes, now: float) -> None:
        """Take in a RENEW from a client: it counts on the attempt of which it was told that it waits."""
        if len(message) < PREFIX_BYTES:
            raise ProtocolError("a RENEW that is cut off")
        written_ms, tag, id_ = unpack(message)[6:9]
        exchange = session.requests.get(tag)
        if exchange is not None and exchange.id == id_:  # also while a worker has it, which may give it back
            age_s = ((int(now * 1000) - written_ms) & UINT32) / 1000.0
            promised_s = promise_s(exchange.interval_s) - sure_s(exchange.interval_s, exchange.code)
            sure_until = now - age_s + promised_s
            exchange.sure_until = max(exchange.sure_until, sure_until)

    def on_cancel(self, session: Session, message: bytes, now: float) -> None:
        """Take in a CANCEL from a client."""
        if len(message) < PREFIX_BYTES:
            raise ProtocolError("a CANCEL that is cut off")
        fields = unpack(message)
        tag, id_, how = fields[7], fields[8], fields[12]
        exchange = session.requests.get(tag)
        if exchange is None or exchange.id != id_:
            return
        if how != Withdrawal.SUPERSEDED:
            self.counters["cancelled"] += 1
            self._give_up(exchange, now)
        elif exchange.waits:
            self._dequeue(exchange)
            self._refuse_exchange(exchange, Reason.EXPIRED, now)
        elif not exchange.superseded:
            exchange.superseded = True
            self._withdraw(exchange, Withdrawal.SUPERSEDED, now)

    def _give_up(self, exchange: Exchange, now: float) -> None:
        """The client waits no longer: take the request out of the queue, or tell the worker that has it."""
        slot = exchange.slot
        if slot is not None and slot.listed and not exchange.retry_count:  # else its client may have chosen the worker
            slot.service.balancer.observe_unfinished(slot, now - exchange.dispatched_at)
            slot.service.offer(slot)
        self._withdraw(exchange, Withdrawal.GIVEN_UP, now)
        self._forget_client(exchange)

    def _withdraw(self, exchange: Exchange, how: Withdrawal, now: float) -> None:
        """Tell the worker that has a request, if one has it, that less is expected of it."""
        slot, client = exchange.slot, exchange.client
        if slot is not None:
            assert client is not None
            self._send(slot.session, self._short(CANCEL, how, exchange.id, exchange.tag, now, sender=client.name))

    def _forget_client(self, exchange: Exchange) -> None:
        """Take the request off its client's account; a worker that has it keeps its place in `assigned`."""
        client = exchange.client
        if client is not None:
            exchange.client = None
            del client.requests[exchange.client_tag]
            exchange.account.in_flight -= 1
        if exchange.waits:
            self._dequeue(exchange)
        else:
            self._timers.cancel(exchange, exchange.timer)

    def _forget_requests(self, session: Session, now: float) -> None:
        """The client is gone: nothing of what it asked is waited for here; it may come again over another path."""
        for exchange in list(session.requests.values()):
            self._withdraw(exchange, Withdrawal.ORPHANED, now)
            self._forget_client(exchange)

    def on_ready(self, session: Session, ready: control.Ready, now: float) -> None:
        """Take in a worker's grant of credit."""
        if session.state is SessionState.LEAVING:
            return
        name = ready.service.encode()
        if name not in session.slots:
            if not is_service(ready.service) or not session.member.may_serve(ready.service):
                self.counters["denied"] += 1
                if not session.warned:
                    session.warned = True
                    form = "{} may not serve '{}': its READY is ignored"
                    self._events.add(WARNING, form, session.member.name, ready.service)
                return
            self._catalogue.withdraw(session, name)
            if not ready.credit:
                return
        if not self._grant(session, name, ready.credit, now):
            self.counters["postponed"] += 1
            if not session.warned:
                session.warned = True
                limit = self._catalogue.limit(session.account)
                form = "{}: {} is reached: its READY for {} waits for room"
                self._events.add(WARNING, form, session.member.name, limit, ready.service)

    def _grant(self, session: Session, name: bytes, credit: int, now: float) -> bool:
        """Let a worker have so many requests of a service, now or once there is room for the service."""
        account = session.account
        slot = session.slots.get(name)
        if slot is None:
            slot = self._add_slot(session, name, now)
            if slot is None:
                self._catalogue.postpone(session, name, credit)
                return False
        service = slot.service
        others = account.granted - slot.credit + account.assigned - slot.outstanding
        credit = max(0, min(credit, CREDIT_MAX, KEY_CREDIT_MAX - others))
        self.announce = self.announce or bool(slot.credit) != bool(credit)
        service.granting += int(credit > 0) - int(slot.credit > 0)
        account.granted += credit - slot.credit
        slot.credit = credit
        slot.full = False
        if not credit:
            self._cooling.end(slot)
        service.offer(slot)
        if credit:
            self._feed(slot, now)
        else:
            self._miss(service, now)
        return True

    def _add_slot(self, session: Session, name: bytes, now: float) -> Slot | None:
        """Return a new place of a worker at a service, or None if a limit forbids it."""
        displaced = self._catalogue.displaced(name, session.account)
        if displaced is not None:
            self._remove_service(displaced, now)
        service = self._catalogue.provide(name, session.account)
        if service is None:
            return None
        slot = session.slots[name] = service.slots[session] = Slot(service, session)
        self._events.add(DEBUG, "{} serves {}", session.member.name, name.decode())
        return slot

    def _feed(self, slot: Slot, now: float) -> None:
        """Send waiting requests to a worker as long as it has credit."""
        service = slot.service
        while slot.ready and slot.outstanding < slot.credit:
            exchange = service.queue.first()
            if exchange is None:
                return
            rest = self._dequeue(exchange, for_worker=True)
            if exchange.deadline <= now:
                self.counters["expired"] += 1
                self._refuse_exchange(exchange, Reason.EXPIRED, now)
            else:
                self._dispatch(exchange, slot, rest, now)
        if service.queued:
            self._demand(service, now)

    def _demand(self, service: Service, now: float) -> None:
        if now < service.demand_at:
            return
        service.demand_at = now + DEMAND_S
        wish = control.Demand(service.name.decode(), service.queued)
        for slot in service.slots.values():
            if slot.session.state is SessionState.OPEN:
                self._outbox.put_control(slot.session.route, wish, now)

    def remove_slots(self, session: Session, now: float) -> None:
        """Take in that a session serves nothing any more."""
        self._catalogue.withdraw_all(session)
        for slot in list(session.slots.values()):
            self._remove_slot(slot, now)

    def _remove_slot(self, slot: Slot, now: float) -> None:
        service, session = slot.service, slot.session
        self._cooling.end(slot)
        del session.slots[service.name]
        del service.slots[session]
        service.granting -= slot.credit > 0
        session.account.granted -= slot.credit
        service.balancer.forget(slot)
        self.announce = True
        self._catalogue.leave(service, session.account)
        self._miss(service, now)

    def _miss(self, service: Service, now: float) -> None:
        """Take in that a service has one worker less that grants credit."""
        if service.cooling and len(service.cooling) >= service.granting:
            for slot in list(service.cooling):
                self._cooling.end(slot)
                service.offer(slot)
                self._feed(slot, now)
        if not service.granting:
            if self.settle_at is None:
                self._dissolve(service, now)
            else:
                self._tidy(service)

    def _dissolve(self, service: Service, now: float) -> None:
        """Reject what waits for a service of which no worker takes anything; forget it, if it has none."""
        if not service.slots:
            self._remove_service(service, now)
        else:
            self._empty(service, Reason.NO_WORKER, now)

    def _tidy(self, service: Service) -> None:
        """Forget a service that nobody provides, and nobody waits for."""
        if not service.slots and not service.queue.count and self.services.get(service.name) is service:
            self._catalogue.remove(service)

    def _remove_service(self, service: Service, now: float) -> None:
        """Forget a service without workers."""
        self._catalogue.remove(service)
        self._empty(service, Reason.NO_WORKER, now)

    def _empty(self, service: Service, reason: Reason, now: float) -> None:
        """Reject what waits for a service."""
        for exchange in list(service.queue):
            self._dequeue(exchange)
            self._refuse_exchange(exchange, reason, now)

    def release_queues(self, now: float) -> None:
        """Reject what waits for a worker, as it was certainly not run: other brokers can have it."""
        self._released = True
        for service in list(self.services.values()):
            self._empty(service, Reason.DRAINING, now)

    def _refuse_exchange(self, exchange: Exchange, reason: Reason, now: float, *, retry_after_s: float = 0.0) -> None:
        client = exchange.client
        assert client is not None
        self._forget_client(exchange)
        self._reject(client, reason, exchange.id, exchange.client_tag, now, retry_after_s=retry_after_s)

    def _reject(
        self, session: Session, reason: Reason, id_: bytes, tag: int, now: float, *, retry_after_s: float = 0.0
    ) -> None:
        self.counters["rejected"] += 1
        self._send(session, self._short(REJECT, reason, id_, tag, now, time_ms=milliseconds(retry_after_s)))

    def _tell_of_loss(self, exchange: Exchange, now: float) -> None:
        """A worker is gone with a request: its client hears so, and for how long that worker has had it."""
        client = exchange.client
        assert client is not None
        had_ms = milliseconds(now - exchange.dispatched_at)
        self._forget_client(exchange)
        self._send(client, self._short(LOST, 0, exchange.id, exchange.client_tag, now, time_ms=had_ms))

    def _short(
        self,
        command: int,
        code: int,
        id_: bytes,
        tag: int,
        now: float,
        *,
        sender: bytes | None = None,
        time_ms: int = 0,
        extension: bytes = b"",
    ) -> bytes:
        """Return a message without payload; its sender is the broker unless another is named."""
        name = self._name if sender is None else sender
        size, sent_ms = PREFIX_BYTES + len(name) + len(extension), int(now * 1000) & UINT32
        head = PREFIX.pack(
            size, VERSION, command, 0, 0, sent_ms, time_ms, tag, id_, 0, len(name), 0, int(code), len(extension), 0
        )
        return head + name + extension

    def _on_due(self, exchange: Exchange, now: float) -> None:
        if exchange.client is None:
            return
        if exchange.deadline <= now:
            self.counters["expired"] += 1
            if exchange.waits:
                self._dequeue(exchange)
                self._refuse_exchange(exchange, Reason.EXPIRED, now)
            else:
                self._give_up(exchange, now)
        elif exchange.waits:
            self._send(exchange.client, self._progress(exchange, Progress.QUEUED, now))
            ask_at = now + ask_again_s(exchange.interval_s, exchange.code)
            exchange.timer = self._timers.add(exchange, min(exchange.deadline, ask_at))
            self._demand(exchange.service, now)
        else:
            self._doubt_worker(exchange, now)
            exchange.timer = self._timers.add(exchange, exchange.deadline)

    def _doubt_worker(self, exchange: Exchange, now: float) -> None:
        """Look whether a worker has said anything since it was given a request; if not, its client is told."""
        slot, client = exchange.slot, exchange.client
        assert slot is not None
        assert client is not None
        worker = slot.session
        if worker.heard_at > exchange.dispatched_at or worker.state is SessionState.LEAVING:
            return
        self.silent.append(worker)
        extension = pack_field(Field.INSTANCE, worker.instance) if len(worker.instance) == INSTANCE_BYTES else b""
        self._send(client, self._progress(exchange, Progress.SILENT, now, sender=worker.name, extension=extension))

    def _progress(
        self, exchange: Exchange, progress: Progress, now: float, *, sender: bytes | None = None, extension: bytes = b""
    ) -> bytes:
        return self._short(
            WORKING, progress, exchange.id, exchange.client_tag, now, sender=sender, extension=extension,
            time_ms=int(now * 1000) & UINT32,
        )  # fmt: skip

    def _send(self, session: Session, message: bytes) -> None:
        session.spoke = True
        self._outbox.put(session.route, message)

    # -- self-check

    def validate_state(self, sessions: Collection[Session]) -> None:
        """Assert what always holds between two inputs, given all sessions. For tests and the simulator."""
        self._catalogue.validate_state(set(sessions))
        for service in self.services.values():
            service.validate_state(self.settings)
            assert service.granting or not service.queued or self.settle_at is not None
        self._cooling.validate_state({slot for service in self.services.values() for slot in service.cooling})
        queued = [exchange for service in self.services.values() for exchange in service.queue]
        for exchange in queued:
            assert exchange.waits
            assert exchange.rest is not None
            assert exchange.slot is None, "what waits is with no worker"
            assert exchange.client is not None, "what nobody waits for is not kept"
        assert self.queued_bytes == sum(exchange.size_bytes for exchange in queued) <= self.settings.queue_bytes_max
        assigned: list[Exchange] = []
        for session in sessions:
            self._validate_assigned(session)
            assigned += session.assigned.values()
        kept = queued + assigned
        assert len(set(kept)) == len(kept), "an exchange is in one place"
        asked = [exchange for session in sessions for exchange in session.requests.values()]
        assert set(asked) == {exchange for exchange in kept if exchange.client is not None}
        for session in sessions:
            for tag, exchange in session.requests.items():
                assert exchange.client is session
                assert exchange.client_tag == tag
                assert exchange.account is session.account
        self._timers.validate_state({exchange: exchange.timer for exchange in asked})
        assert set(self._kept) == {exchange for exchange in assigned if exchange.rest is not None}
        times = [exchange.dispatched_at for exchange in self._kept]
        assert times == sorted(times)
        assert self._kept_bytes == sum(exchange.size_bytes for exchange in self._kept) <= KEPT_BYTES_MAX
        for account in {session.account for session in sessions}:
            mine = [session for session in sessions if session.account is account]
            granted = sum(slot.credit for session in mine for slot in session.slots.values())
            assert account.granted == granted <= KEY_CREDIT_MAX
            assert account.assigned == sum(len(session.assigned) for session in mine) <= 2 * KEY_CREDIT_MAX
            kept_bytes = sum(exchange.size_bytes for exchange in self._kept if exchange.account is account)
            assert account.kept_bytes == kept_bytes
            joining_bytes = sum(each.size_bytes for each in assigned if each.joins and each.account is account)
            assert account.joining_bytes == joining_bytes

    def _validate_assigned(self, session: Session) -> None:
        held: dict[Slot, int] = dict.fromkeys(session.slots.values(), 0)
        for tag, exchange in session.assigned.items():
            slot = exchange.slot
            assert slot is not None
            assert slot.session is session
            assert slot.service is exchange.service
            assert exchange.tag == tag
            assert not exchange.waits
            held[slot] = held.get(slot, 0) + (not exchange.joins)
        for slot, count in held.items():
            assert slot.outstanding == count
        joining = [each.size_bytes for each in session.assigned.values() if each.joins]
        assert session.joining_bytes == sum(joining) <= JOINING_BYTES_MAX
        for name, slot in session.slots.items():
            assert self.services[name].slots[session] is slot
            assert session.state is not SessionState.LEAVING
            assert session.member.may_serve(name.decode())
