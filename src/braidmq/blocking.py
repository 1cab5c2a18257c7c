"""The node without asyncio: the same calls, from any thread."""

import contextlib
import threading
from collections.abc import Callable, Coroutine, Iterable, Mapping
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from braidmq.errors import BraidError, NodeClosed
from braidmq.handler import H, Handler
from braidmq.host.clock import monotonic
from braidmq.host.forgotten import Guard
from braidmq.host.forked import FORKED, tell_child
from braidmq.host.home import check_main_thread
from braidmq.host.loggers import own_logger
from braidmq.host.loop_thread import TASKS_END_S_MAX, LoopThread
from braidmq.inside import inside
from braidmq.messages import Reply
from braidmq.node import FLUSH_S_MAX, BrokerInfo
from braidmq.node import Node as AsyncNode
from braidmq.observer import NodeObserver
from braidmq.operating import Answer
from braidmq.services import Services
from braidmq.settings import Settings
from braidmq.stderr import log_unless_configured
from braidmq.trust.joinfile import JoinFile
from braidmq.wire.control import Report

T = TypeVar("T")

END_S_MAX: Final = 2 * FLUSH_S_MAX + 2 * TASKS_END_S_MAX
"""Time that the thread of a node has to end, beyond drain_s: to cancel handlers and to let the last answers leave."""

FORGET_S_MAX: Final = 1.0
"""Time that the thread of a forgotten node has to end."""

_LOG = own_logger("braidmq.node")


class Operator:
    """The operations of a node; see `braidmq.operating.Operator`."""

    def __init__(self, node: AsyncNode, run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        self._operate = node.operate
        self._run = run

    def drain(self, broker: str, *, force: bool = False, timeout: float = 2.0) -> Answer:
        """See `braidmq.operating.Operator.drain`."""
        answer: Answer = self._run(self._operate.drain(broker, force=force, timeout=timeout))
        return answer

    def take_out(self, node: str, *, timeout: float = 2.0) -> dict[str, Answer]:
        """See `braidmq.operating.Operator.take_out`."""
        answers: dict[str, Answer] = self._run(self._operate.take_out(node, timeout=timeout))
        return answers

    def put_back(self, node: str, *, timeout: float = 2.0) -> dict[str, Answer]:
        """See `braidmq.operating.Operator.put_back`."""
        answers: dict[str, Answer] = self._run(self._operate.put_back(node, timeout=timeout))
        return answers


class Node:
    """A node whose event loop runs in a thread of its own. Arguments, results and errors are those of `braidmq.Node`.

    Use it as a context manager, or call `start` and `close`. `request` may be called from any thread but the
    node's own: handlers that are `async def` run there, and handlers that are `def` run in threads of the pool. An
    observer is called there, too.
    """

    def __init__(
        self,
        join: JoinFile | Path | str,
        *,
        settings: Settings | None = None,
        services: Services | None = None,
        state: Path | str | None = None,
        observer: NodeObserver | None = None,
    ) -> None:
        self._node = AsyncNode(join, settings=settings, services=services, state=state, observer=observer)
        self._thread: LoopThread | None = None
        self._guard: Guard | None = None
        self._why_not = "use 'with node', or 'node.start()'"
        self._starting = threading.Lock()

    def service(self, name: str, *, concurrency: int = 64) -> Callable[[H], H]:
        """See `braidmq.Node.service`."""
        return self._node.service(name, concurrency=concurrency)

    @property
    def name(self) -> str:
        """See `braidmq.Node.name`."""
        return self._node.name

    @property
    def brokers(self) -> list[BrokerInfo]:
        """See `braidmq.Node.brokers`."""

        async def brokers() -> list[BrokerInfo]:
            return self._node.brokers

        if self._thread is not None and self._thread.here:
            return self._node.brokers
        try:
            return self._run(brokers())
        except NodeClosed:
            return []

    def start(self) -> None:
        """See `braidmq.Node.start`. A start that is interrupted ends the node."""
        started: Future[None] = Future()
        thread = self._new_thread()
        try:
            thread.start(_live(self._node, started), f"braidmq-{self.name}")
            started.result()
        except BaseException as error:
            self.close()
            self._thread = None
            self._why_not = f"its start failed: {error}"
            raise

    def run(self) -> None:
        """Serve until SIGINT or SIGTERM comes, or a handler closes the node; then drain and end.

        For the main thread of a program that does nothing else; handlers that are `async def` run in it. A second
        signal ends the process at once.

        Raises:
            WrongLoop: it is not the main thread, or an event loop runs in it.
        """
        check_main_thread(f"'with node' serves for {self.name} here")
        log_unless_configured()
        self._new_thread().serve(self._node.run_until_signal())

    def close(self) -> None:
        """Drain and end, as `braidmq.Node.close` does.

        In a handler of this node, and in the node's own thread, it only begins the end, and returns at once. A handler
        that blocks the event loop is left behind when drain_s and some seconds more are over.
        """
        thread = self._thread
        if thread is None:
            return
        if thread.here:
            self._node.begin_closing()
            return
        give_up_at = monotonic() + self._node.settings.drain_s + END_S_MAX
        with contextlib.suppress(NodeClosed, TimeoutError):  # it has ended; it cannot
            thread.run(self._node.close(), give_up_at - monotonic())
        if not inside(self._node) and not thread.join(max(0.0, give_up_at - monotonic())):
            _LOG.warning("%s is left behind: a handler blocks its event loop", self.name)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def request(
        self,
        service: str,
        payload: bytes | bytearray | memoryview = b"",
        *,
        timeout: float | None = None,
        attempts: int | None = None,
        via: str | None = None,
        headers: Mapping[str, str] | None = None,
        wait: bool | None = None,
        id: bytes | None = None,  # noqa: A002 - as in a Request, whose `id` it is
        possible_duplicate: bool = False,
    ) -> Reply:
        """See `braidmq.Node.request`."""
        return self._run(
            self._node.request(
                service,
                payload,
                timeout=timeout,
                attempts=attempts,
                via=via,
                headers=headers,
                wait=wait,
                id=id,
                possible_duplicate=possible_duplicate,
            )
        )

    @property
    def services(self) -> tuple[str, ...]:
        """See `braidmq.Node.services`."""
        return self._node.services

    def offer(self, service: str, handler: Handler, *, concurrency: int = 64) -> None:
        """See `braidmq.Node.offer`."""
        self._run(self._node.offer(service, handler, concurrency=concurrency))

    def resize(self, service: str, concurrency: int) -> None:
        """See `braidmq.Node.resize`."""
        self._run(self._node.resize(service, concurrency))

    def withdraw(self, service: str, *, timeout: float | None = None) -> bool:
        """See `braidmq.Node.withdraw`."""
        return self._run(self._node.withdraw(service, timeout=timeout))

    def services_available(self) -> frozenset[str]:
        """See `braidmq.Node.services_available`."""

        async def available() -> frozenset[str]:
            return self._node.services_available()

        return self._run(available())

    def services_changed(self, known: Iterable[str], *, timeout: float | None = None) -> frozenset[str]:
        """See `braidmq.Node.services_changed`."""
        return self._run(self._node.services_changed(known, timeout=timeout))

    def wait_for_services(self, *services: str, timeout: float | None = None) -> None:
        """See `braidmq.Node.wait_for_services`."""
        self._run(self._node.wait_for_services(*services, timeout=timeout))

    def connected(self, timeout: float | None = None) -> None:
        """See `braidmq.Node.connected`."""
        self._run(self._node.connected(timeout))

    def settled(self, timeout: float = 2.0) -> None:
        """See `braidmq.Node.settled`."""
        self._run(self._node.settled(timeout))

    def observe(self, timeout: float = 2.0) -> dict[str, Report]:
        """See `braidmq.Node.observe`."""
        return self._run(self._node.observe(timeout))

    @property
    def operate(self) -> Operator:
        """See `braidmq.Node.operate`."""
        return Operator(self._node, self._run)

    def _new_thread(self) -> LoopThread:
        with self._starting:
            if self._thread is not None:
                raise NodeClosed("a node is started once: make another one")
            if self._why_not == FORKED:
                raise NodeClosed(FORKED)
            try:
                thread = self._thread = LoopThread()
            except BraidError as error:
                self._why_not = f"its start failed: {error}"
                raise
        self._guard = Guard(self, f"the node {self.name}", partial(_forget, self._node, thread))
        tell_child(self)
        return thread

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        thread = self._thread
        if thread is None:
            work.close()
            raise NodeClosed(f"the node is not running: {self._why_not}")
        return thread.run(work)

    def on_forked(self) -> None:
        """Note that this is a forked child: its parent has the thread."""
        self._starting = threading.Lock()
        if self._thread is not None and self._guard is not None:
            self._guard.dismiss()
            self._thread = None
            self._why_not = FORKED


async def _live(node: AsyncNode, started: Future[None]) -> None:
    """Be the life of a node in its own thread, until it has been closed."""
    try:
        await node.start()
    except BaseException as error:  # noqa: BLE001 - it is raised again by whoever starts the node
        started.set_exception(error)
        return
    started.set_result(None)
    try:
        await node.wait_closed()
    finally:
        node.end_now()


def _forget(node: AsyncNode, thread: LoopThread) -> bool:
    if thread.join(0.0):
        return False
    thread.call(node.end_now)
    thread.join(FORGET_S_MAX)
    return True
