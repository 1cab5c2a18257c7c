"""Services apart from a node: which there are, and what handles their requests."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from braidmq.checks import check_whole
from braidmq.core.worker.local_services import CONCURRENCY_MAX
from braidmq.errors import ConfigError
from braidmq.handler import H, Handler, Kind, kind_of
from braidmq.members import Member, check_service


@dataclass(frozen=True, slots=True)
class Service:
    """A service and what handles its requests.

    Attributes:
        name: what callers call it.
        handler: what handles a request.
        kind: where the handler is called.
        concurrency: how many requests run at once.
    """

    name: str
    handler: Handler
    kind: Kind
    concurrency: int


class Services:
    """Services that any number of nodes may provide: a module declares them, and needs no join file for it.

    ::

        services = Services()

        @services.service("pricing", concurrency=64)
        async def pricing(request: Request) -> bytes:
            return b"42"

    `Node(join, services=services)`, `braidmq.blocking.Node`, `TestNet.node` and `braidmq serve` take them. A node
    provides what has been declared until it starts; what is declared later is for nodes that start later.
    """

    def __init__(self) -> None:
        self._declared: dict[str, Service] = {}

    def service(self, name: str, *, concurrency: int = 64) -> Callable[[H], H]:
        """Declare a service: decorates its handler.

        Args:
            name: of the service: 1 to 127 letters, digits, '.', '_', '-', '/' or ':'.
            concurrency: how many requests run at once at each node, from 1 to 10,000: tasks for `async def`, threads
                for `def`. It is also the credit that the brokers with requests share.

        Raises:
            ConfigError: the name or the number is wrong, the service has a handler already, or what is decorated
                cannot be a handler.
        """
        if callable(name):
            raise ConfigError("a service needs a name: write .service(NAME) above its handler, with parentheses")
        check_service(name)
        check_whole("concurrency", concurrency, 1, CONCURRENCY_MAX)
        self.check_free(name)

        def decorate(handler: H) -> H:
            self.check_free(name)
            self._declared[name] = Service(name, handler, kind_of(handler), concurrency)
            return handler

        return decorate

    def check_free(self, name: str) -> None:
        """Raise ConfigError if the service has a handler."""
        if name in self._declared:
            raise ConfigError(f"{name} has a handler already")

    def __iter__(self) -> Iterator[Service]:
        """The services, in the order of their declaration."""
        return iter(self._declared.values())

    def __len__(self) -> int:
        """How many services are declared."""
        return len(self._declared)


class Offer:
    """What one node provides: services that it may share with other nodes, and its own. It needs the right to each.

    Args:
        member: the node, with its rights.
        shared: those that are not its own.

    Attributes:
        own: those that are declared for this node only.
    """

    def __init__(self, member: Member, shared: Services) -> None:
        self.own = Services()
        self._member = member
        self._shared = shared

    def check(self, service: str) -> None:
        """Make sure that a service may be one of the node's own.

        Raises:
            ConfigError: it is one of the shared ones, or the node may not serve it.
        """
        self._shared.check_free(service)
        self.check_right(service, self._member)

    def services(self) -> dict[bytes, Service]:
        """Return what has been declared so far, by the names on the wire.

        Raises:
            ConfigError: the node may not serve one of them, or one has two handlers.
        """
        offered: dict[bytes, Service] = {}
        for service in (*self._shared, *self.own):
            self.check_right(service.name, self._member)
            if service.name.encode() in offered:
                raise ConfigError(f"{service.name} has a handler already")
            offered[service.name.encode()] = service
        return offered

    @staticmethod
    def check_right(service: str, member: Member) -> None:
        """Make sure that a member may serve a service.

        Raises:
            ConfigError: it may not.
        """
        if not member.may_serve(service):
            raise ConfigError(
                f"{member.name} may not serve {service}: "
                f"make a join file with --serve {service} or a pattern that covers it; if it has that right by now, "
                "`braidmq join CODE NAME` brings its file up to date"
            )
