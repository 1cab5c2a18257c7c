"""A whole net in one process, for tests: real brokers, keys and sockets, and faults on demand.

::

    async with TestNet(brokers=2) as net:
        worker = net.node("worker")

        @worker.service("pricing")
        async def pricing(request: Request) -> bytes:
            return b"42"

        async with worker, net.node("client") as client:
            await net.served("pricing")
            net.brokers["b1"].kill()
            assert (await client.request("pricing")).payload == b"42"

Every broker runs in a thread of its own and listens on a port of 127.0.0.1 that stays reserved for it while it
is down. What belongs to the net (threads, sockets, its temporary directory) is gone when the block is left.
"""

import asyncio
import logging
import shutil
import socket
import tempfile
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from braidmq import blocking
from braidmq.core.exchange import SessionState
from braidmq.errors import BraidError, ConfigError
from braidmq.members import Member
from braidmq.node import Node
from braidmq.settings import Settings
from braidmq.trust.authority import Authority
from braidmq.trust.joinfile import JoinFile
from braidmq.wire.control import Report
from braidmq.zeromq.broker_loop import BrokerLoop
from braidmq.zeromq.router import Router

__all__ = ["BlockingTestNode", "TestBroker", "TestNet", "TestNode"]

_LOG = logging.getLogger("braidmq.testing")

T = TypeVar("T")

BROKERS_MAX: Final = 50
"""Most brokers of one net: each is a thread, and a connection to each other broker."""

ANSWER_S_MAX: Final = 10.0
"""Time that a broker's thread has to start, to end, or to do what it is asked for."""

POLL_S: Final = 0.005
"""How often a condition is looked at that others wait for."""


class TestNet:
    """A net with its brokers, and the nodes that tests make in it. Use it with `with` or `async with`.

    Both ways start and end in some tens of milliseconds; `async with` keeps the event loop free meanwhile, and
    on leaving ends the nodes that are still running. Leaving ends everything at once: nothing is drained.

    Args:
        brokers: how many; they are called b1, b2, ...
        settings: of all brokers, and of the nodes that are given none; `Settings.test()` if None.

    Attributes:
        brokers: the brokers by name; empty before the start.
        settings: see above.

    Raises:
        ConfigError: the number of brokers is not between 1 and 50.
        BraidError: a broker did not start; or, when the block is left, one had ended by an error of its own.
    """

    __test__ = False

    def __init__(self, brokers: int = 2, *, settings: Settings | None = None) -> None:
        if not 1 <= brokers <= BROKERS_MAX:
            raise ConfigError(f"brokers must be between 1 and {BROKERS_MAX}, not {brokers!r}")
        self.settings = settings or Settings.test()
        self.brokers: dict[str, TestBroker] = {}
        self._count = brokers
        self._authority: Authority | None = None
        self._nodes: list[TestNode | BlockingTestNode] = []
        self._rights: dict[str, tuple[object, ...]] = {}
        self._cuts = _Cuts()

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
                broker = self.brokers[name] = TestBroker(name, port, self.settings, self._cuts)
                broker.join = self._authority.add_broker(name, [broker.endpoint])
            for broker in self.brokers.values():
                broker.launch()
            for broker in self.brokers.values():
                broker.wait_started()
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
        settings: Settings | None = None,
    ) -> "TestNode":
        """Return a node that is not started yet. The first call for a name registers it at all running brokers.

        Args:
            name: of the node. A name that is registered with the same rights gives another process, so to speak, of
                the same member.
            call: patterns of the services it may call.
            serve: patterns of the services it may provide.
            observe: whether it may read the status of brokers.
            settings: those of the net if None.

        Raises:
            ConfigError: the name is taken with other rights, or the name or a pattern is not valid.
        """
        node = TestNode(self._register(name, call, serve, observe), settings=settings or self.settings)
        self._nodes.append(node)
        return node

    def blocking_node(
        self,
        name: str,
        *,
        call: Iterable[str] = ("*",),
        serve: Iterable[str] = ("*",),
        observe: bool = False,
        settings: Settings | None = None,
    ) -> "BlockingTestNode":
        """Return a node for programs without asyncio, not started yet; see `node`."""
        node = BlockingTestNode(self._register(name, call, serve, observe), settings=settings or self.settings)
        self._nodes.append(node)
        return node

    def join(self, name: str) -> Path:
        """Return the path of a member's join file.

        Raises:
            ConfigError: nobody has this name.
        """
        if name not in self.brokers and name not in self._rights:
            raise ConfigError(f"nobody is called {name!r}: make the node first, with net.node({name!r})")
        return self.authority.directory / f"{name}.braid"

    @property
    def authority(self) -> Authority:
        """The authority of this net. Brokers notice within a second what is changed with it."""
        if self._authority is None:
            raise ConfigError("the net is not started: use 'with net', or 'net.start()'")
        return self._authority

    # -- faults

    def partition(self, one: str, other: str, *, one_way: bool = False) -> None:
        """Let every frame between two members vanish, silently, while their connection stays.

        What a new connection says waits until the partition is healed. Transport heartbeats still pass.

        Args:
            one: the name of a member.
            other: the name of another one; at least one of them is a broker.
            one_way: only what `one` sends to `other` vanishes.

        Raises:
            ConfigError: nobody has this name, or none of them is a broker.
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
        """
        give_up_at = monotonic() + timeout
        while missing := self._not_serving(service, workers, brokers):
            _check_time(give_up_at, service, missing)
            await asyncio.sleep(POLL_S)

    def wait_served(
        self, service: str, *, workers: int = 1, brokers: Iterable[str] = (), timeout: float = ANSWER_S_MAX
    ) -> None:  # fmt: skip
        """Do what `served` does, without asyncio; the workers must not need the calling thread."""
        give_up_at = monotonic() + timeout
        while missing := self._not_serving(service, workers, brokers):
            _check_time(give_up_at, service, missing)
            threading.Event().wait(POLL_S)

    # -- inner

    def _register(self, name: str, call: Iterable[str], serve: Iterable[str], observe: bool) -> Path:
        rights = (tuple(call), tuple(serve), observe)
        known = self._rights.get(name)
        if known is None:
            self.authority.add_node(name, *rights)
            self._rights[name] = rights
            for done in [broker.reread_registry() for broker in self._reachable()]:
                done.result(ANSWER_S_MAX)
        elif known != rights:
            raise ConfigError(f"{name!r} is registered already, with other rights: choose another name")
        return self.join(name)

    def _reachable(self) -> "list[TestBroker]":
        return [broker for broker in self.brokers.values() if broker.state in ("up", "draining")]

    def _not_serving(self, service: str, workers: int, brokers: Iterable[str]) -> list[str]:
        chosen = [self.brokers[name] for name in brokers] or self._reachable()
        return [broker.name for broker in chosen if broker.workers(service) < workers]

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
        for broker in self.brokers.values():
            broker.dispose()
        if self._authority is not None:
            shutil.rmtree(self._authority.directory, ignore_errors=True)


class TestBroker:
    """One broker of a TestNet. All methods may be called from any thread.

    Attributes:
        name: its registered name.
        endpoint: where it listens while it runs.
        join: its join file.
        error: what has ended it, if it was neither killed nor stopped.
    """

    __test__ = False

    def __init__(self, name: str, reserved: socket.socket, settings: Settings, cuts: "_Cuts") -> None:
        self.name = name
        self.endpoint = f"tcp://127.0.0.1:{reserved.getsockname()[1]}"
        self.join = Path()
        self.error: BaseException | None = None
        self._reserved = reserved
        self._settings = settings
        self._cuts = cuts
        self._loop: _Loop | None = None
        self._thread: threading.Thread | None = None
        self._opened: Future[None] = Future()

    @property
    def state(self) -> str:
        """Return up, paused, draining or down."""
        loop, thread = self._loop, self._thread
        if loop is None or thread is None or not thread.is_alive():
            return "down"
        return loop.state

    @property
    def counters(self) -> dict[str, int]:
        """What it has counted since it was started; the last word of one that is down."""
        return {} if self._loop is None else self._loop.counters

    def report(self) -> Report:
        """Return its state as an observer would see it.

        Raises:
            BraidError: it is down or paused.
        """
        return self._ask(lambda loop, now: loop.report(now)).result(ANSWER_S_MAX)

    def workers(self, service: str) -> int:
        """Return how many of its connected nodes are ready for requests of `service`; 0 if it is down or paused."""
        try:
            return self._ask(lambda loop, _now: loop.workers(service)).result(ANSWER_S_MAX)
        except BraidError:
            return 0

    # -- faults

    def kill(self) -> None:
        """End it as `kill -9` does: its sockets are closed, and nothing of what it has is sent."""
        loop = self._loop
        if loop is not None:
            loop.kill()
            self._await_end(ANSWER_S_MAX)

    def stop(self) -> None:
        """Tell it to drain, as SIGTERM does. It ends on its own; see `stopped` and `wait_stopped`.

        Raises:
            BraidError: it is down.
        """
        loop = self._loop
        if loop is None or self.state == "down":
            raise BraidError(f"{self.name} is down: it cannot drain")
        loop.stop()

    async def stopped(self, timeout: float = ANSWER_S_MAX) -> None:  # noqa: ASYNC109 - it is the wait's bound
        """Wait until it is down. Raises TimeoutError."""
        await asyncio.to_thread(self.wait_stopped, timeout)

    def wait_stopped(self, timeout: float = ANSWER_S_MAX) -> None:
        """Do what `stopped` does, without asyncio; the nodes must not need the calling thread."""
        self._await_end(timeout)

    def restart(self) -> None:
        """Start it anew, with the same keys and at the same port; one that is not down is killed first."""
        self.kill()
        self.launch()
        self.wait_started()

    def pause(self) -> None:
        """Stop its thread in the middle of its work, as SIGSTOP does; its transport still takes frames in.

        Raises:
            BraidError: it is down or paused.
        """
        reached: Future[None] = Future()
        self._ask(lambda loop, _now: loop.halt(reached))
        reached.result(ANSWER_S_MAX)

    def resume(self) -> None:
        """Let a paused broker go on; do nothing for another one."""
        if self._loop is not None:
            self._loop.go_on()

    # -- for TestNet

    def launch(self) -> None:
        """Begin to start it; for TestNet, which calls `wait_started` next."""
        self.error = None
        self._opened = Future()
        loop = self._loop = _Loop(self.join, self._settings, self._cuts)
        self._thread = threading.Thread(
            target=self._serve, args=(loop,), name=f"braidmq-broker-{self.name}", daemon=True
        )
        self._thread.start()

    def wait_started(self) -> None:
        """Wait until it listens. Raises what kept it from that."""
        self._opened.result(ANSWER_S_MAX)

    def reread_registry(self) -> Future[None]:
        """Let it look at its join file now."""
        return self._ask(lambda loop, now: loop.reread_registry(now))

    def readmit(self) -> None:
        """Let it take in what has waited for the end of a partition."""
        self._ask(lambda loop, now: loop.readmit(now))

    def dispose(self) -> None:
        """End it for good."""
        self.kill()
        self._reserved.close()

    # -- inner

    def _ask(self, errand: "Callable[[_Loop, float], T]") -> Future[T]:
        """Let its thread do something."""
        loop = self._loop
        if loop is None or self.state not in ("up", "draining"):
            raise BraidError(f"{self.name} is {self.state}")
        return loop.ask(lambda now: errand(loop, now))

    def _serve(self, loop: "_Loop") -> None:
        try:
            loop.open()
        except BaseException as error:  # noqa: BLE001 - it is raised where the broker is started
            self._opened.set_exception(error)
            return
        self._opened.set_result(None)
        try:
            loop.run()
        except _Killed:
            return
        except BaseException as error:  # noqa: BLE001 - it is raised when the net is closed
            self.error = error
            _LOG.exception("broker %s ended by an error", self.name)

    def _await_end(self, timeout: float) -> None:
        if self._thread is not None:
            self._thread.join(timeout)
            if self._thread.is_alive():
                raise TimeoutError(f"{self.name} is still {self.state} after {timeout:g} s")


class TestNode(Node):
    """A node that can be killed.

    Attributes:
        home: the event loop it was started in, until it ends.
    """

    __test__ = False

    def __init__(self, join: JoinFile | Path | str, *, settings: Settings | None = None) -> None:
        super().__init__(join, settings=settings)
        self.home: asyncio.AbstractEventLoop | None = None

    async def start(self) -> None:
        """See `braidmq.Node.start`."""
        await super().start()
        self.home = asyncio.get_running_loop()

    async def close(self) -> None:
        """See `braidmq.Node.close`."""
        await super().close()
        self.home = None

    def kill(self) -> None:
        """End it as `kill -9` does: its sockets are closed, nothing is sent, and its calls raise NodeClosed.

        Handlers that are `async def` are cancelled; a `def` handler runs on in its thread, and its result is dropped.
        Call it in the node's own event loop.
        """
        if self._loop is None or self.home is None:
            return
        self.home = None
        self._draining = True
        self._loop.abort()
        for task in self._tasks.values():
            task.cancel()
        if self._threads is not None:
            self._threads.close()


class BlockingTestNode(blocking.Node):
    """A node for programs without asyncio that can be killed."""

    __test__ = False

    def __init__(self, join: JoinFile | Path | str, *, settings: Settings | None = None) -> None:
        super().__init__(join, settings=settings)
        self._node: TestNode = TestNode(join, settings=settings)

    def kill(self) -> None:
        """End it as `kill -9` does; see `TestNode.kill`. Call it from any thread but the node's own."""

        async def kill() -> None:
            self._node.kill()

        if self._loop is not None:
            self._run(kill())
            self.close()


class _Killed(BaseException):
    """Ends a broker's thread where it stands."""


class _Cuts:
    """Who does not hear whom. Read by the brokers' threads: each change makes a new set."""

    def __init__(self) -> None:
        self._pairs: frozenset[tuple[str, str]] = frozenset()

    def add(self, pair: tuple[str, str]) -> None:
        self._pairs |= {pair}

    def clear(self) -> None:
        self._pairs = frozenset()

    def hide(self, sender: str, receiver: str) -> bool:
        return (sender, receiver) in self._pairs


class _LossyRouter(Router):
    """Loses what a partition hides. It sees both directions of every connection to its broker."""

    def __init__(self, name: str, cuts: _Cuts, member: Callable[[str], Member | None], *args: Any) -> None:
        super().__init__(*args)
        self._name = name
        self._cuts = cuts
        self._member = member
        self._names: dict[bytes, str] = {}
        self._held: list[tuple[bytes, str, bytes]] = []

    def receive(self, now: float) -> Iterator[tuple[bytes, str, bytes]]:
        for route, principal, frame in super().receive(now):
            member = self._member(principal)
            name = member.name if member is not None else ""
            if not self._cuts.hide(name, self._name):
                self._names[route] = name
                yield route, principal, frame
            elif route not in self._names:  # a new connection
                self._held.append((route, principal, frame))

    def readmit(self) -> list[tuple[bytes, str, bytes]]:
        """Return what new connections have said during a partition."""
        held, self._held = self._held, []
        return held

    def send(self, sends: dict[bytes, list[bytes]]) -> None:
        hide, names = self._cuts.hide, self._names
        super().send({route: each for route, each in sends.items() if not hide(self._name, names.get(route, ""))})

    def take_gone(self) -> list[tuple[bytes, list[bytes]]]:
        gone = super().take_gone()
        for route, _unsent in gone:
            self._names.pop(route, None)
        return gone


class _Loop(BrokerLoop):
    """A broker that runs errands for other threads: its pipe wakes it, as it does for `stop`."""

    def __init__(self, join: Path, settings: Settings, cuts: _Cuts) -> None:
        super().__init__(join, settings)
        self.counters: dict[str, int] = {}
        self._cuts = cuts
        self._errands: deque[tuple[Callable[[float], Any], Future[Any]]] = deque()
        self._gate = threading.Lock()
        self._open = True
        self._killed = False
        self._going = threading.Event()
        self._going.set()

    @property
    def state(self) -> str:
        if not self._going.is_set():
            return "paused"
        return "up" if self._stopping is None else "draining"

    # -- from any thread

    def ask(self, errand: Callable[[float], T]) -> Future[T]:
        future: Future[T] = Future()
        with self._gate:
            if self._open:
                self._errands.append((errand, future))
                super().stop()
            else:
                future.set_exception(BraidError(f"{self.name} is down"))
        return future

    def stop(self) -> None:
        self.ask(super()._begin_drain)

    def kill(self) -> None:
        self._killed = True
        self.ask(self._die)
        self._going.set()

    def go_on(self) -> None:
        self._going.set()

    # -- errands, in the broker's own thread

    def halt(self, reached: Future[None]) -> None:
        self._going.clear()
        reached.set_result(None)
        self._die(0.0)  # it may have been killed before it halted, and then nobody lets it go on
        self._going.wait()
        self._die(0.0)

    def reread_registry(self, now: float) -> None:
        self._reread_registry(now)

    def readmit(self, now: float) -> None:
        for route, principal, frame in self._lossy.readmit():
            self._core.on_frame(route, principal, frame, now)

    def report(self, now: float) -> Report:
        return self._core.report(now)

    def workers(self, service: str) -> int:
        nodes = self._core.report(monotonic()).nodes
        return sum(1 for node in nodes if node.state == SessionState.OPEN and service in node.serves)

    def _die(self, _now: float) -> None:
        if self._killed:
            raise _Killed

    # -- BrokerLoop

    def open(self) -> None:
        super().open()
        self.counters = self._core.counters

    def close(self, linger_s: float = 0.0) -> None:
        with self._gate:
            self._open = False
            super().close(0.0 if self._killed else linger_s)
        self.counters = dict(self.counters)
        while self._errands:
            self._errands.popleft()[1].set_exception(BraidError(f"{self.name} is down"))

    def _new_router(self) -> Router:
        self._lossy = _LossyRouter(
            self.name, self._cuts, self.member, self._context, self.settings, self.identity.secret_key
        )
        return self._lossy

    def _begin_drain(self, now: float) -> None:
        while self._errands:
            errand, future = self._errands.popleft()
            try:
                future.set_result(errand(now))
            except Exception as error:  # noqa: BLE001 - it belongs to who asked
                future.set_exception(error)


def _reserve_port() -> socket.socket:
    """Return a socket that holds a free port without listening; a broker can listen there at the same time."""
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind(("127.0.0.1", 0))
    return reserved


def _check_time(give_up_at: float, service: str, missing: list[str]) -> None:
    if monotonic() > give_up_at:
        raise TimeoutError(f"{', '.join(missing)}: still not enough workers of {service}")
