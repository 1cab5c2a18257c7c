"""The places of workers at services: how READY grants them credit, and what follows when they take no more.

A worker takes no more when it is silent, leaves, may not serve any longer, has no credit or cools down. One that grants
no credit keeps its place for a while.
"""

from collections.abc import Collection
from typing import Final

from braidmq.core.broker.catalogue import SERVES_MAX, Catalogue
from braidmq.core.broker.conduct import HALVE_S
from braidmq.core.broker.cooling import Cooling, forget_old
from braidmq.core.broker.key_usage import KEY_CREDIT_MAX
from braidmq.core.broker.queues import Queues
from braidmq.core.broker.refusals import Refusals, Refused
from braidmq.core.broker.transit import Offer, Service, Session, SessionState, Withholding
from braidmq.core.events.broker import ServiceDenied, ServiceOffered, ServicePostponed
from braidmq.core.events.log import EventLog
from braidmq.members import ECHO_SERVICE, is_service
from braidmq.observer import BrokerObserver
from braidmq.wire import control
from braidmq.wire.envelope import Reason

CREDIT_MAX: Final = 10_000
"""Most requests of one service that one worker can have: a larger grant counts as this. It bounds what a worker
that never answers can make the broker keep."""

WITHDRAWN_S: Final = 5.0
"""How long the place of a worker is kept that has withdrawn a service, and longer if it still has requests of it:
retries look there for what runs, and it may come back. After that its key may provide another service instead."""

POSTPONED_PER_TICK: Final = 100
"""Grants that had to wait for room, and are tried again in one tick: less than a millisecond's work."""


class Offers:
    """The offers of all services at one broker.

    `on_ready` makes one or changes its credit, `on_state` and `on_rights` follow what becomes of a session,
    `on_refusal` and `on_loss` what a worker does with requests, and `remove_all` takes all of a session's away as it
    ends. What waits for a worker is given to it, or refused, before these return.
    """

    __slots__ = (
        "_catalogue", "_cooling", "_counters", "_events", "_halve_at", "_observer", "_queues", "_refusals",
        "_withdrawn",
    )  # fmt: skip

    def __init__(
        self,
        catalogue: Catalogue,
        queues: Queues,
        counters: dict[str, int],
        events: EventLog,
        *,
        refusals: Refusals,
        observer: BrokerObserver | None = None,
    ) -> None:
        self._catalogue = catalogue
        self._refusals = refusals
        self._queues = queues
        self._counters = counters
        self._events = events
        self._observer = observer
        self._cooling = Cooling()
        self._halve_at = 0.0
        self._withdrawn: dict[Offer, float] = {}

    def on_state(self, session: Session, now: float) -> None:
        """Note that a session changed its state."""
        if session.offers:
            self._catalogue.note_change()
        for offer in session.offers.values():
            offer.service.offer(offer)
            self._queues.feed(offer, now)

    def on_rights(self, session: Session, now: float) -> None:
        """Note that a session's rights changed."""
        session.call_rights.clear()
        self._catalogue.note_change()
        for offer in list(session.offers.values()):
            if not session.member.may_serve(offer.service.name.decode()):
                self._remove(offer, now)
        for name in list(session.postponed):
            if not session.member.may_serve(name.decode()):
                self._catalogue.withdraw(session, name)

    def on_ready(self, session: Session, ready: control.Ready, now: float) -> None:
        """Handle a worker's grant of credit."""
        if session.state is SessionState.LEAVING:
            return
        name = ready.service.encode()
        if name not in session.offers:
            reserved = ready.service == ECHO_SERVICE
            if reserved or not is_service(ready.service) or not session.member.may_serve(ready.service):
                self._counters["denied"] += 1
                self._refusals.note(Refused.SERVE, session.member.name, now, what=ready.service, quiet=True)
                if not session.warned:
                    session.warned = True
                    self._events.add(ServiceDenied(session.member.name, ready.service))
                return
            self._catalogue.withdraw(session, name)
            if not ready.credit and session.withheld is None:
                return
        if session.withheld is not None:
            self._withhold(session.withheld, name, ready.credit)
            return
        if not self._grant(session, name, ready.credit, now):
            self._counters["postponed"] += 1
            if not session.warned:
                session.warned = True
                limit = self._catalogue.limit(session.usage)
                self._events.add(ServicePostponed(session.member.name, ready.service, limit))

    def on_tick(self, now: float) -> None:
        """Give work again to those that have cooled down, and grants that have waited another try."""
        for offer in self._cooling.take_due(now):
            offer.service.offer(offer)
            self._queues.feed(offer, now)
        if now >= self._halve_at:
            self._halve_at = now + HALVE_S
            for service in self._catalogue.services.values():
                forget_old(service, now)
                service.timing.renew()
        for offer, until in list(self._withdrawn.items()):
            if until <= now and not offer.outstanding:
                self._remove(offer, now)
        for session, name, credit in self._catalogue.take_postponed(POSTPONED_PER_TICK):
            self._grant(session, name, credit, now)

    def settle(self, now: float) -> None:
        """Note that no worker is waited for any more that may be on its way to this broker."""
        self._catalogue.settle()
        for service in list(self._catalogue.services.values()):
            if not service.granting:
                self._dissolve(service, now)

    def on_refusal(self, offer: Offer, *, busy: bool, chosen: bool, now: float) -> bool:
        """Handle that a worker has refused a request; return whether it cools down.

        Args:
            offer: the worker.
            busy: it has no place for it.
            chosen: its client may have chosen the worker: then it says nothing that this one has no place.
            now: the time.
        """
        offer.full = offer.full or busy
        if busy and chosen:
            return offer.cools
        return self._cooling.refuse(offer, busy=busy, now=now)

    def on_loss(self, offer: Offer, principal: str, now: float) -> None:
        """Note that a worker has lost a request of a key, which waits for it."""
        self._cooling.lose(offer, principal, now)

    def remove_all(self, session: Session, now: float) -> None:
        """Note that a session serves nothing any more."""
        self._catalogue.withdraw_all(session)
        for offer in list(session.offers.values()):
            self._remove(offer, now)

    def withhold(self, session: Session, withholding: Withholding, now: float) -> None:
        """Give a session no new work from now on, whatever it grants."""
        session.withheld = withholding
        for name, credit in session.postponed.items():
            self._withhold(withholding, name, credit)
        self._catalogue.withdraw_all(session)
        for name, offer in list(session.offers.items()):
            self._withhold(withholding, name, offer.credit)
            self._grant(session, name, 0, now)

    def restore(self, session: Session, now: float) -> None:
        """Take up again what a session grants."""
        withholding, session.withheld = session.withheld, None
        if withholding is None:
            return
        for name, credit in withholding.credit.items():
            service = name.decode()
            if credit and session.member.may_serve(service):
                self.on_ready(session, control.Ready(service, credit), now)

    # -- inner

    @staticmethod
    def _withhold(withholding: Withholding, name: bytes, credit: int) -> None:
        if name in withholding.credit or len(withholding.credit) < SERVES_MAX:
            withholding.credit[name] = credit

    def _grant(self, session: Session, name: bytes, credit: int, now: float) -> bool:
        """Let a worker have so many requests of a service, now or once there is room for the service."""
        usage = session.usage
        offer = session.offers.get(name)
        if offer is None:
            offer = self._add(session, name, now)
            if offer is None:
                self._catalogue.postpone(session, name, credit)
                return False
        service = offer.service
        others = usage.granted - offer.credit + usage.assigned - offer.outstanding
        if credit:
            self._withdrawn.pop(offer, None)
        else:
            self._withdrawn[offer] = now + WITHDRAWN_S
        credit = max(0, min(credit, CREDIT_MAX, KEY_CREDIT_MAX - others))
        if bool(offer.credit) != bool(credit):
            self._catalogue.note_change()
        service.granting += int(credit > 0) - int(offer.credit > 0)
        usage.granted += credit - offer.credit
        if self._observer is not None and offer.credit != credit:
            self._observer.on_credit(session.member.name, name.decode(), credit, now)
        offer.credit = credit
        offer.full = False
        if not credit:
            self._cooling.end(offer)
        self._cooling.resume(offer, now)
        service.offer(offer)
        if credit:
            self._queues.feed(offer, now)
        else:
            self._miss(service, now)
        return True

    def _add(self, session: Session, name: bytes, now: float) -> Offer | None:
        """Return a new place of a worker at a service, or None if a limit forbids it."""
        displaced = self._catalogue.displaced(name, session.usage)
        if displaced is not None:
            self._remove_service(displaced, now)
        service = self._catalogue.provide(name, session.usage)
        if service is None:
            return None
        offer = session.offers[name] = service.offers[session] = Offer(service, session)
        self._events.add(ServiceOffered(session.member.name, name.decode()))
        return offer

    def _remove(self, offer: Offer, now: float) -> None:
        service, session = offer.service, offer.session
        self._cooling.end(offer)
        self._withdrawn.pop(offer, None)
        del session.offers[service.name]
        del service.offers[session], offer.conduct.offers[offer]
        if self._observer is not None and offer.credit:
            self._observer.on_credit(session.member.name, service.name.decode(), 0, now)
        service.granting -= offer.credit > 0
        session.usage.granted -= offer.credit
        service.balancer.forget(offer)
        self._catalogue.note_change()
        self._catalogue.leave(service, session.usage)
        self._miss(service, now)

    def _miss(self, service: Service, now: float) -> None:
        """Note that a service has one worker less that grants credit."""
        if service.cooling and len(service.cooling) >= service.granting:
            for offer in self._cooling.pardon(service, now):
                service.offer(offer)
                self._queues.feed(offer, now)
        if not service.granting:
            if self._catalogue.settle_at is None:
                self._dissolve(service, now)
            else:
                self._catalogue.tidy(service)

    def _dissolve(self, service: Service, now: float) -> None:
        """Reject what waits for a service of which no worker takes anything; forget it, if it has none."""
        if not service.offers:
            self._remove_service(service, now)
        else:
            self._queues.empty(service, Reason.NO_WORKER, now)

    def _remove_service(self, service: Service, now: float) -> None:
        """Forget a service without workers."""
        self._catalogue.remove(service)
        self._queues.empty(service, Reason.NO_WORKER, now)

    # -- self-check

    def validate_state(self, sessions: Collection[Session]) -> None:
        """Assert what always holds between two inputs, given all sessions. For tests and the simulator."""
        services = self._catalogue.services
        self._cooling.validate_state({offer for service in services.values() for offer in service.cooling})
        for session in sessions:
            for name, offer in session.offers.items():
                assert services[name].offers[session] is offer
                assert session.state is not SessionState.LEAVING
                assert session.member.may_serve(name.decode())
                assert session.withheld is None or not offer.credit, "who is taken out gets nothing new"
            assert session.withheld is None or not session.postponed
        offers = {offer for session in sessions for offer in session.offers.values()}
        assert self._withdrawn.keys() <= {offer for offer in offers if not offer.credit}
        for usage in {session.usage for session in sessions}:
            mine = [session for session in sessions if session.usage is usage]
            granted = sum(offer.credit for session in mine for offer in session.offers.values())
            assert usage.granted == granted <= KEY_CREDIT_MAX
