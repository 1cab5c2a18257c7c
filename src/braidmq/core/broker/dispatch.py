"""The broker's inner loop: requests to workers with credit, answers back to their clients.

It knows services, their workers and the requests on their way; it knows nothing of how sessions begin. Messages
that break the protocol raise ProtocolError, which `BrokerCore` counts against their sender.
"""

from collections.abc import Collection
from typing import Final

from braidmq.bounds import DAY_S
from braidmq.core.broker.admission import OF_BROKERS, Admission, is_over
from braidmq.core.broker.assignments import Assignments, may_join
from braidmq.core.broker.catalogue import Catalogue
from braidmq.core.broker.offers import Offers
from braidmq.core.broker.outgoing import Outgoing
from braidmq.core.broker.queues import Queues
from braidmq.core.broker.refusals import Refusals, Refused
from braidmq.core.broker.transit import Service, Session, SessionState, Transit
from braidmq.core.events.log import EventLog
from braidmq.core.patience import ask_again_s, interval_s, promise_s, sure_s
from braidmq.core.reasons import name_of
from braidmq.core.timers import Timers
from braidmq.errors import ProtocolError
from braidmq.members import ECHO_SERVICE
from braidmq.observer import BrokerObserver, GivenUp
from braidmq.settings import Settings
from braidmq.wire.envelope import (
    PREFIX_BYTES,
    REJECT,
    REPLY,
    REQUEST,
    WORKING,
    Outcome,
    Reason,
    Withdrawal,
    command_of,
    head_of,
    milliseconds,
    now_ms,
    since_ms,
    unpack,
)
from braidmq.wire.forward import forwarded

_RESULT: Final = int(Outcome.RESULT)

TIME_MS_MAX: Final = 1_000 * DAY_S
"""Longest deadline of a request, as at the client."""

RETURNS_MAX: Final = 16
"""How often workers may give one request back before its client is told: as many as may be full at one moment, and no
endless game between a broker and a worker that invites and refuses."""

WORKING_SHARE: Final = 0.5
"""The share of its interval that lies between two WORKING of a worker that reach a client: more of them say nothing
new, and would let a worker keep the client busy with one request."""

ECHO_BYTES_MAX: Final = 1_024
"""Longest payload that a broker echoes: it proves a way, and carries nothing."""

_ECHO: Final = ECHO_SERVICE.encode()


class Dispatcher:
    """The services of one broker and the requests that are under way.

    A message comes by `on_request`, `on_answer`, `on_renew` or `on_cancel` when its session is known, and may raise
    ProtocolError, which is its sender's offence. `on_unsent` comes before `on_end` of a session; after `on_timer`,
    `take_failed` has the sessions of which something could not be looked after.

    Attributes:
        services: those that have a worker here, or are waited for.
        draining: take no new requests.
        catalogue: what is known of services.
        queues: the requests that wait for a worker.
        offers: the workers of services.
        failed: clients of which a request could not be looked after, each with the error; see `take_failed`.
        silent: workers that have said nothing since they were given a request; whoever reads it clears it.
    """

    def __init__(
        self,
        settings: Settings,
        outgoing: Outgoing,
        counters: dict[str, int],
        events: EventLog,
        *,
        refusals: Refusals,
        observer: BrokerObserver | None = None,
    ) -> None:
        self.settings = settings
        self._refusals = refusals
        self._observer = observer
        self.catalogue = Catalogue(settings)
        self._admission = Admission(settings, self.catalogue, counters)
        self.services = self.catalogue.services
        self.draining = False
        self.silent: list[Session] = []
        self.failed: list[tuple[Session, Exception]] = []
        self._outgoing = outgoing
        self.counters = counters
        self._timers: Timers[Transit] = Timers()
        self._assignments = Assignments(outgoing, self._timers, observer)
        self.queues = Queues(
            settings, self.catalogue, self._assignments, outgoing, self._timers, counters=counters, observer=observer
        )
        self.offers = Offers(self.catalogue, self.queues, counters, events, refusals=refusals, observer=observer)

    def next_deadline(self) -> float | None:
        """Return when `on_timer` is due."""
        due = self._timers.next_deadline()
        if self.catalogue.settle_at is None:
            return due
        return self.catalogue.settle_at if due is None else min(due, self.catalogue.settle_at)

    def take_failed(self) -> list[tuple[Session, Exception]]:
        """Return `failed`, and forget it."""
        failed, self.failed = self.failed, []
        return failed

    def available(self) -> list[str]:
        """Return the services that have a worker here now, in alphabetical order."""
        return sorted(name.decode() for name, service in self.services.items() if service.available())

    # -- sessions

    def on_unsent(self, session: Session, messages: list[bytes], now: float) -> None:
        """Take back messages that certainly did not reach a worker that is gone; others get its requests."""
        self._forget_requests(session, now)
        self.offers.remove_all(session, now)
        for message in messages:
            if command_of(message) == REQUEST:
                head = head_of(message)
                transit = session.assigned.pop(head.tag, None)
                if transit is not None:
                    self._assignments.leave(transit)
                    self._timers.cancel(transit, transit.timer)
                    if self._observer is not None:
                        self._observer.on_request_returned(transit.id, session.member.name, "UNSENT", now)
                    if transit.client is not None and transit.superseded:
                        self.queues.refuse(transit, Reason.EXPIRED, now)
                    elif transit.client is not None:
                        self._route_again(transit, message[head.rest_at :], now)

    def on_dropped(self, session: Session, request: bytes, now: float) -> None:
        """Handle a REQUEST that was called back from a worker before it had left: no answer to it will come."""
        head = head_of(request)
        transit = session.assigned.get(head.tag)
        if transit is None or transit.id != head.id:
            return
        client = transit.client
        self._finish(transit, now)
        if client is not None:  # it has sent the request again, and this attempt was certainly not run
            self._outgoing.reject(client, Reason.EXPIRED, transit.id, transit.client_tag, now, service=transit.service)

    def on_end(self, session: Session, now: float) -> None:
        """Note that a session is over: forget what it asked, and report LOST what it had to do."""
        self._forget_requests(session, now)
        self.offers.remove_all(session, now)
        for transit in session.assigned.values():
            self._assignments.leave(transit)
            if transit.client is not None:
                self.counters["lost"] += 1
                if self._observer is not None:
                    self._observer.on_request_lost(transit.id, session.member.name, now)
                self._tell_of_loss(transit, now)
        session.assigned.clear()

    def on_timer(self, now: float) -> None:
        """Do what is due."""
        for transit in self._timers.take_due(now):
            client = transit.client
            try:
                self._on_due(transit, now)
            except Exception as error:  # noqa: BLE001 - see containment.py
                if client is not None:
                    self.failed.append((client, error))
        if self.catalogue.settle_at is not None and now >= self.catalogue.settle_at:
            self.offers.settle(now)

    def on_tick(self, now: float) -> None:
        """Look after what need not be looked after at once; call it each KEPT_S of assignments.py or so."""
        self._assignments.forget_kept(now)
        self.offers.on_tick(now)

    # -- requests and answers

    def on_request(self, session: Session, message: bytes, age_s: float, now: float) -> None:
        """Handle a REQUEST that was delayed by `age_s` on its way."""
        self.counters["requests"] += 1
        size_bytes, usage = len(message), session.usage
        usage.requests += 1
        usage.request_bytes += size_bytes
        if size_bytes < PREFIX_BYTES:
            raise ProtocolError("a REQUEST that is cut off")
        (
            _length, version, _command, flags, retry_count, _sent_ms, time_ms, tag, id_, service_bytes,
            sender_bytes, receiver_bytes, code, extension_bytes, working_ms,
        ) = unpack(message)  # fmt: skip
        receiver_at = PREFIX_BYTES + service_bytes + sender_bytes
        rest_at = receiver_at + receiver_bytes
        payload_bytes = size_bytes - rest_at - extension_bytes
        if payload_bytes < 0 or tag in session.requests:
            raise ProtocolError("a REQUEST whose lengths or tag are wrong")
        name = message[PREFIX_BYTES : PREFIX_BYTES + service_bytes]
        remaining_s = (time_ms if time_ms < TIME_MS_MAX else TIME_MS_MAX) / 1000.0 - age_s
        service = self.services.get(name)
        if service is None and name == _ECHO and payload_bytes <= ECHO_BYTES_MAX and remaining_s > 0.0:
            self._outgoing.echo(session, id_, tag, message[rest_at + extension_bytes :], now)
            return
        reason = self._admission.why_not(
            session, name, payload_bytes, remaining_s, known=service is not None, draining=self.draining
        )
        if service is None and reason is None:
            service = self.catalogue.expect(name, usage)
        if reason is not None or service is None:
            if self._observer is not None:
                self._observe_request(session, id_, name, retry_count, now)
            self._turn_away(session, name, reason or Reason.NO_WORKER, now, id_=id_, tag=tag, service=service)
            return
        service.requests += 1
        again, joins = None, False
        if retry_count and service.offers:
            again = service.pick_again(message[receiver_at:rest_at], message[rest_at : rest_at + extension_bytes])
            joins = again is not None and not (again.ready and again.outstanding < again.credit)
            if again is not None and joins and not may_join(session, again, size_bytes, now):
                again = None
        if self._observer is not None:
            self._observe_request(session, id_, name, retry_count, now)
        interval = interval_s(working_ms)
        transit = Transit(
            session, tag, id_, service, now + remaining_s, now - age_s + sure_s(interval, code), size_bytes, version,
            flags, retry_count, code, extension_bytes, working_ms, interval,
        )  # fmt: skip
        session.requests[tag] = transit
        usage.in_flight += 1
        if again is not None:
            if joins:
                self._assignments.let_join(transit, again)
            self._assignments.give(transit, again, message[rest_at:], now)
        else:
            self._route(transit, message[rest_at:], now)
            if not service.offers:
                self.catalogue.tidy(service)

    def _turn_away(
        self,
        session: Session,
        name: bytes,
        reason: Reason,
        now: float,
        *,
        id_: bytes,
        tag: int,
        service: Service | None,
    ) -> None:
        if service is not None:
            service.requests += 1
        if reason is Reason.DENIED:
            self._refusals.note(Refused.CALL, session.member.name, now, what=name.decode("ascii", "replace"))
        self._outgoing.reject(session, reason, id_, tag, now, service=service)

    def _observe_request(self, session: Session, id_: bytes, name: bytes, retry_count: int, now: float) -> None:
        assert self._observer is not None
        self._observer.on_request(id_, session.member.name, name.decode("ascii", "replace"), retry_count, now)

    def _route(self, transit: Transit, rest: bytes, now: float) -> None:
        """Send a request to a worker with credit, or let it wait, or reject it."""
        if transit.deadline <= now:
            self.counters["expired"] += 1
            self.queues.refuse(transit, Reason.EXPIRED, now)
            return
        balancer = transit.service.balancer
        offer = None
        if balancer.slow and not transit.retry_count and not transit.returns:  # others are late already
            offer = balancer.pick_slow()
        offer = offer or balancer.pick(careful=transit.retry_count > 0)
        if offer is not None:
            self._assignments.give(transit, offer, rest, now)
        else:
            self.queues.add(transit, rest, now)

    def _route_again(self, transit: Transit, rest: bytes, now: float) -> None:
        """Route a request that was with a worker; its service may be gone meanwhile, or be another one."""
        name = transit.service.name
        service = self.services.get(name)
        if service is None and self.catalogue.settle_at is not None:
            service = self.catalogue.expect(name, transit.usage)
        if service is None:
            self.queues.refuse(transit, Reason.NO_WORKER, now)
            return
        transit.service = service
        self._route(transit, rest, now)
        self.catalogue.tidy(service)

    def on_answer(self, session: Session, command: int, message: bytes, now: float) -> None:
        """Handle a REPLY, WORKING, REJECT or LOST from a worker."""
        size_bytes = len(message)
        if size_bytes < PREFIX_BYTES:
            raise ProtocolError("an answer that is cut off")
        (
            _length, version, _command, flags, retry_count, _sent_ms, time_ms, tag, id_, service_bytes,
            sender_bytes, receiver_bytes, code, extension_bytes, _working_ms,
        ) = unpack(message)  # fmt: skip
        rest_at = PREFIX_BYTES + service_bytes + sender_bytes + receiver_bytes
        if rest_at + extension_bytes > size_bytes:
            raise ProtocolError("an answer whose lengths are wrong")
        transit = session.assigned.get(tag)
        if transit is None or transit.id != id_:
            self.counters["unmatched"] += 1
            return
        client = transit.client
        service = transit.service
        offer = transit.offer
        assert offer is not None
        if command == REPLY:
            self.counters["replies"] += 1
            service.unmeasured -= 1
            if not service.unmeasured:
                service.unmeasured = service.timing.measure(now - (transit.came_at or transit.dispatched_at))
            if len(service.offers) > 1:
                service.observe_reply(transit, offer, failed=code != _RESULT, now=now)
            if service.queue.count:
                service.pace.on_answer(transit.dispatched_at if transit.came_at else 0.0, now)
            self._finish(transit, now)
        elif self._ends_here(transit, command, code, now):
            return
        elif command == REJECT and code in OF_BROKERS:
            code = int(Reason.BUSY)
        if client is None:
            return
        if self._observer is not None:
            self._observe_answer(transit, session, client, command=command, code=code, now=now)
        answer = forwarded(
            version, command, flags, retry_count, now_ms(now), time_ms, transit.client_tag, id_, service.name,
            session.name, client.name, code, extension_bytes, 0, message[rest_at:],
        )  # fmt: skip
        self._outgoing.send(client, answer)

    def _observe_answer(
        self, transit: Transit, worker: Session, client: Session, *, command: int, code: int, now: float
    ) -> None:
        assert self._observer is not None
        if command == REPLY:
            self._observer.on_request_answered(transit.id, worker.member.name, now - transit.dispatched_at, now)
        elif command == REJECT:
            self._observer.on_request_rejected(transit.id, client.member.name, name_of(code), now)
        elif command != WORKING:
            self._observer.on_request_lost(transit.id, worker.member.name, now)

    def _ends_here(self, transit: Transit, command: int, code: int, now: float) -> bool:
        """Handle an answer that is no REPLY; return whether the client is to hear nothing of it."""
        offer = transit.offer
        assert offer is not None
        if command == WORKING:
            if now - transit.working_at < transit.interval_s * WORKING_SHARE:
                self.counters["working_dropped"] += 1
                return True
            transit.working_at = now
            return False
        if command == REJECT:
            if self._take_back(transit, code, now):
                return True
        elif transit.client is not None:  # else it was asked to stop
            offer.service.balancer.observe_outcome(offer, failed=True)
            if not transit.retry_count:  # else its client may have chosen the worker, or it has stopped it before
                self.offers.on_loss(offer, transit.usage.principal, now)
        self._finish(transit, now)
        return False

    def _finish(self, transit: Transit, now: float) -> None:
        """A worker has answered: free its credit for the next request."""
        offer = transit.offer
        assert offer is not None
        del offer.session.assigned[transit.tag]
        self._assignments.leave(transit)
        self.queues.forget_client(transit)
        if offer.listed:
            offer.service.offer(offer)
            if offer.service.queue.count:
                self.queues.feed(offer, now)

    def _take_back(self, transit: Transit, reason: int, now: float) -> bool:
        """A worker refuses a request: find another one, or let it wait; return whether that can be done."""
        offer = transit.offer
        assert offer is not None
        busy = reason == Reason.BUSY
        withdrawn = offer.listed and not offer.credit  # what was on its way to it may well come back
        if (transit.joins and busy) or is_over(transit, reason, now):
            cools = offer.cools  # it is the client's doing, and says nothing of the worker
        else:
            cools = self.offers.on_refusal(offer, busy=busy or withdrawn, chosen=transit.retry_count > 0, now=now)
        service = self.services.get(transit.service.name)
        gone = withdrawn or not offer.listed
        elsewhere = busy or cools or (gone and service is not None and service.granting > 0)
        rest = transit.rest
        if not elsewhere or transit.client is None or transit.superseded or rest is None:
            return False
        if transit.returns >= RETURNS_MAX:
            return False
        self.counters["returned"] += 1
        if self._observer is not None:
            self._observer.on_request_returned(transit.id, offer.session.member.name, name_of(reason), now)
        transit.returns += 1
        transit.came_at = transit.came_at or transit.dispatched_at
        del offer.session.assigned[transit.tag]
        self._assignments.leave(transit)
        if offer.listed:
            offer.service.offer(offer)
        self._timers.cancel(transit, transit.timer)
        self._route_again(transit, rest, now)
        return True

    def on_renew(self, session: Session, message: bytes, now: float) -> None:
        """Handle a RENEW from a client: it counts on the attempt of which it was told that it waits."""
        head = head_of(message)
        transit = session.requests.get(head.tag)
        if transit is not None and transit.id == head.id:  # also while a worker has it, which may give it back
            age_s = since_ms(head.time_ms, now) / 1000.0
            promised_s = promise_s(transit.interval_s) - sure_s(transit.interval_s, transit.code)
            sure_until = now - age_s + promised_s
            transit.sure_until = max(transit.sure_until, sure_until)

    def on_cancel(self, session: Session, message: bytes, now: float) -> None:
        """Handle a CANCEL from a client."""
        head = head_of(message)
        transit = session.requests.get(head.tag)
        if transit is None or transit.id != head.id:
            return
        if head.code != Withdrawal.SUPERSEDED:
            self.counters["cancelled"] += 1
            self._give_up(transit, GivenUp.CANCELLED, now)
        elif transit.waits:
            self.queues.take(transit)
            self.queues.refuse(transit, Reason.EXPIRED, now)
        elif not transit.superseded:
            transit.superseded = True
            self._outgoing.withdraw(transit, Withdrawal.SUPERSEDED, now)

    def _give_up(self, transit: Transit, why: GivenUp, now: float) -> None:
        """The client waits no longer: take the request out of the queue, or tell the worker that has it."""
        if self._observer is not None:
            self._observer.on_request_given_up(transit.id, why, now)
        offer = transit.offer
        if offer is not None and offer.listed and not transit.retry_count:  # else its client may have chosen the worker
            offer.service.balancer.observe_unfinished(offer, now - transit.dispatched_at)
            offer.service.offer(offer)
        self._outgoing.withdraw(transit, Withdrawal.GIVEN_UP, now)
        self.queues.forget_client(transit)

    def _forget_requests(self, session: Session, now: float) -> None:
        """The client is gone: nothing of what it asked is waited for here; it may come again over another path."""
        for transit in list(session.requests.values()):
            if self._observer is not None:
                self._observer.on_request_given_up(transit.id, GivenUp.CLIENT_GONE, now)
            self._outgoing.withdraw(transit, Withdrawal.ORPHANED, now)
            self.queues.forget_client(transit)

    def _tell_of_loss(self, transit: Transit, now: float) -> None:
        """A worker is gone with a request: its client hears so, and for how long that worker has had it."""
        client = transit.client
        assert client is not None
        had_ms = milliseconds(now - transit.dispatched_at)
        self.queues.forget_client(transit)
        self._outgoing.tell_of_loss(client, transit, had_ms, now)

    def _on_due(self, transit: Transit, now: float) -> None:
        if transit.client is None:
            return
        if transit.deadline <= now:
            self.counters["expired"] += 1
            if transit.waits:
                self.queues.take(transit)
                self.queues.refuse(transit, Reason.EXPIRED, now)
            else:
                self._give_up(transit, GivenUp.EXPIRED, now)
        elif transit.waits:
            self._outgoing.tell_of_wait(transit.client, transit, now)
            ask_at = now + ask_again_s(transit.interval_s, transit.code)
            transit.timer = self._timers.add(transit, min(transit.deadline, ask_at))
            self.queues.demand(transit.service, now)
        else:
            self._doubt_worker(transit, now)
            transit.timer = self._timers.add(transit, transit.deadline)

    def _doubt_worker(self, transit: Transit, now: float) -> None:
        """Look whether a worker has said anything since it was given a request; if not, its client is told."""
        offer, client = transit.offer, transit.client
        assert offer is not None
        assert client is not None
        worker = offer.session
        if worker.heard_at > transit.dispatched_at or worker.state is SessionState.LEAVING:
            return
        self.silent.append(worker)
        self._outgoing.tell_of_silence(client, transit, worker, now)

    # -- self-check

    def validate_state(self, sessions: Collection[Session]) -> None:
        """Assert what always holds between two inputs, given all sessions. For tests and the simulator."""
        self.catalogue.validate_state(set(sessions))
        self.offers.validate_state(sessions)
        queued = self.queues.validate_state()
        self._assignments.validate_state(sessions)
        assigned = [transit for session in sessions for transit in session.assigned.values()]
        kept = queued + assigned
        assert len(set(kept)) == len(kept), "a transit is in one place"
        asked = [transit for session in sessions for transit in session.requests.values()]
        assert set(asked) == {transit for transit in kept if transit.client is not None}
        for session in sessions:
            for tag, transit in session.requests.items():
                assert transit.client is session
                assert transit.client_tag == tag
                assert transit.usage is session.usage
        self._timers.validate_state({transit: transit.timer for transit in asked})
