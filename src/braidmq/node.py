"""The node: calls services, and provides some, over every broker of its net."""

import asyncio
import contextlib
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from braidmq.core.job import Job
from braidmq.core.worker import CONCURRENCY_MAX
from braidmq.errors import BraidError, ConfigError, NoBroker, NodeClosed, NotRegistered, ServiceError
from braidmq.forgotten import Guard
from braidmq.forked import FORKED, tell_child
from braidmq.home import Home, check_main_thread
from braidmq.inside import Run, inside
from braidmq.members import Role, check_service
from braidmq.messages import Reply, Request
from braidmq.remembered import Remembered
from braidmq.settings import Settings
from braidmq.signals import STOP_SIGNALS, end_by_signal
from braidmq.stalls import Stalls
from braidmq.threads import DaemonThreads
from braidmq.trust import joinfile
from braidmq.wire.control import Report
from braidmq.wire.envelope import Flag, decode_headers
from braidmq.zeromq.connections import Connections
from braidmq.zeromq.node_loop import NodeLoop

_LOG = logging.getLogger("braidmq.node")

Handler = Callable[[Request], Awaitable[bytes]] | Callable[[Request], bytes]
"""Runs a request: `async def` on the event loop, `def` in a thread."""

H = TypeVar("H", bound=Handler)

_DUPLICATE: Final = int(Flag.POSSIBLE_DUPLICATE)

FLUSH_S_MAX: Final = 1.0
"""Time that the last answers have to leave when a node ends."""


@dataclass(frozen=True, slots=True)
class BrokerInfo:
    """What a node knows of a broker.

    Attributes:
        name: its registered name.
        endpoints: where it can be reached.
        state: waiting, connecting, up, suspect or draining.
        problem: why there is no connection, if there is none and a reason is known.
    """

    name: str
    endpoints: tuple[str, ...]
    state: str
    problem: str | None


@dataclass(frozen=True, slots=True)
class _Service:
    name: str
    handler: Handler
    concurrency: int
    blocking: bool

    def run_in_thread(self, request: Request) -> object:
        if request.remaining <= 0.0:
            raise _LateError
        return self.handler(request)


class _LateError(Exception):
    """The caller had given up before a thread came to its request."""


class Node:
    """A member of the net; a client and a worker at once.

    Args:
        join: the node's join file, or its path.
        settings: see Settings.
        state: a file in which the node remembers the brokers that it knows, so that it finds the net again when
            those of its join file are down. It is made and kept by the node; nothing is lost with it.

    Raises:
        ConfigError: the join file is wrong, or a broker's.

    Use it as an asynchronous context manager, or call `start` and `close`. All methods belong to the event loop
    in which it was started; `braidmq.blocking.Node` is for programs without one.
    """

    def __init__(
        self,
        join: joinfile.JoinFile | Path | str,
        *,
        settings: Settings | None = None,
        state: Path | str | None = None,
    ) -> None:
        self._identity = join if isinstance(join, joinfile.JoinFile) else joinfile.load(join)
        if self._identity.certificate.role is not Role.NODE:
            name = self._identity.name
            raise ConfigError(f"the join file of {name} is a broker's; a node needs one made by 'braidmq add node'")
        self.name = self._identity.name
        self.settings = settings or Settings()
        self._remembered = None if state is None else Remembered(Path(state))
        self._services: dict[bytes, _Service] = {}
        self._loop: NodeLoop | None = None
        self._home: Home | None = None
        self._guard: Guard | None = None
        self._forked = False
        self._failure = ""
        self._tasks: dict[Job, asyncio.Task[None]] = {}
        self._keeper: asyncio.Task[None] | None = None
        self._threads: DaemonThreads[Request, object] | None = None
        self._stalls = Stalls(self.name)
        self._context = copy_context()
        self._leaving = asyncio.Event()
        self._closing: asyncio.Task[None] | None = None

    def service(self, name: str, *, concurrency: int = 64) -> Callable[[H], H]:
        """Provide a service: decorates its handler. Declare services before `start`.

        Args:
            name: the service; this node's certificate must allow it to serve it.
            concurrency: how many requests run at once, from 1 to 10,000: tasks for `async def`, threads for
                `def`. It is also the credit that the brokers are granted together.

        Raises:
            ConfigError: the name or the number is wrong, the node is not allowed to serve it, or it is running.
        """
        check_service(name)
        if not 1 <= concurrency <= CONCURRENCY_MAX:
            raise ConfigError(f"concurrency must be between 1 and {CONCURRENCY_MAX}, not {concurrency!r}")
        key = name.encode()
        if key in self._services:
            raise ConfigError(f"{name} has a handler already")
        if not self._identity.certificate.member.may_serve(name):
            raise ConfigError(
                f"{self.name} may not serve {name}: make a join file with --serve {name} or a pattern that covers it"
            )
        if self._loop is not None:
            raise ConfigError("declare services before the node is started")

        def decorate(handler: H) -> H:
            self._services[key] = _Service(name, handler, concurrency, not inspect.iscoroutinefunction(handler))
            return handler

        return decorate

    @property
    def services(self) -> tuple[str, ...]:
        """The services that this node provides."""
        return tuple(service.name for service in self._services.values())

    @property
    def brokers(self) -> list[BrokerInfo]:
        """What this node knows of the net's brokers, by name; empty before `start` and after `close`."""
        if self._loop is None or self._loop.closed or self._forked:
            return []
        links = self._loop.core.links.links
        return [
            BrokerInfo(name, link.address.endpoints, link.state.value, link.problem)
            for name, link in sorted(links.items())
        ]

    async def start(self) -> None:
        """Begin to connect to the brokers. Requests may be made at once: they wait for the first connection.

        A node is started once. One whose start has failed has nothing left of it, and may be started again.

        Raises:
            NodeClosed: it was started before.
            WrongLoop: no event loop of asyncio runs.
            BraidError: this process may not have the descriptors or the threads that it needs.
        """
        if self._forked:
            raise NodeClosed(FORKED)
        if self._loop is not None:
            raise NodeClosed("a node is started once: make another one")
        self._home = Home(self.name)
        self._context = copy_context()
        try:
            self._begin()
        except BaseException as error:
            self._failure = f"{error}" or repr(error)
            if self._loop is not None:
                self._release(self._loop.abort)
            self._loop = self._threads = None
            raise

    def _begin(self) -> None:
        loop = self._loop = NodeLoop(
            self._identity, self.settings, run_job=self._run_job, stop_job=self._stop_job, on_stall=self._on_stall
        )
        pools: list[DaemonThreads[Any, Any]] = [loop.lookup_threads]
        threads = sum(service.concurrency for service in self._services.values() if service.blocking)
        if threads:
            self._threads = DaemonThreads(threads, f"braidmq-{self.name}")
            pools.append(self._threads)
        for service in self._services.values():
            loop.core.worker.offer(service.name, service.concurrency)
        loop.start(self._remembered.recall() if self._remembered is not None else ())
        if self._remembered is not None:
            self._keeper = loop.create_task(self._remembered.keep(loop.core))
        assert self._home is not None
        self._guard = Guard(self, f"the node {self.name}", partial(_give_back, self._home, loop.connections, pools))
        tell_child(self)

    async def close(self) -> None:
        """Drain and end: take no new requests, finish what is under way within drain_s, and disconnect.

        What does not end in that time is cancelled, and given back for other workers. The end comes by itself once it
        has begun: whoever is cancelled in here, and whoever calls it again, may wait for it with another `close`.

        In a handler of this node it only begins the end, and returns at once: the drain waits for the handler, whose
        reply still leaves. So it does in a process that was forked from the node's, where there is nothing to end.

        Raises:
            WrongLoop: the node belongs to another event loop, which has not ended.
        """
        if self._loop is None or self._forked:
            return
        assert self._home is not None
        if self._home.ended:
            self._leaving.set()
            self._release(self._loop.dispose)
            return
        closing = self.begin_closing()
        if closing is not None and not inside(self):
            await asyncio.wait((closing,))
            if not closing.cancelled():
                closing.result()

    def begin_closing(self) -> asyncio.Task[None] | None:
        """Let the node drain and end by itself, as in `close`, e.g. from a callback of its event loop.

        Returns:
            What ends it; None if the node was never started.

        Raises:
            WrongLoop: the node belongs to another event loop.
        """
        if self._loop is None or self._home is None:
            return None
        self._home.check()
        self._leaving.set()
        if self._closing is None:
            run = asyncio.get_running_loop().create_task
            self._closing = run(self._drain_and_end(), context=self._context)
            self._closing.add_done_callback(self._on_closed)
        return self._closing

    def _on_closed(self, _closing: asyncio.Task[None]) -> None:
        if self._loop is not None and not self._loop.closed:  # it was cancelled before its first step
            self.end_now()

    async def wait_closed(self) -> None:
        """Wait until the node has been closed, by whoever."""
        await self._leaving.wait()
        await self.close()

    async def _drain_and_end(self) -> None:
        """Drain, and give back all that the node has, also when this is cancelled: its event loop is about to end."""
        loop = self._loop
        assert loop is not None
        try:
            with contextlib.suppress(NodeClosed):  # it was ended at once meanwhile
                await loop.drain()
        finally:
            try:
                await self._stop_handlers()
            finally:
                if self._remembered is not None:
                    self._remembered.save(loop.core)
                self._release(partial(loop.close, FLUSH_S_MAX))

    async def _stop_handlers(self) -> None:
        """Cancel the handlers that are left, and give them FLUSH_S_MAX to take it in."""
        tasks = {task: job.service.name.decode() for job, task in self._tasks.items()}
        for task in tasks:
            task.cancel()
        if tasks:
            _, left = await asyncio.wait(tasks, timeout=FLUSH_S_MAX)
            if left:
                names = ", ".join(sorted({tasks[task] for task in left}))
                _LOG.warning("%s ends, though handlers do not stop: %s", self.name, names)

    def end_now(self) -> None:
        """End without a drain: calls raise NodeClosed, handlers are cancelled, and their requests go elsewhere.

        Call it in the node's own event loop.
        """
        if self._loop is not None:
            self._leaving.set()
            self._release(self._loop.abort)
            for task in self._tasks.values():
                task.cancel()

    def _release(self, end_loop: Callable[[], None]) -> None:
        """Give back what the node has."""
        if self._guard is not None:
            self._guard.dismiss()
        if self._keeper is not None:
            self._keeper.cancel()
        if self._threads is not None:
            self._threads.close()
        end_loop()

    def on_forked(self) -> None:
        """Take in that this is a forked child: what the node has is its parent's."""
        if self._loop is not None and self._guard is not None and not self._loop.closed:
            self._forked = True
            self._guard.dismiss()
            self._loop.connections.let_go()

    def _running(self) -> NodeLoop:
        """Return the loop of a node that is used where it may be. Raises NodeClosed and WrongLoop."""
        loop = self._loop
        if self._forked:
            raise NodeClosed(FORKED)
        if loop is None:
            why = f"its start failed: {self._failure}" if self._failure else "use 'async with node', or 'node.start()'"
            raise NodeClosed(f"the node is not running: {why}")
        if loop.closed:
            raise NodeClosed("the node was closed")
        assert self._home is not None
        self._home.check()
        return loop

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def request(
        self,
        service: str,
        payload: bytes = b"",
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - it also bounds the request on its way, not only this wait
        attempts: int | None = None,
        via: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Call a service and return its reply. Cancelling the call cancels it at the worker, too.

        Args:
            service: its name.
            payload: any bytes, up to payload_bytes_max.
            timeout: seconds until the call gives up, over all attempts; above 0 and at most 86,400.
            attempts: how often the request may be sent, from 1 to 20.
            via: the name of the only broker to use.
            headers: strings that reach the handler, 16 KiB at most.

        Raises:
            ServiceError: the handler answered with an error.
            RequestError: another subclass says why there is no answer, and whether the request may have been run.
            NotRegistered: every broker refuses this node's key.
            NodeClosed: the node is not running. While it drains, only its handlers may call.
            WrongLoop: the node belongs to another event loop.
            ConfigError: an argument is wrong.
        """
        loop, nested = self._running(), inside(self)
        if self._draining and not nested:
            raise NodeClosed("the node is draining: it takes no new calls, except from handlers that have begun")
        if isinstance(payload, bytearray | memoryview):
            payload = bytes(payload)
        id_, end = loop.request(
            service, payload, timeout_s=timeout, attempts=attempts, via=via, headers=headers, nested=nested
        )
        try:
            return await end
        except BaseException:
            loop.give_up(id_)
            raise

    async def connected(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - it is the wait's bound
        """Wait until a broker is up, at most `timeout` seconds; None waits without end.

        Raises:
            NotRegistered: every broker refuses this node's key.
            NoBroker: the join file names no broker, or the time is over; the text says why for each broker.
            NodeClosed: the node is not running.
            WrongLoop: the node belongs to another event loop.
        """
        loop = self._running()
        links = loop.core.links
        if not links.links:
            raise NoBroker(f"the join file of {self.name} names no broker: add one, and copy the file again")
        try:
            async with asyncio.timeout(timeout):
                while not any(link.open for link in links.links.values()):
                    if links.refused:
                        raise NotRegistered(f"every broker refuses this node's key: {links.diagnosis()}")
                    await loop.changed()
        except TimeoutError:
            raise NoBroker(f"no broker could be reached within {timeout:g} s: {links.diagnosis()}") from None

    async def settled(self, timeout: float = 2.0) -> None:  # noqa: ASYNC109 - it is the wait's bound
        """Wait until every broker that is known is up or has failed once, at most `timeout` seconds.

        Raises:
            NodeClosed: the node is not running.
            WrongLoop: the node belongs to another event loop.
        """
        loop = self._running()
        links = loop.core.links.links
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while not all(link.open or link.failure or not link.wanted for link in links.values()):
                    await loop.changed()

    async def observe(self, timeout: float = 2.0) -> dict[str, Report]:  # noqa: ASYNC109 - it is the wait's bound
        """Ask every broker that is up for its state; return what came within `timeout` seconds, by name.

        Raises:
            NodeClosed: the node is not running.
            WrongLoop: the node belongs to another event loop.
        """
        loop = self._running()
        core = loop.core
        asked = core.observe(loop.clock())
        loop.schedule()
        try:
            async with asyncio.timeout(timeout):
                while any(link.open and link.name not in core.reports for link in asked):
                    await loop.changed()
        except TimeoutError:
            _LOG.info("not every broker answered within %g s", timeout)
        return dict(core.reports)

    async def run_until_signal(self, before_the_end: Callable[[], Awaitable[None]] | None = None) -> None:
        """Serve until SIGINT or SIGTERM comes, or a handler closes the node; then drain and end.

        A second signal ends the process at once.

        Args:
            before_the_end: awaited before a second signal ends the process, e.g. to end what it has started.
        """
        loop, endings = asyncio.get_running_loop(), []

        async def end(number: int) -> None:
            if before_the_end is not None:
                await before_the_end()
            end_by_signal(number)

        def on_signal(number: int) -> None:
            if self._draining:
                endings.append(loop.create_task(end(number)))
            else:
                _LOG.info("%s is draining", self.name)
                self._leaving.set()

        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, on_signal, number)
        try:
            async with self:
                _LOG.info("%s serves %s", self.name, ", ".join(self.services))
                if not self.brokers:
                    _LOG.warning("the join file of %s names no broker: add one, and copy the file again", self.name)
                await self._leaving.wait()
        finally:
            for number in STOP_SIGNALS:
                loop.remove_signal_handler(number)
        _LOG.info("%s has ended", self.name)

    def run(self) -> None:
        """Serve until SIGINT or SIGTERM comes; for the main thread of a program that does nothing else.

        Raises:
            WrongLoop: it is not the main thread, or an event loop runs in it.
        """
        check_main_thread(f"'await node.run_until_signal()' or 'async with node' serves for {self.name} here")
        asyncio.run(self.run_until_signal())

    @property
    def _draining(self) -> bool:
        return self._leaving.is_set()

    def _on_stall(self, stalled_s: float) -> None:
        assert self._loop is not None
        running = [job.service.name for job in self._tasks]
        names = [self._services[name].name for name in running if not self._services[name].blocking]
        self._stalls.on_stall(stalled_s, names, self._loop.clock())

    # -- running jobs

    def _run_job(self, job: Job) -> None:
        loop = self._loop
        assert loop is not None
        headers: Mapping[str, str] = {}
        if job.request.extension:
            try:
                headers = decode_headers(job.request.extension)
            except BraidError as error:
                loop.finish(job, ServiceError("INVALID_HEADERS", str(error)))
                return
        self._tasks[job] = loop.create_task(self._run_handler(job, headers))

    def _stop_job(self, job: Job) -> None:
        loop, task = self._loop, self._tasks.get(job)
        assert loop is not None
        if task is None or self._services[job.service.name].blocking:
            return
        task.cancel()
        if not self._begun(task):  # then nothing of `_run_handler` will ever run
            del self._tasks[job]
            loop.finish(job, None)

    @staticmethod
    def _begun(task: asyncio.Task[None]) -> bool:
        work = task.get_coro()
        return not inspect.iscoroutine(work) or inspect.getcoroutinestate(work) != inspect.CORO_CREATED

    async def _run_handler(self, job: Job, headers: Mapping[str, str]) -> None:
        loop = self._loop
        assert loop is not None
        if not loop.begin(job):
            del self._tasks[job]
            return
        sent = job.request
        service = self._services[sent.service]
        request = Request(
            sent.payload,
            sent.sender.decode("ascii", "replace"),
            self.name,
            service.name,
            sent.id,
            sent.flags & _DUPLICATE != 0,
            sent.retry_count,
            job.deadline,
            headers,
            job.link.name,
            loop.clock,
        )
        outcome: bytes | ServiceError | None = None
        late = False
        try:
            with Run(self):
                if service.blocking:
                    assert self._threads is not None
                    result = await asyncio.wrap_future(self._threads.submit(_here(service), request))
                else:
                    result = await service.handler(request)  # type: ignore[misc]  # it is the other kind of handler
            outcome = result if type(result) is bytes else _checked(result, service.name)
        except ServiceError as error:
            outcome = error
        except _LateError:
            late = True
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever a handler raises, sys.exit() too, ends in an answer
            if isinstance(error, asyncio.CancelledError) and (job.cancelled or self._draining):
                return
            if isinstance(error, NodeClosed) and self._draining:  # another worker can do what it could not
                return
            _LOG.exception("the handler of %s failed for a request of %s", request.service, request.sender)
            outcome = ServiceError("INTERNAL", f"the handler failed with {type(error).__name__}")
        finally:
            del self._tasks[job]
            if not service.blocking:
                self._stalls.on_end(service.name, loop.clock())
            if late:
                loop.refuse(job)
            else:
                loop.finish(job, outcome)


def _give_back(home: Home, connections: Connections, pools: Iterable[DaemonThreads[Any, Any]]) -> bool:
    """Close what a forgotten node had, unless another thread is at work with it, at the end of the program."""
    if home.busy:
        return False
    for pool in pools:
        pool.close()
    connections.close()
    return True


def _here(service: _Service) -> Callable[[Request], object]:
    """Return what runs the handler of a service in a thread, in a copy of this context."""
    run = copy_context().run
    return lambda request: run(service.run_in_thread, request)


def _checked(result: object, service: str) -> bytes:
    if isinstance(result, bytes):
        return result
    if isinstance(result, bytearray | memoryview):
        return bytes(result)
    raise TypeError(f"the handler of {service} must return bytes, not {type(result).__name__}")
