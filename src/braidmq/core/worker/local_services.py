"""The services of one node: those that it offers, and for a while those that it offers no more."""

from collections.abc import Iterator
from typing import Final

from braidmq.core.worker.job import LocalService
from braidmq.errors import ConfigError
from braidmq.members import check_service
from braidmq.settings import Settings

CONCURRENCY_MAX: Final = 10_000
"""Most requests that one service may run at once in one node."""

WITHDRAWN_MAX: Final = 10_000
"""Services that are remembered although they are offered no more: ten times as many as a broker takes of one key."""


class LocalServices:
    """What a node offers, and has offered.

    A service comes by `offer`, which `withdraw` ends and another `offer` begins anew. When it is withdrawn, requests
    may be on their way to it, and handlers may run: so it is remembered until neither can be any more, which `review`
    looks after.

    Attributes:
        offered: by name.
        withdrawn: likewise, with the time until which requests may be on their way; the oldest first.
    """

    __slots__ = ("_departure_s", "offered", "withdrawn")

    def __init__(self, settings: Settings) -> None:
        self.offered: dict[bytes, LocalService] = {}
        self.withdrawn: dict[bytes, tuple[LocalService, float]] = {}
        self._departure_s = 2.0 * settings.dead_after_s  # the news, and what was sent before; a slower link has ended

    def __iter__(self) -> Iterator[LocalService]:
        """All of which something may be here."""
        yield from self.offered.values()
        for service, _until in self.withdrawn.values():
            yield service

    def offer(self, service: str, concurrency: int) -> LocalService:
        """Return a service that is offered from now on.

        Raises:
            ConfigError: the name or the number is wrong, or it is offered already.
        """
        name = check_service(service).encode()
        _check(concurrency)
        if name in self.offered:
            raise ConfigError(f"{service} has a handler already")
        before = self.withdrawn.pop(name, None)
        if before is None:
            found = LocalService(name, concurrency)
        else:  # what still runs of it has its places
            found = before[0]
            found.withdrawn = False
            found.resize(concurrency)
        self.offered[name] = found
        return found

    def resize(self, service: str, concurrency: int) -> LocalService:
        """Return a service that has so many places from now on.

        Raises:
            ConfigError: the number is wrong, or the service is not offered.
        """
        _check(concurrency)
        found = self._find(service)
        found.resize(concurrency)
        return found

    def withdraw(self, service: str, now: float) -> LocalService:
        """Return a service that is offered no more.

        Raises:
            ConfigError: it is not offered.
        """
        found = self._find(service)
        del self.offered[found.name]
        found.withdrawn = True
        self.withdrawn[found.name] = (found, now + self._departure_s)
        if len(self.withdrawn) > WITHDRAWN_MAX:
            idle = next((name for name, (each, _until) in self.withdrawn.items() if each.idle), None)
            if idle is not None:
                del self.withdrawn[idle]
        return found

    def review(self, now: float) -> None:
        """Forget withdrawn services that nobody asks for any more, and places that are no more, once they are free."""
        for name, (service, until) in list(self.withdrawn.items()):
            if until <= now and service.idle:
                del self.withdrawn[name]
        for service in self.offered.values():
            if service.most > service.concurrency:
                service.settle()

    def validate_state(self) -> None:
        """Assert what must hold between two inputs. For tests and the simulator."""
        assert not self.offered.keys() & self.withdrawn.keys()
        assert not any(service.withdrawn for service in self.offered.values())
        busy = 0
        for service, _until in self.withdrawn.values():
            assert service.withdrawn
            assert not service.queue
            assert not service.granted
            busy += not service.idle
        assert len(self.withdrawn) <= WITHDRAWN_MAX + busy

    def _find(self, service: str) -> LocalService:
        found = self.offered.get(service.encode())
        if found is None:
            raise ConfigError(f"{service} is not offered")
        return found


def _check(concurrency: int) -> None:
    if not 1 <= concurrency <= CONCURRENCY_MAX:
        raise ConfigError(f"concurrency must be between 1 and {CONCURRENCY_MAX}, not {concurrency!r}")
