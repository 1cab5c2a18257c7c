"""The places of workers at services: how READY grants them credit, and what follows when they take no more.

A worker takes no more when it is silent, leaves, may not serve any longer, has no credit or cools down.
"""

from collections.abc import Collection
from typing import Final

from braidmq.core.account import KEY_CREDIT_MAX
from braidmq.core.catalogue import Catalogue
from braidmq.core.cooling import Cooling
from braidmq.core.events import DEBUG, WARNING, EventLog
from braidmq.core.exchange import Service, Session, SessionState, Slot
from braidmq.core.queues import Queues
from braidmq.members import is_service
from braidmq.wire import control
from braidmq.wire.envelope import Reason

CREDIT_MAX: Final = 10_000
"""Most requests of one service that one worker can have: a larger grant counts as this. It bounds what a worker
that never answers can make the broker keep."""

POSTPONED_PER_TICK: Final = 100
"""Grants that had to wait for room, and are tried again in one tick: less than a millisecond's work."""


class Slots:
    """See the module."""

    __slots__ = ("_catalogue", "_cooling", "_counters", "_events", "_queues")

    def __init__(self, catalogue: Catalogue, queues: Queues, counters: dict[str, int], events: EventLog) -> None:
        self._catalogue = catalogue
        self._queues = queues
        self._counters = counters
        self._events = events
        self._cooling = Cooling()

    def on_state(self, session: Session, now: float) -> None:
        """Take in that a session changed its state."""
        self._catalogue.announce = self._catalogue.announce or bool(session.slots)
        for slot in session.slots.values():
            slot.service.offer(slot)
            self._queues.feed(slot, now)

    def on_rights(self, session: Session, now: float) -> None:
        """Take in that a session's rights changed."""
        session.callable.clear()
        self._catalogue.announce = True
        for slot in list(session.slots.values()):
            if not session.member.may_serve(slot.service.name.decode()):
                self._remove(slot, now)
        for name in list(session.postponed):
            if not session.member.may_serve(name.decode()):
                self._catalogue.withdraw(session, name)

    def on_ready(self, session: Session, ready: control.Ready, now: float) -> None:
        """Take in a worker's grant of credit."""
        if session.state is SessionState.LEAVING:
            return
        name = ready.service.encode()
        if name not in session.slots:
            if not is_service(ready.service) or not session.member.may_serve(ready.service):
                self._counters["denied"] += 1
                if not session.warned:
                    session.warned = True
                    form = "{} may not serve '{}': its READY is ignored"
                    self._events.add(WARNING, form, session.member.name, ready.service)
                return
            self._catalogue.withdraw(session, name)
            if not ready.credit:
                return
        if not self._grant(session, name, ready.credit, now):
            self._counters["postponed"] += 1
            if not session.warned:
                session.warned = True
                limit = self._catalogue.limit(session.account)
                form = "{}: {} is reached: its READY for {} waits for room"
                self._events.add(WARNING, form, session.member.name, limit, ready.service)

    def on_tick(self, now: float) -> None:
        """Give work again to those that have cooled down, and grants that have waited another try."""
        for slot in self._cooling.take_due(now):
            slot.service.offer(slot)
            self._queues.feed(slot, now)
        for session, name, credit in self._catalogue.take_postponed(POSTPONED_PER_TICK):
            self._grant(session, name, credit, now)

    def settle(self, now: float) -> None:
        """Take in that no worker is waited for any more that may be on its way to this broker."""
        self._catalogue.settle_at = None
        for service in list(self._catalogue.services.values()):
            if not service.granting:
                self._dissolve(service, now)

    def on_refusal(self, slot: Slot, *, busy: bool, now: float) -> bool:
        """Take in that a worker has refused a request, `busy` for want of a place; return whether it cools down."""
        slot.full = slot.full or busy
        return self._cooling.refuse(slot, busy=busy, now=now)

    def on_loss(self, slot: Slot, principal: str, now: float) -> None:
        """Take in that a worker has lost a request of a key, which waits for it."""
        self._cooling.lose(slot, principal, now)

    def remove_all(self, session: Session, now: float) -> None:
        """Take in that a session serves nothing any more."""
        self._catalogue.withdraw_all(session)
        for slot in list(session.slots.values()):
            self._remove(slot, now)

    # -- inner

    def _grant(self, session: Session, name: bytes, credit: int, now: float) -> bool:
        """Let a worker have so many requests of a service, now or once there is room for the service."""
        account = session.account
        slot = session.slots.get(name)
        if slot is None:
            slot = self._add(session, name, now)
            if slot is None:
                self._catalogue.postpone(session, name, credit)
                return False
        service = slot.service
        others = account.granted - slot.credit + account.assigned - slot.outstanding
        credit = max(0, min(credit, CREDIT_MAX, KEY_CREDIT_MAX - others))
        self._catalogue.announce = self._catalogue.announce or bool(slot.credit) != bool(credit)
        service.granting += int(credit > 0) - int(slot.credit > 0)
        account.granted += credit - slot.credit
        slot.credit = credit
        slot.full = False
        if not credit:
            self._cooling.end(slot)
        service.offer(slot)
        if credit:
            self._queues.feed(slot, now)
        else:
            self._miss(service, now)
        return True

    def _add(self, session: Session, name: bytes, now: float) -> Slot | None:
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

    def _remove(self, slot: Slot, now: float) -> None:
        service, session = slot.service, slot.session
        self._cooling.end(slot)
        del session.slots[service.name]
        del service.slots[session]
        service.granting -= slot.credit > 0
        session.account.granted -= slot.credit
        service.balancer.forget(slot)
        self._catalogue.announce = True
        self._catalogue.leave(service, session.account)
        self._miss(service, now)

    def _miss(self, service: Service, now: float) -> None:
        """Take in that a service has one worker less that grants credit."""
        if service.cooling and len(service.cooling) >= service.granting:
            for slot in list(service.cooling):
                self._cooling.end(slot)
                service.offer(slot)
                self._queues.feed(slot, now)
        if not service.granting:
            if self._catalogue.settle_at is None:
                self._dissolve(service, now)
            else:
                self._catalogue.tidy(service)

    def _dissolve(self, service: Service, now: float) -> None:
        """Reject what waits for a service of which no worker takes anything; forget it, if it has none."""
        if not service.slots:
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
        self._cooling.validate_state({slot for service in services.values() for slot in service.cooling})
        for session in sessions:
            for name, slot in session.slots.items():
                assert services[name].slots[session] is slot
                assert session.state is not SessionState.LEAVING
                assert session.member.may_serve(name.decode())
        for account in {session.account for session in sessions}:
            mine = [session for session in sessions if session.account is account]
            granted = sum(slot.credit for session in mine for slot in session.slots.values())
            assert account.granted == granted <= KEY_CREDIT_MAX
