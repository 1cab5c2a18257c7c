"""The node: calls services, and provides some, over every broker of its net."""

import asyncio
import contextlib
import inspect
import logging
import signal
from collections.abc import Awaitable, Callable, Mapping
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

from braidmq.core.job import Job
from braidmq.core.node import NodeCore
from braidmq.core.worker import CONCURRENCY_MAX
from braidmq.errors import BraidError, ConfigError, NoBroker, NodeClosed, NotRegistered, ServiceError
from braidmq.inside import Run, inside
from braidmq.members import Role, check_service
from braidmq.messages import Reply, Request
from braidmq.settings import Settings
from braidmq.threads import DaemonThreads
from braidmq.trust import joinfile, statefile
from braidmq.wire.control import Report
from braidmq.wire.envelope import Flag, decode_headers
from braidmq.zeromq.node_loop import NodeLoop

_LOG = logging.getLogger("braidmq.node")

Handler = Callable[[Request], Awaitable[bytes]] | Callable[[Request], bytes]
"""Runs a request: `async def` on the event loop, `def` in a thread."""

H = TypeVar("H", bound=Handler)

_DUPLICATE: Final = int(Flag.POSSIBLE_DUPLICATE)

STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)

STATE_S: Final = 0.5
"""How often a node with a state file looks whether the brokers that it knows have changed."""

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
        self._state = None if state is None else Path(state)
        self._saved: tuple[bytes, ...] = ()
        self._state_complained = False
        self._services: dict[bytes, _Service] = {}
        self._loop: NodeLoop | None = None
        self._tasks: dict[Job, asyncio.Task[None]] = {}
        self._keeper: asyncio.Task[None] | None = None
        self._threads: DaemonThreads[Request, object] | None = None
        self._draining = False

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
        """What this node knows of the net's brokers, by name; empty before `start`."""
        if self._loop is None:
            return []
        links = self._loop.core.links.links
        return [
            BrokerInfo(name, link.address.endpoints, link.state.value, link.problem)
            for name, link in sorted(links.items())
        ]

    async def start(self) -> None:
        """Begin to connect to the brokers. Requests may be made at once: they wait for the first connection."""
        if self._loop is not None:
            raise NodeClosed("a node is started once")
        self._loop = NodeLoop(self._identity, self.settings, run_job=self._run_job, stop_job=self._stop_job)
        threads = sum(service.concurrency for service in self._services.values() if service.blocking)
        if threads:
            self._threads = DaemonThreads(threads, f"braidmq-{self.name}")
        for service in self._services.values():
            self._loop.core.worker.offer(service.name, service.concurrency)
        self._saved = self._recall()
        self._loop.start(self._saved)
        if self._state is not None:
            self._keeper = asyncio.get_running_loop().create_task(self._keep_state(self._state, self._loop))

    async def close(self) -> None:
        """Drain and end: take no new requests, finish what is under way within drain_s, and disconnect."""
        if self._loop is None or self._draining:
            return
        self._draining = True
        try:
            await self._loop.drain()
        finally:
            for task in list(self._tasks.values()):
                task.cancel()
            if self._tasks:
                await asyncio.wait(list(self._tasks.values()), timeout=FLUSH_S_MAX)
            if self._keeper is not None and self._state is not None:
                self._keeper.cancel()
                self._save_state(self._state, self._loop.core)
            self._loop.close(FLUSH_S_MAX)
            if self._threads is not None:
                self._threads.close()

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
            NodeClosed: the node is not running.
            ConfigError: an argument is wrong.
        """
        if self._loop is None or self._draining:
            raise NodeClosed("the node is not running: use 'async with node', or 'await node.start()'")
        if isinstance(payload, bytearray | memoryview):
            payload = bytes(payload)
        loop = self._loop
        nested = inside(self)
        id_, end = loop.request(
            service, payload, timeout_s=timeout, attempts=attempts, via=via, headers=headers, nested=nested
        )
        try:
            return await end
        except BaseException:
            loop.give_up(id_)
            raise

    async def connected(self) -> None:
        """Wait until a broker is up.

        Raises:
            NotRegistered: every broker refuses this node's key.
            NoBroker: the join file names no broker.
        """
        if self._loop is None:
            raise NodeClosed("the node is not running")
        links = self._loop.core.links
        if not links.links:
            raise NoBroker(f"the join file of {self.name} names no broker: add one, and copy the file again")
        while not any(link.open for link in links.links.values()):
            if links.refused:
                raise NotRegistered(f"every broker refuses this node's key: {links.diagnosis()}")
            await self._loop.changed()

    async def settled(self, timeout: float = 2.0) -> None:  # noqa: ASYNC109 - it is the wait's bound
        """Wait until every broker that is known is up or has failed once, at most `timeout` seconds."""
        if self._loop is None:
            raise NodeClosed("the node is not running")
        links = self._loop.core.links.links
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while not all(link.open or link.failure or not link.wanted for link in links.values()):
                    await self._loop.changed()

    async def observe(self, timeout: float = 2.0) -> dict[str, Report]:  # noqa: ASYNC109 - it is the wait's bound
        """Ask every broker that is up for its state; return what came within `timeout` seconds, by name."""
        if self._loop is None:
            raise NodeClosed("the node is not running")
        core = self._loop.core
        asked = core.observe(self._loop.clock())
        self._loop.schedule()
        try:
            async with asyncio.timeout(timeout):
                while any(link.open and link.name not in core.reports for link in asked):
                    await self._loop.changed()
        except TimeoutError:
            _LOG.info("not every broker answered within %g s", timeout)
        return dict(core.reports)

    async def run_until_signal(self, before_the_end: Callable[[], Awaitable[None]] | None = None) -> None:
        """Serve until SIGINT or SIGTERM comes, then drain and end. A second signal ends the process at once.

        Args:
            before_the_end: awaited before a second signal ends the process, e.g. to end what it has started.
        """
        loop, stop, endings = asyncio.get_running_loop(), asyncio.Event(), []

        async def end(number: int) -> None:
            if before_the_end is not None:
                await before_the_end()
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

        def on_signal(number: int) -> None:
            if stop.is_set():
                endings.append(loop.create_task(end(number)))
            else:
                _LOG.info("%s is draining", self.name)
                stop.set()

        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, on_signal, number)
        try:
            async with self:
                _LOG.info("%s serves %s", self.name, ", ".join(self.services))
                if not self.brokers:
                    _LOG.warning("the join file of %s names no broker: add one, and copy the file again", self.name)
                await stop.wait()
        finally:
            for number in STOP_SIGNALS:
                loop.remove_signal_handler(number)
        _LOG.info("%s has ended", self.name)

    def run(self) -> None:
        """Serve until SIGINT or SIGTERM comes; for the main thread of a program that does nothing else."""
        asyncio.run(self.run_until_signal())

    # -- what is remembered between two runs

    def _recall(self) -> tuple[bytes, ...]:
        if self._state is None:
            return ()
        try:
            return statefile.load(self._state)
        except (OSError, ValueError) as error:  # a ConfigError is a ValueError
            _LOG.warning("nothing is remembered of the net: %s", error)
            return ()

    async def _keep_state(self, path: Path, loop: NodeLoop) -> None:
        """Write down the brokers that are known whenever that changes, until cancelled."""
        while True:
            await asyncio.sleep(STATE_S)
            self._save_state(path, loop.core)  # some KiB, and seldom: a thread would need a copy of the list

    def _save_state(self, path: Path, core: NodeCore) -> None:
        known = core.known
        if set(known) == set(self._saved):
            return
        try:
            statefile.save(path, known)
            self._saved = known
        except (OSError, ValueError) as error:
            if not self._state_complained:
                self._state_complained = True
                _LOG.warning("the brokers that are known cannot be remembered: %s", error)

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
            _LOG.exception("the handler of %s failed for a request of %s", request.service, request.sender)
            outcome = ServiceError("INTERNAL", f"the handler failed with {type(error).__name__}")
        finally:
            del self._tasks[job]
            if late:
                loop.refuse(job)
            else:
                loop.finish(job, outcome)


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
