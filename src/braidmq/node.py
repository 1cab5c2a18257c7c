"""The node: calls services, and provides some, over every broker of its net."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, TracebackType
from typing import Final, Self

from braidmq.checks import check_kind, check_wait_s
from braidmq.core.job import Job
from braidmq.core.node import NodeCore
from braidmq.errors import ConfigError, NoBroker, NodeClosed, NotRegistered
from braidmq.handler import H
from braidmq.inside import inside
from braidmq.members import Role
from braidmq.messages import Reply
from braidmq.running import Running
from braidmq.services import Service, Services
from braidmq.settings import Settings
from braidmq.stderr import StderrHandler
from braidmq.trust import joinfile, statefile
from braidmq.wire.control import Report
from braidmq.zeromq.node_loop import NodeLoop

_LOG = logging.getLogger("braidmq.node")

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


class Node:
    """A member of the net; a client and a worker at once.

    Args:
        join: the node's join file, or its path.
        settings: see Settings.
        services: what the node provides, besides what is declared with its own `service`.
        state: a file in which the node remembers the brokers that it knows, so that it finds the net again when
            those of its join file are down. It is made and kept by the node; nothing is lost with it.

    Raises:
        ConfigError: an argument or the join file is wrong, the file is a broker's, or it does not allow the node to
            provide one of the services.

    Use it as an asynchronous context manager, or call `start` and `close`. All methods belong to the event loop
    in which it was started; `braidmq.blocking.Node` is for programs without one.
    """

    def __init__(
        self,
        join: joinfile.JoinFile | Path | str,
        *,
        settings: Settings | None = None,
        services: Services | None = None,
        state: Path | str | None = None,
    ) -> None:
        check_kind("join", join, (joinfile.JoinFile, Path, str), "the path of a join file")
        check_kind("settings", settings, (Settings, NoneType), "a braidmq.Settings")
        check_kind("services", services, (Services, NoneType), "a braidmq.Services")
        check_kind("state", state, (Path, str, NoneType), "the path of a file")
        self._identity = join if isinstance(join, joinfile.JoinFile) else joinfile.load(join)
        if self._identity.certificate.role is not Role.NODE:
            name = self._identity.name
            raise ConfigError(f"the join file of {name} is a broker's; a node needs one made by 'braidmq add node'")
        self.name = self._identity.name
        self.settings = settings or Settings()
        self._state = None if state is None else Path(state)
        self._saved: tuple[bytes, ...] = ()
        self._state_complained = False
        self._shared = Services() if services is None else services
        self._own = Services()
        self._services: dict[bytes, Service] = self._offered()
        self._loop: NodeLoop | None = None
        self._tasks: Running | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._draining = False

    def service(self, name: str, *, concurrency: int = 64) -> Callable[[H], H]:
        """Provide a service: decorates its handler. Declare services before `start`.

        Args:
            name: the service; this node's certificate must allow it to serve it.
            concurrency: how many requests run at once, from 1 to 10,000: tasks for `async def`, threads for
                `def`. It is also the credit that the brokers with requests share.

        Raises:
            ConfigError: the name or the number is wrong, the node is not allowed to serve it, or it is running; or
                what is decorated cannot be a handler.
        """
        declare = self._own.service(name, concurrency=concurrency)
        self._shared.check_free(name)
        self._check_right(name)
        if self._loop is not None:
            raise ConfigError("declare services before the node is started")
        return declare

    def _offered(self) -> dict[bytes, Service]:
        """Return what has been declared for this node so far."""
        offered: dict[bytes, Service] = {}
        for service in (*self._shared, *self._own):
            self._check_right(service.name)
            if service.name.encode() in offered:
                raise ConfigError(f"{service.name} has a handler already")
            offered[service.name.encode()] = service
        return offered

    def _check_right(self, service: str) -> None:
        if not self._identity.certificate.member.may_serve(service):
            raise ConfigError(
                f"{self.name} may not serve {service}: "
                f"make a join file with --serve {service} or a pattern that covers it"
            )

    @property
    def services(self) -> tuple[str, ...]:
        """The services that this node provides."""
        offered = self._offered() if self._loop is None else self._services
        return tuple(service.name for service in offered.values())

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
        self._services = self._offered()
        self._loop = NodeLoop(self._identity, self.settings, run_job=self._run_job, stop_job=self._stop_job)
        self._tasks = Running(self, self.name, self._services, self._loop, self.settings.payload_bytes_max)
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
            if self._tasks is not None:
                await self._tasks.end(FLUSH_S_MAX)
            if self._keeper is not None and self._state is not None:
                self._keeper.cancel()
                self._save_state(self._state, self._loop.core)
            self._loop.close(FLUSH_S_MAX)

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
        payload: bytes | bytearray | memoryview = b"",
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - it also bounds the request on its way, not only this wait
        attempts: int | None = None,
        via: str | None = None,
        headers: Mapping[str, str] | None = None,
        wait: bool | None = None,
    ) -> Reply:
        """Call a service and return its reply. Cancelling the call cancels it at the worker, too.

        Args:
            service: its name.
            payload: any bytes, up to payload_bytes_max.
            timeout: seconds until the call gives up, over all attempts; above 0 and at most 86,400.
            attempts: how often the request may be sent, from 1 to 20.
            via: the name of the only broker to use.
            headers: strings that reach the handler, 16 KiB at most.
            wait: whether to wait, within the timeout, where there is no worker for the service; else the call ends
                as NoWorker at once. None: as the setting `wait_for_worker` says.

        Raises:
            ServiceError: the handler answered with an error.
            RequestError: another subclass says why there is no answer, and whether the request may have been run.
            NotRegistered: every broker refuses this node's key.
            NodeClosed: the node is not running.
            ConfigError: an argument is wrong.
        """
        if self._loop is None or self._draining:
            raise NodeClosed("the node is not running: use 'async with node', or 'await node.start()'")
        loop = self._loop
        nested = inside(self)
        id_, end = loop.request(
            service,
            payload,
            timeout_s=timeout,
            attempts=attempts,
            via=via,
            headers=headers,
            wait=wait,
            nested=nested,
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
        wait_s = check_wait_s(timeout)
        if self._loop is None:
            raise NodeClosed("the node is not running")
        links = self._loop.core.links.links
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                while not all(link.open or link.failure or not link.wanted for link in links.values()):
                    await self._loop.changed()

    async def observe(self, timeout: float = 2.0) -> dict[str, Report]:  # noqa: ASYNC109 - it is the wait's bound
        """Ask every broker that is up for its state; return what came within `timeout` seconds, by name."""
        wait_s = check_wait_s(timeout)
        if self._loop is None:
            raise NodeClosed("the node is not running")
        core = self._loop.core
        asked = core.observe(self._loop.clock())
        self._loop.schedule()
        try:
            async with asyncio.timeout(wait_s):
                while any(link.open and link.name not in core.reports for link in asked):
                    await self._loop.changed()
        except TimeoutError:
            _LOG.info("not every broker answered within %g s", wait_s)
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
        """Serve until SIGINT or SIGTERM comes; for the main thread of a program that does nothing else.

        A program that has not configured `logging` gets the log on stderr, from INFO on, as `braidmq serve` writes it.
        """
        if not _LOG.hasHandlers():
            logging.basicConfig(handlers=[StderrHandler()], level=logging.INFO)
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

    def _run_job(self, job: Job) -> None:
        assert self._tasks is not None
        self._tasks.run(job)

    def _stop_job(self, job: Job) -> None:
        assert self._tasks is not None
        self._tasks.stop(job)
