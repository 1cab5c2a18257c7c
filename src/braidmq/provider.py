"""What a node provides, before it starts and while it runs, and which services it sees at the brokers."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import replace

from braidmq import presence
from braidmq.carrier.node_loop import NodeLoop
from braidmq.checks import check_wait_s, check_whole
from braidmq.core.worker.local_services import CONCURRENCY_MAX
from braidmq.errors import ConfigError, NodeClosed
from braidmq.handler import H, Handler, kind_of
from braidmq.inside import inside
from braidmq.members import Member, check_service
from braidmq.runner import Running
from braidmq.services import Offer, Service, Services
from braidmq.settings import Settings
from braidmq.wire.control import BridgeStatus, Bridging
from braidmq.wire.envelope import UINT32

STOP_S_MAX = 1.0
"""How long handlers may take to stop when the time of a withdrawal is over."""


class Provider(ABC):
    """The part of a node that is about services; see `braidmq.Node`.

    Args:
        member: the node, with its rights.
        settings: see Settings.
        services: what it provides, besides what is declared with its own `service`.

    Attributes:
        settings: see Settings.
    """

    def __init__(self, member: Member, settings: Settings, services: Services) -> None:
        self.settings = settings
        self._member_at_first = member
        self._offer = Offer(member, services)
        self._services: dict[bytes, Service] = self._offer.services()
        self._loop: NodeLoop | None = None
        self._tasks: Running | None = None
        self._leaving = asyncio.Event()

    @abstractmethod
    def _running(self) -> NodeLoop:
        """Return the loop of a node that is used where it may be. Raises NodeClosed and WrongLoop."""

    # -- before it starts

    def service(self, name: str, *, concurrency: int = 64) -> Callable[[H], H]:
        """Provide a service: decorates its handler. Declare services before `start`; `offer` is for later.

        Args:
            name: the service; this node's certificate must allow it to serve it.
            concurrency: how many requests run at once, from 1 to 10,000: tasks for `async def`, threads for
                `def`. It is also the credit that the brokers with requests share.

        Raises:
            ConfigError: the name or the number is wrong, the node is not allowed to serve it, or it is running; or
                what is decorated cannot be a handler.
        """
        declare = self._offer.own.service(name, concurrency=concurrency)
        self._check_open_for(name)

        def decorate(handler: H) -> H:
            self._check_open_for(name)
            return declare(handler)

        return decorate

    def _check_open_for(self, service: str) -> None:
        self._offer.check(service)
        if self._loop is not None:
            raise ConfigError(f"declare {service} before the node is started, or offer it with node.offer()")

    @property
    def services(self) -> tuple[str, ...]:
        """The services that this node provides."""
        offered = self._offer.services() if self._loop is None else self._services
        return tuple(service.name for service in offered.values())

    # -- what it may do

    @property
    def _member(self) -> Member:
        return self._member_at_first if self._loop is None else self._loop.papers.member

    def may_call(self, service: str) -> bool:
        """Whether this node's certificate, the newest that it knows of, allows it to call a service."""
        return self._member.may_call(service)

    def may_serve(self, service: str) -> bool:
        """Whether this node's certificate, the newest that it knows of, allows it to provide a service."""
        return self._member.may_serve(service)

    # -- while it runs

    async def offer(self, service: str, handler: Handler, *, concurrency: int = 64) -> None:
        """Provide a further service from now on, while the node runs. All brokers are told at once.

        The rights that count are those of the newest certificate that the node has got from the net. A broker that does
        not know yet that the node may serve it, or may not any more, gives it no requests; its log and its counter
        `denied` say so, and as soon as it knows better it does. `services_available` tells when brokers have it, if
        this node may call the service as well.

        Args:
            service: its name.
            handler: takes a Request and returns bytes; `async def` or `def`, as with `service`.
            concurrency: how many requests run at once, from 1 to 10,000.

        Raises:
            ConfigError: an argument is wrong, the node provides the service already, or it may not serve it.
            NodeClosed: the node is not running, or drains.
            WrongLoop: the node belongs to another event loop.
        """
        check_service(service)
        check_whole("concurrency", concurrency, 1, CONCURRENCY_MAX)
        kind = kind_of(handler)
        loop = self._serving()
        if service.encode() in self._services:
            raise ConfigError(f"{service} has a handler already: withdraw it first, or resize it")
        self._offer.check_right(service, loop.papers.member)
        loop.offer(service, concurrency)
        self._set(Service(service, handler, kind, concurrency))

    async def resize(self, service: str, concurrency: int) -> None:
        """Let another number of requests of a service run at once from now on. What runs goes on.

        Args:
            service: one that the node provides.
            concurrency: from 1 to 10,000.

        Raises:
            ConfigError: an argument is wrong, or the node does not provide the service.
            NodeClosed: the node is not running, or drains.
            WrongLoop: the node belongs to another event loop.
        """
        check_service(service)
        check_whole("concurrency", concurrency, 1, CONCURRENCY_MAX)
        loop, before = self._serving(), self._provided(service)
        loop.resize(service, concurrency)
        self._set(replace(before, concurrency=concurrency))

    async def withdraw(self, service: str, *, timeout: float | None = None) -> bool:  # noqa: ASYNC109 - see `close`
        """Provide a service no more, and wait until what runs of it has ended. No request is lost by it.

        All brokers are told at once. Requests whose handlers have not begun go back as not run, and find other workers;
        handlers that have begun go on, and their replies count. Those that go on when the time is over are stopped as
        far as they can be: a stopped one may have been run, so that its request is tried again with
        `possible_duplicate`. A `def` handler runs on in its thread, and its reply counts.

        The service may be offered again at once, also while this waits: what begins after that is waited for, and
        stopped, by the next withdrawal only, which waits for what is left of earlier ones, too. In a handler of this
        node it only begins the withdrawal, and returns at once, as the handler itself may be one of those to wait for.
        Who is cancelled in here waits no longer; the service is withdrawn all the same.

        Args:
            service: one that the node provides.
            timeout: seconds that handlers have to end; None: `drain_s`.

        Returns:
            Whether all that ran at the withdrawal has ended by itself; False also in a handler of this node.

        Raises:
            ConfigError: an argument is wrong, or the node does not provide the service.
            NodeClosed: the node is not running, or drains, or ends meanwhile.
            WrongLoop: the node belongs to another event loop.
        """
        check_service(service)
        wait_s = self.settings.drain_s if timeout is None else check_wait_s(timeout)
        loop = self._serving()
        self._provided(service)
        begun = loop.withdraw(service)
        del self._services[service.encode()]
        assert self._tasks is not None
        self._tasks.on_services()
        if inside(self):
            return False
        if await presence.until_ended(loop, begun, wait_s):
            return True
        loop.stop_jobs(begun)
        await presence.until_ended(loop, begun, STOP_S_MAX)
        return False

    def _serving(self) -> NodeLoop:
        loop = self._running()
        if self._leaving.is_set():
            raise NodeClosed("the node is draining: what it provides does not change any more")
        return loop

    def _provided(self, service: str) -> Service:
        found = self._services.get(service.encode())
        if found is None:
            offered = ", ".join(self.services) or "nothing"
            raise ConfigError(f"this node does not provide {service}; it provides {offered}")
        return found

    def _set(self, service: Service) -> None:
        self._services[service.name.encode()] = service
        assert self._tasks is not None
        self._tasks.on_services()

    # -- what others provide

    def services_available(self) -> frozenset[str]:
        """Return the services that have a worker now, as the brokers report it to which this node is connected.

        Brokers tell a node of the services that it may call, and tell it of changes within a fraction of a second. In
        a net of more brokers than a node is connected to (`brokers_connected_max`), a service may have workers at
        others only: it is not among these, and a call finds it all the same.

        Raises:
            NodeClosed: the node is not running.
            WrongLoop: the node belongs to another event loop.
        """
        return presence.available(self._running())

    async def services_changed(
        self, known: Iterable[str], *, timeout: float | None = None  # noqa: ASYNC109 - it is the wait's bound
    ) -> frozenset[str]:  # fmt: skip
        """Wait until other services have a worker than the `known` ones, and return those that do.

        So no change is missed, and none is told twice, however long it takes to handle one::

            available = node.services_available()
            while True:
                available = await node.services_changed(available)

        What comes and goes faster than that is seen only as far as it lasts.

        Args:
            known: what `services_available`, or this, has returned last.
            timeout: seconds; None waits without end. When it is over, what is known is returned as it was.

        Raises:
            ConfigError: an argument is wrong.
            NodeClosed: the node is not running, or ends meanwhile.
            WrongLoop: the node belongs to another event loop.
        """
        wait_s = None if timeout is None else check_wait_s(timeout)
        return await presence.until_others(self._running(), _names("known", known), wait_s)

    def tell_of_bridge(
        self, kind: str, *, peers: int, services: int, requests: int, errors: int, denied: int, dropped: int
    ) -> None:
        """Tell the brokers that this node is a bridge to another protocol, and how it is; `braidmq status` shows it.

        The newest word holds, also at brokers to which the node connects later. Say it when something has changed, at
        most each few seconds. Brokers that do not know of bridges skip it.

        Args:
            kind: the protocol, in 1 to 63 bytes.
            peers: foreign connections.
            services: what foreign programs provide through it.
            requests: what foreign programs have asked for since its start; the same holds for what follows.
            errors: those that have failed.
            denied: what a foreign program was not allowed.
            dropped: what was dropped of what foreign programs have sent, or were to be sent.

        Raises:
            NodeClosed: the node is not running.
            WrongLoop: the node belongs to another event loop.
        """
        counts = [min(each, UINT32) for each in (peers, services, requests, errors, denied, dropped)]
        self._running().tell_of_bridge(Bridging(BridgeStatus(kind, *counts)))

    async def wait_for_services(self, *services: str, timeout: float | None = None) -> None:  # noqa: ASYNC109 - as above
        """Wait until all of these services have a worker, as the brokers report it.

        Args:
            services: their names, at least one.
            timeout: seconds; None waits without end.

        Raises:
            NoWorker: the time is over; the text names those that have none.
            AccessDenied: this node may not call one of them, so that no broker ever tells of it.
            NotRegistered: every broker refuses this node's key.
            NoBroker: none of the brokers can ever let this node in.
            ConfigError: an argument is wrong.
            NodeClosed: the node is not running, or ends meanwhile.
            WrongLoop: the node belongs to another event loop.
        """
        wait_s = None if timeout is None else check_wait_s(timeout)
        if not services:
            raise ConfigError("name at least one service to wait for")
        await presence.until_available(self._running(), [check_service(each) for each in services], wait_s)


def _names(argument: str, services: Iterable[str]) -> frozenset[str]:
    if isinstance(services, str) or not isinstance(services, Iterable):
        raise ConfigError(f"{argument} must be a set or list of services, not {services!r:.80}")
    return frozenset(check_service(each) for each in services)
