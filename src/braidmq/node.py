"""The node: calls services, and provides some, over every broker of its net."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import NoneType, TracebackType
from typing import Final, Self

from braidmq import presence
from braidmq.carrier.connections import Connections
from braidmq.carrier.node_loop import NodeLoop
from braidmq.carrier.papers import NodePapers
from braidmq.checks import check_kind, check_wait_s
from braidmq.errors import ConfigError, NodeClosed
from braidmq.host.forgotten import Guard
from braidmq.host.forked import FORKED, tell_child
from braidmq.host.home import Home, check_main_thread
from braidmq.host.lifeline import Lifeline
from braidmq.host.loggers import own_logger
from braidmq.host.threads import DaemonThreads
from braidmq.inside import inside, run_of
from braidmq.members import Role
from braidmq.messages import Reply
from braidmq.observability.contained_tracer import ContainedTracer, tracer_of
from braidmq.observer import NodeObserver
from braidmq.operating import Operator
from braidmq.provider import Provider
from braidmq.remembered import Remembered
from braidmq.renewal import Renewal
from braidmq.runner import Running
from braidmq.services import Services
from braidmq.serving import serve
from braidmq.settings import Settings
from braidmq.stderr import log_unless_configured
from braidmq.telling import Telling
from braidmq.trust import joinfile
from braidmq.wire.control import Report

_LOG = own_logger("braidmq.node")

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
        services: those that have a worker there, of the services that the node may call, as the broker tells it.
    """

    name: str
    endpoints: tuple[str, ...]
    state: str
    problem: str | None
    services: frozenset[str] = frozenset()


class Node(Provider):
    """A member of the net; a client and a worker at once.

    `service`, `offer`, `resize` and `withdraw` say what it provides, `request` calls what others provide, and
    `services_available` tells what that is.

    Args:
        join: the node's join file, or its path. At a path it is read again whenever it changes: a new key is taken over
            while the node runs.
        settings: see Settings.
        services: what the node provides, besides what is declared with its own `service`.
        state: a file in which the node remembers the brokers that it knows, so that it finds the net again when
            those of its join file are down. It is made and kept by the node; nothing is lost with it. No other file is
            ever overwritten.
        observer: is told what happens to the node's calls and jobs. A NodeTracer also gives them what they carry.

    Raises:
        ConfigError: an argument or the join file is wrong, the file is a broker's, or it does not allow the node to
            provide one of the services; or `state` names something that is no state file, or a directory that is
            missing.

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
        observer: NodeObserver | None = None,
    ) -> None:
        check_kind("join", join, (joinfile.JoinFile, Path, str), "the path of a join file")
        check_kind("settings", settings, (Settings, NoneType), "a braidmq.Settings")
        check_kind("services", services, (Services, NoneType), "a braidmq.Services")
        check_kind("state", state, (Path, str, NoneType), "the path of a file")
        check_kind("observer", observer, (NodeObserver, NoneType), "a braidmq.NodeObserver")
        self._identity = join if isinstance(join, joinfile.JoinFile) else joinfile.load(join)
        if self._identity.certificate.role is not Role.NODE:
            name = self._identity.name
            raise ConfigError(f"the join file of {name} is a broker's; a node needs one made by 'braidmq add node'")
        super().__init__(
            self._identity.certificate.member, settings or Settings(), Services() if services is None else services
        )
        self._remembered = None if state is None else Remembered(Path(state))
        self._renewal = Renewal(Path(join)) if joinfile.is_path(join) else None
        self._observer = observer
        self._tracer: ContainedTracer | None = tracer_of(observer)
        self._home: Home | None = None
        self._guard: Guard | None = None
        self._forked = False
        self._failure = ""
        self._telling: Telling | None = None
        self._context = copy_context()
        self._closing: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        """The name under which this node is registered, as far as it knows: it may be renamed while it runs.

        Its threads, and the warning that it was not closed, keep the name that it had at its start.
        """
        return self._identity.name if self._loop is None else self._loop.papers.certificate.name

    @property
    def brokers(self) -> list[BrokerInfo]:
        """What this node knows of the net's brokers, by name; empty before `start` and after `close`."""
        if self._loop is None or self._loop.closed or self._forked:
            return []
        links = self._loop.core.brokers
        return [
            BrokerInfo(
                name,
                link.address.endpoints,
                link.state.value,
                link.problem,
                frozenset([service.decode() for service in link.services]),
            )
            for name, link in sorted(links.items())
        ]

    @property
    def operate(self) -> Operator:
        """What it may ask brokers to do, if its certificate lets it: to drain, to take nodes out, to put them back."""
        return Operator(self._running)

    async def start(self) -> None:
        """Begin to connect to the brokers. Requests may be made at once: they wait for the first connection.

        A node is started once. One whose start has failed has nothing left of it, and may be started again.

        Raises:
            NodeClosed: it was started before.
            WrongLoop: no event loop of asyncio runs.
            ConfigError: something else has taken the place of the state file.
            BraidError: this process may not have the descriptors or the threads that it needs.
        """
        if self._forked:
            raise NodeClosed(FORKED)
        if self._loop is not None:
            raise NodeClosed("a node is started once: make another one")
        self._services = self._offer.services()
        self._home = Home(self.name)
        self._context = copy_context()
        try:
            self._begin()
        except BaseException as error:
            self._failure = f"{error}" or repr(error)
            if self._loop is not None:
                self._release(self._loop.abort)
            self._loop = self._tasks = None
            raise

    def _begin(self) -> None:
        papers = NodePapers(self._identity)
        known = () if self._remembered is None else self._remembered.recall(papers)
        loop = self._loop = NodeLoop(
            self._identity, self.settings, on_stall=self._on_stall, observer=self._observer, papers=papers
        )
        telling = self._telling = Telling(loop)
        limit = self.settings.payload_bytes_max
        jobs = Running(
            self, self.name, self._services, loop, error_bytes_max=limit, telling=telling, tracer=self._tracer
        )
        self._tasks = jobs
        for service in self._services.values():
            loop.core.offer(service.name, service.concurrency)
        loop.start(jobs, known)
        telling.begin(lambda: jobs.on_the_loop)
        if self._remembered is not None:
            self._remembered.keep(loop)
        if self._renewal is not None:
            self._renewal.begin(loop)
        assert self._home is not None
        give_back = partial(_give_back, self._home, loop.connections, (loop.lookup_threads, jobs.threads))
        self._guard = Guard(self, f"the node {self.name}", give_back)
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
        self._home.check(self.name)
        self._leaving.set()
        if self._closing is None:
            create_task = asyncio.get_running_loop().create_task  # its factory may not know of a context
            self._closing = self._context.copy().run(create_task, self._drain_and_end())
            self._closing.add_done_callback(self._on_closed)
        return self._closing

    def _on_closed(self, closing: asyncio.Task[None]) -> None:
        if self._loop is not None and not self._loop.closed:  # it was cancelled before its first step
            self.end_now()
        error = None if closing.cancelled() else closing.exception()
        if isinstance(error, Exception):  # the event loop itself raises what is none: KeyboardInterrupt, SystemExit
            _LOG.error("%s ended with an error", self.name, exc_info=error)

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
                    self._remembered.save(loop)
                self._release(partial(loop.close, FLUSH_S_MAX))

    async def _stop_handlers(self) -> None:
        """Cancel the handlers that are left, and give them FLUSH_S_MAX to take it in."""
        if self._tasks is not None:
            left = await self._tasks.end(FLUSH_S_MAX)
            if left:
                _LOG.warning("%s ends, though handlers do not stop: %s", self.name, ", ".join(left))

    def end_now(self) -> None:
        """End without a drain: calls raise NodeClosed, handlers are cancelled, and their requests go elsewhere.

        Call it in the node's own event loop.
        """
        if self._loop is not None:
            self._leaving.set()
            self._release(self._loop.abort)
            if self._tasks is not None:
                self._tasks.cancel()

    def _release(self, end_loop: Callable[[], None]) -> None:
        """Give back what the node has, each part whatever becomes of the others."""
        with contextlib.ExitStack() as parts:
            parts.callback(end_loop)
            if self._tasks is not None:
                parts.callback(self._tasks.threads.close)
            if self._remembered is not None:
                parts.callback(self._remembered.stop)
            if self._renewal is not None:
                parts.callback(self._renewal.stop)
            if self._guard is not None:
                parts.callback(self._guard.dismiss)
            if self._telling is not None:
                parts.callback(self._telling.end)

    def on_forked(self) -> None:
        """Note that this is a forked child: what the node has is its parent's."""
        if self._loop is not None and self._guard is not None and not self._loop.closed:
            self._forked = True
            self._guard.dismiss()
            self._loop.connections.let_go()

    def _running(self) -> NodeLoop:
        """Return the loop of a node that is used where it may be. Raises NodeClosed and WrongLoop."""
        loop = self._loop
        if loop is not None and loop.here and not self._forked:
            return loop
        if self._forked:
            raise NodeClosed(FORKED)
        if loop is None:
            why = f"its start failed: {self._failure}" if self._failure else "use 'async with node', or 'node.start()'"
            raise NodeClosed(f"the node is not running: {why}")
        if loop.closed:
            raise NodeClosed("the node was closed")
        assert self._home is not None
        self._home.check(self.name)
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
        payload: bytes | bytearray | memoryview = b"",
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - it also bounds the request on its way, not only this wait
        attempts: int | None = None,
        via: str | None = None,
        headers: Mapping[str, str] | None = None,
        wait: bool | None = None,
        id: bytes | None = None,  # noqa: A002 - as in a Request, whose `id` it is
        possible_duplicate: bool = False,
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
            id: of the request, where it repeats one that this node, or another process of it, has made: 16 bytes whose
                first bit is 0; nobody should be able to guess it. A worker process that has run `(sender, id)` with the
                same service, payload and headers, and remembers it (`dedup_s`), answers with what it answered then; if
                it still runs it, the call joins that. Any other worker, and one that was restarted, runs it again. None
                makes a new one.
            possible_duplicate: whether the request may have been run before: handlers get it with this flag, and with
                a `retry_count` from 1 on. Whoever repeats a request without it breaks the promise that what runs
                twice is flagged. All errors of such a call say `maybe_executed`.

        Raises:
            ServiceError: the handler answered with an error.
            RequestError: another subclass says why there is no answer, and whether the request may have been run.
            NotRegistered: every broker refuses this node's key.
            NodeClosed: the node is not running. While it drains, only its handlers may call.
            WrongLoop: the node belongs to another event loop.
            ConfigError: an argument is wrong.
        """
        loop, nested = self._running(), run_of(self)
        if self._leaving.is_set() and not nested:
            raise NodeClosed("the node is draining: it takes no new calls, except from handlers that have begun")
        tracer = self._tracer
        if tracer is not None:
            headers = tracer.call_headers(service, headers, fixed=id is not None)
        metadata = None if headers is None else {"headers": headers}
        try:
            id_, end = loop.request(
                service, payload, timeout, attempts, via, metadata, wait, nested, id, possible_duplicate
            )
        except BaseException as error:
            if tracer is not None:
                tracer.call_refused(error)
            raise
        try:
            return await end
        except BaseException:
            loop.give_up(id_)
            del end  # its error holds this frame
            raise

    async def connected(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - it is the wait's bound
        """Wait until a broker is up, at most `timeout` seconds; None waits without end.

        Raises:
            NotRegistered: every broker refuses this node's key.
            NoBroker: the join file names no broker, none of them can ever let this node in (they are another net's),
                or the time is over; the text says why for each broker.
            ConfigError: `timeout` is no number of at least 0.
            NodeClosed: the node is not running.
            WrongLoop: the node belongs to another event loop.
        """
        wait_s = None if timeout is None else check_wait_s(timeout)
        await presence.until_connected(self._running(), self.name, wait_s)

    async def settled(self, timeout: float = 2.0) -> None:  # noqa: ASYNC109 - it is the wait's bound
        """Wait until every broker that is known is up or has failed once, at most `timeout` seconds.

        Raises:
            ConfigError: `timeout` is no number of at least 0.
            NodeClosed: the node is not running.
            WrongLoop: the node belongs to another event loop.
        """
        wait_s = check_wait_s(timeout)
        await presence.until_settled(self._running(), wait_s)

    async def observe(self, timeout: float = 2.0) -> dict[str, Report]:  # noqa: ASYNC109 - it is the wait's bound
        """Ask every broker that is up for its state; return what came within `timeout` seconds, by name.

        Raises:
            ConfigError: `timeout` is no number of at least 0.
            NodeClosed: the node is not running.
            WrongLoop: the node belongs to another event loop.
        """
        wait_s = check_wait_s(timeout)
        return await presence.reports(self._running(), wait_s)

    async def run_until_signal(self, before_the_end: Callable[[], Awaitable[None]] | None = None) -> None:
        """Serve until SIGINT or SIGTERM comes, or a handler closes the node; then drain and end.

        A second signal ends the process at once. A service manager that has set $NOTIFY_SOCKET, as systemd does for a
        unit of Type=notify, hears that the node serves, how it is connected, and, for its watchdog, that its event loop
        goes on.

        Args:
            before_the_end: awaited before a second signal ends the process, e.g. to end what it has started.
        """
        await serve(self, self._leaving, before_the_end)

    async def run_supervised(self, lifeline: Lifeline) -> None:
        """Do what `run_until_signal` does, in one of several processes: drain when its lifeline ends, too."""
        await serve(self, self._leaving, lifeline=lifeline)

    def run(self) -> None:
        """Serve until SIGINT or SIGTERM comes; for the main thread of a program that does nothing else.

        A program that has not configured `logging` gets the log on stderr, from INFO on, as `braidmq serve` writes it.

        Raises:
            WrongLoop: it is not the main thread, or an event loop runs in it.
        """
        check_main_thread(f"'await node.run_until_signal()' or 'async with node' serves for {self.name} here")
        log_unless_configured()
        asyncio.run(self.run_until_signal())

    def _on_stall(self, stalled_s: float) -> None:
        if self._telling is not None:
            self._telling.on_stall(stalled_s)


def _give_back(home: Home, connections: Connections, pools: Iterable[DaemonThreads]) -> bool:
    """Close what a forgotten node had, unless another thread is at work with it, at the end of the program."""
    if home.busy:
        return False
    for pool in pools:
        pool.close()
    connections.close()
    return True
