"""The services that a broker knows: by the word of their workers, and for a moment by that of their callers."""

from typing import Final

from braidmq.core.broker.key_usage import KeyUsage
from braidmq.core.broker.transit import Service, Session
from braidmq.core.fair_queue import FairQueue
from braidmq.core.share import fits
from braidmq.settings import Settings

SERVES_MAX: Final = 1_000
"""Services that one key can provide here, over all its connections, and half of what there is room for at most; more
would let it use up what a broker can know."""

EXPECTED_MAX: Final = 64
"""Services without a worker that one key can make a broker wait for at one time: as many as the callers of one program
that starts together with its workers may well use, and a small part of what a broker can know."""

POSTPONED_MAX: Final = 10_000
"""Grants that are remembered until there is room for them, of all keys: some MiB."""


class Catalogue:
    """The services of one broker.

    A worker brings one by `provide` and takes it back by `leave`; a caller brings one by `expect`, and `tidy` follows
    whatever may have left it without both. A grant for which there is no room is kept by `postpone`, and comes again
    out of `take_postponed`.

    Attributes:
        services: all of them, by name. One without workers is there only as long as requests wait for it.
        changed: whether the list of available services may have changed since `take_change`.
        settle_at: until then requests for a service without a worker wait for one; None once that is over.
    """

    __slots__ = (
        "_elsewhere", "_expected", "_postponed", "_serves_max", "_services_max", "_settings", "changed", "services",
        "settle_at",
    )  # fmt: skip

    def __init__(self, settings: Settings) -> None:
        self.services: dict[bytes, Service] = {}
        self.changed = False
        self.settle_at: float | None = None
        self._elsewhere: frozenset[bytes] | None = None
        self._settings = settings
        self._services_max = settings.services_max
        self._serves_max = min(SERVES_MAX, (settings.services_max + 1) // 2)
        self._expected: dict[Service, None] = {}
        self._postponed: FairQueue[KeyUsage, tuple[Session, bytes]] = FairQueue()

    # -- what is known at the start

    def await_workers(self, until: float) -> None:
        """Let requests wait for workers that may be on their way to this broker, which starts now."""
        self.settle_at = until

    def hear_of(self, elsewhere: frozenset[bytes] | None) -> None:
        """Wait for workers of those services only that other brokers have some for; None if no other one can tell."""
        self._elsewhere = elsewhere

    def may_come(self, service: bytes) -> bool:
        """Whether a worker for a service that has none may be on its way to this broker."""
        return self.settle_at is not None and (self._elsewhere is None or service in self._elsewhere)

    def settle(self) -> None:
        """Wait for no more workers."""
        self.settle_at = None

    # -- news

    def note_change(self) -> None:
        """Note that the list of available services may have changed."""
        self.changed = True

    def take_change(self) -> None:
        """Note that whoever is to know has been told of what had changed."""
        self.changed = False

    # -- services

    def expect(self, name: bytes, usage: KeyUsage) -> Service | None:
        """Return a new service that a caller waits for, or None if there is no room for it."""
        if usage.expected >= EXPECTED_MAX or len(self.services) >= self._services_max:
            return None
        service = self.services[name] = Service(name, self._settings)
        service.expected_by = usage
        usage.expected += 1
        self._expected[service] = None
        return service

    def provide(self, name: bytes, usage: KeyUsage) -> Service | None:
        """Return the service that one more worker provides, perhaps a new one, or None if a limit is reached.

        What `displaced` returns has to be removed before.
        """
        if not self._may_provide(name, usage):
            return None
        service = self.services.get(name)
        if service is None:
            if len(self.services) >= self._services_max:
                return None
            service = self.services[name] = Service(name, self._settings)
        else:
            self._forget_expected(service)
        usage.serves[name] = usage.serves.get(name, 0) + 1
        return service

    def displaced(self, name: bytes, usage: KeyUsage) -> Service | None:
        """Return the service that gives way to a worker's, if there is no room otherwise: nobody provides it."""
        if name in self.services or len(self.services) < self._services_max or not self._may_provide(name, usage):
            return None
        return next(iter(self._expected), None)

    def _may_provide(self, name: bytes, usage: KeyUsage) -> bool:
        return name in usage.serves or len(usage.serves) < self._serves_max

    def limit(self, usage: KeyUsage) -> str:
        """Return the limit that keeps a key from providing more."""
        if len(usage.serves) >= self._serves_max:
            return f"{self._serves_max} services of one key"
        return f"services_max={self._services_max}"

    def leave(self, service: Service, usage: KeyUsage) -> None:
        """Note that a service has one worker less, of this key."""
        count = usage.serves[service.name] - 1
        if count:
            usage.serves[service.name] = count
        else:
            del usage.serves[service.name]
        if not service.offers:
            self._expected[service] = None

    def tidy(self, service: Service) -> None:
        """Forget a service that nobody provides, and nobody waits for."""
        if not service.offers and not service.queue.count and self.services.get(service.name) is service:
            self.remove(service)

    def remove(self, service: Service) -> None:
        """Forget a service without workers."""
        del self.services[service.name]
        self._forget_expected(service)

    def _forget_expected(self, service: Service) -> None:
        self._expected.pop(service, None)
        if service.expected_by is not None:
            service.expected_by.expected -= 1
            service.expected_by = None

    # -- grants that wait for room

    def postpone(self, session: Session, name: bytes, credit: int) -> None:
        """Remember a grant for which there is no room, if there is room for that."""
        usage = session.usage
        if name in session.postponed:
            session.postponed[name] = credit
        elif fits(self._postponed.held(usage), 1, POSTPONED_MAX - self._postponed.count):
            session.postponed[name] = credit
            self._postponed.add(usage, (session, name))

    def withdraw(self, session: Session, name: bytes) -> None:
        """Forget what is remembered of one service of a session."""
        if session.postponed.pop(name, None) is not None:
            self._postponed.remove(session.usage, (session, name))

    def withdraw_all(self, session: Session) -> None:
        """Forget what is remembered of a session."""
        for name in list(session.postponed):
            self.withdraw(session, name)

    def take_postponed(self, count: int) -> list[tuple[Session, bytes, int]]:
        """Return some grants that are remembered, and forget them; each key has its turn."""
        taken: list[tuple[Session, bytes, int]] = []
        while len(taken) < count and (first := self._postponed.first()) is not None:
            session, name = first
            self._postponed.take(session.usage, first)
            taken.append((session, name, session.postponed.pop(name)))
        return taken

    def validate_state(self, sessions: set[Session]) -> None:
        """Assert what must hold between two inputs, given all sessions. For tests."""
        assert len(self.services) <= self._services_max
        assert set(self._expected) == {service for service in self.services.values() if not service.offers}
        assert all(service.queued for service in self._expected), "a service that nobody has and nobody waits for"
        assert all(name == service.name for name, service in self.services.items())
        expected: dict[KeyUsage, int] = {}
        for service in self.services.values():
            if service.expected_by is not None:
                assert not service.offers
                expected[service.expected_by] = expected.get(service.expected_by, 0) + 1
        serves: dict[KeyUsage, dict[bytes, int]] = {}
        for session in sessions:
            names = serves.setdefault(session.usage, {})
            for name in session.offers:
                names[name] = names.get(name, 0) + 1
        for usage, names in serves.items():
            assert usage.expected == expected.get(usage, 0) <= EXPECTED_MAX
            assert usage.serves == names
            assert len(names) <= self._serves_max
        self._postponed.validate_state()
        assert self._postponed.count <= POSTPONED_MAX
        remembered = {(session, name) for session in sessions for name in session.postponed}
        assert remembered == set(self._postponed)
        assert not any(name in session.offers for session, name in remembered)
