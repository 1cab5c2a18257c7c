"""The whole net: its authority, its brokers and its nodes."""

import asyncio
import contextlib
import shutil
import socket
import tempfile
import threading
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import wait
from pathlib import Path
from types import NoneType, TracebackType
from typing import Final, Self

from braidmq.checks import check_kind, check_wait_s, check_whole
from braidmq.errors import BraidError, ConfigError
from braidmq.host.clock import monotonic
from braidmq.host.home import check_no_loop
from braidmq.host.loggers import own_logger
from braidmq.members import check_name, check_pattern, check_service
from braidmq.observer import BrokerObserver, NodeObserver
from braidmq.services import Services
from braidmq.settings import Settings
from braidmq.testing.broker import ANSWER_S_MAX, TestBroker
from braidmq.testing.node import BlockingTestNode, TestNode
from braidmq.testing.partition import Cuts
from braidmq.trust.authority import Authority

_LOG = own_logger("braidmq.testing")

BROKERS_MAX: Final = 50
"""Most brokers of one net: each is a thread, and a connection to each other broker."""

WORKERS_MAX: Final = 10_000
"""Most workers that can be waited for: a broker's `nodes_max`."""

POLL_S: Final = 0.005
"""How often a condition is looked at that others wait for."""


class TestNet:
    """A net with its brokers, and the nodes that tests make in it. Use it with `with` or `async with`.

    Both ways start and end in some tens of milliseconds; `async with` keeps the event loop free meanwhile, and
    on leaving ends the nodes that are still running. Leaving ends everything at once: nothing is drained.

    Args:
        brokers: how many; they are called b1, b2, ...
        settings: of all brokers, and of the nodes that are given none; `Settings.test()` if None.
        observer: is told what happens at all brokers, each of which calls it in its own thread.

    Attributes:
        brokers: the brokers by name; empty before the start.
        settings: see above.

    Raises:
        ConfigError: the number of brokers is not between 1 and 50, `settings` are none, or `observer` is none.
        BraidError: a broker did not start; or, when the block is left, one had ended by an error of its own.
    """

    __test__ = False

    def __init__(
        self, brokers: int = 2, *, settings: Settings | None = None, observer: BrokerObserver | None = None
    ) -> None:
        check_whole("brokers", brokers, 1, BROKERS_MAX)
        check_kind("settings", settings, (Settings, NoneType), "a braidmq.Settings")
        check_kind("observer", observer, (BrokerObserver, NoneType), "a braidmq.BrokerObserver")
        self.settings = settings or Settings.test()
        self.brokers: dict[str, TestBroker] = {}
        self._count = brokers
        self._observer = observer
        self._authority: Authority | None = None
        self._ended = False
        self._nodes: list[TestNode | BlockingTestNode] = []
        self._rights: dict[str, tuple[object, ...]] = {}
        self._cuts = Cuts()

    # -- life

    def start(self) -> None:
        """Make the net and start its brokers. The caller must call `close`; `with` does both."""
        if self._authority is not None:
            raise ConfigError("a net is started once: make another one")
        self._authority = Authority.create(tempfile.mkdtemp(prefix="braidmq-testnet-"))
        try:
            for number in range(1, self._count + 1):
                name = f"b{number}"
                port = _reserve_port()
                broker = self.brokers[name] = TestBroker(name, port, self.settings, self._cuts, self._observer)
                broker.join = self._authority.add_broker(name, [broker.endpoint])
            for broker in self.brokers.values():
                broker.launch()
            for broker in self.brokers.values():
                broker.wait_started()
            for broker in self.brokers.values():
                broker.resume()  # now that all of them listen, they find each other at once
            for broker in self.brokers.values():
                broker.wait_open()
        except BaseException:
            self._end()
            raise

    def close(self) -> None:
        """End everything at once.

        Raises:
            BraidError: a broker had ended by an error of its own.
        """
        self._end()
        for broker in self.brokers.values():
            if broker.error is not None:
                raise BraidError(f"broker {broker.name} ended by an error: {broker.error!r}") from broker.error

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._leave(error)

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.start)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._kill_nodes()
        await asyncio.to_thread(self._leave, error)

    # -- members

    def node(
        self,
        name: str,
        *,
        call: Iterable[str] = ("*",),
        serve: Iterable[str] = ("*",),
        observe: bool = False,
        operate: bool = False,
        settings: Settings | None = None,
        services: Services | None = None,
        observer: NodeObserver | None = None,
    ) -> TestNode:
        """Return a node that is not started yet. The first call for a name registers it at all running brokers.

        Args:
            name: of the node. A name that is registered with the same rights gives another process, so to speak, of
                the same member.
            call: patterns of the services it may call.
            serve: patterns of the services it may provide.
            observe: whether it may read the status of brokers.
            operate: whether it may drain brokers, and take nodes out of work.
            settings: those of the net if None.
            services: what it provides, besides what is declared with its own `service`.
            observer: is told what happens to its calls and jobs.

        Raises:
            ConfigError: the name is taken with other rights, an argument is not valid, or the net does not run.
        """
        join = self._register(name, call, serve, observe, operate)
        chosen = self.settings if settings is None else settings
        node = TestNode(join, settings=chosen, services=services, observer=observer)
        self._nodes.append(node)
        return node

    def blocking_node(
        self,
        name: str,
        *,
        call: Iterable[str] = ("*",),
        serve: Iterable[str] = ("*",),
        observe: bool = False,
        operate: bool = False,
        settings: Settings | None = None,
        services: Services | None = None,
        observer: NodeObserver | None = None,
    ) -> BlockingTestNode:
        """Return a node for programs without asyncio, not started yet; see `node`."""
        join = self._register(name, call, serve, observe, operate)
        chosen = self.settings if settings is None else settings
        node = BlockingTestNode(join, settings=chosen, services=services, observer=observer)
        self._nodes.append(node)
        return node

    def join(self, name: str) -> Path:
        """Return the path of a member's join file.

        Raises:
            ConfigError: nobody has this name, or the net does not run.
        """
        directory = self.authority.directory
        if name not in self.brokers and name not in self._rights:
            raise ConfigError(f"nobody is called {name!r}: make the node first, with net.node({name!r})")
        return directory / f"{name}.braid"

    @property
    def authority(self) -> Authority:
        """The authority of this net. Brokers notice within a second what is changed with it.

        Raises:
            ConfigError: the net does not run.
        """
        return self._running()

    # -- faults

    def partition(self, one: str, other: str, *, one_way: bool = False) -> None:
        """Let every frame between two members vanish, silently, while their connection stays.

        What a new connection says waits until the partition is healed. Transport heartbeats still pass.

        Args:
            one: the name of a member.
            other: the name of another one; at least one of them is a broker.
            one_way: only what `one` sends to `other` vanishes.

        Raises:
            ConfigError: nobody has this name, none of them is a broker, or the net does not run.
        """
        self.join(one), self.join(other)
        if one not in self.brokers and other not in self.brokers:
            raise ConfigError(f"{one} and {other} are nodes, and nodes have no connection to each other")
        self._cuts.add((one, other))
        if not one_way:
            self._cuts.add((other, one))

    def heal(self) -> None:
        """End all partitions."""
        self._cuts.clear()
        for broker in self._reachable():
            broker.readmit()

    # -- what is to be seen

    @property
    def counters(self) -> dict[str, int]:
        """The counters of all brokers together; a restart sets those of its broker to 0."""
        total: Counter[str] = Counter()
        for broker in self.brokers.values():
            total.update(broker.counters)
        return dict(total)

    async def served(
        self, service: str, *, workers: int = 1, brokers: Iterable[str] = (), timeout: float = ANSWER_S_MAX  # noqa: ASYNC109 - it is the wait's bound
    ) -> None:  # fmt: skip
        """Wait until brokers have workers of a service that are ready for requests.

        Args:
            service: its name.
            workers: how many nodes each broker needs at least.
            brokers: the names of the brokers; all that run if none is named.
            timeout: seconds.

        Raises:
            TimeoutError: it has not come to that in time.
            ConfigError: an argument is wrong, or the net does not run.
        """
        check_service(service)
        check_whole("workers", workers, 1, WORKERS_MAX)
        give_up_at = monotonic() + check_wait_s(timeout)
        while missing := self._not_serving(service, workers, brokers):
            _check_time(give_up_at, service, missing)
            await asyncio.to_thread(threading.Event().wait, POLL_S)  # not `sleep`: asyncio's clock may be frozen

    def wait_served(
        self, service: str, *, workers: int = 1, brokers: Iterable[str] = (), timeout: float = ANSWER_S_MAX
    ) -> None:  # fmt: skip
        """Do what `served` does, without asyncio; the workers must not need the calling thread.

        Raises:
            WrongLoop: an event loop of asyncio runs in this thread.
        """
        check_no_loop("wait_served() would keep this event loop from running: write 'await net.served(...)'")
        check_service(service)
        check_whole("workers", workers, 1, WORKERS_MAX)
        give_up_at = monotonic() + check_wait_s(timeout)
        while missing := self._not_serving(service, workers, brokers):
            _check_time(give_up_at, service, missing)
            threading.Event().wait(POLL_S)

    # -- inner

    def _running(self) -> Authority:
        if self._authority is None:
            raise ConfigError("the net is not started: use 'with net', or 'net.start()'")
        if self._ended:
            raise ConfigError("the net has ended, and its files are gone: make another one")
        return self._authority

    def _register(self, name: str, call: Iterable[str], serve: Iterable[str], observe: bool, operate: bool) -> Path:
        check_name(name)
        rights = (_patterns("call", call), _patterns("serve", serve), observe, operate)
        check_kind("observe", observe, bool, "True or False")
        check_kind("operate", operate, bool, "True or False")
        known = self._rights.get(name)
        if known is None:
            self.authority.add_node(name, *rights[:-1], operate=operate)
            self._rights[name] = rights
            for done in [broker.reread_registry() for broker in self._reachable()]:
                done.result(ANSWER_S_MAX)
        elif known != rights:
            raise ConfigError(f"{name!r} is registered already, with other rights: choose another name")
        return self.join(name)

    def _reachable(self) -> list[TestBroker]:
        return [broker for broker in self.brokers.values() if broker.state in ("up", "draining")]

    def _not_serving(self, service: str, workers: int, brokers: Iterable[str]) -> list[str]:
        self._running()
        chosen = [self._broker(name) for name in brokers] or self._reachable()
        return [broker.name for broker in chosen if broker.workers(service) < workers]

    def _broker(self, name: str) -> TestBroker:
        if name not in self.brokers:
            raise ConfigError(f"there is no broker {name!r}: this net has {', '.join(self.brokers) or 'none yet'}")
        return self.brokers[name]

    def _kill_nodes(self) -> None:
        try:
            here = asyncio.get_running_loop()
        except RuntimeError:
            here = None
        for node in self._nodes:
            if isinstance(node, BlockingTestNode) or (node.home is here and here is not None):
                node.kill()
        self._nodes.clear()

    def _leave(self, error: BaseException | None) -> None:
        try:
            self.close()
        except BraidError:
            if error is None:
                raise
            _LOG.exception("the test failed, and a broker, too")

    def _end(self) -> None:
        self._kill_nodes()
        halts = []
        for broker in self._reachable():
            with contextlib.suppress(BraidError):  # it has ended by itself
                halts.append(broker.begin_pause())
        wait(halts, ANSWER_S_MAX)  # so that none of them sees another one end
        for broker in self.brokers.values():
            broker.dispose()
        if self._authority is not None:
            self._ended = True
            shutil.rmtree(self._authority.directory, ignore_errors=True)


def _reserve_port() -> socket.socket:
    """Return a socket that holds a free port without listening; a broker can listen there at the same time."""
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind(("127.0.0.1", 0))
    return reserved


def _patterns(name: str, patterns: Iterable[str]) -> tuple[str, ...]:
    if isinstance(patterns, str) or not isinstance(patterns, Iterable):
        raise ConfigError(f"{name} must be a list of services or patterns, as in ['stock.*'], not {patterns!r}")
    return tuple(check_pattern(pattern) for pattern in patterns)


def _check_time(give_up_at: float, service: str, missing: list[str]) -> None:
    if monotonic() > give_up_at:
        raise TimeoutError(f"{', '.join(missing)}: still not enough workers of {service}")
