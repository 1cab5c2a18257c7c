"""Runs the jobs of a node: on its event loop, or in a thread for what blocks. Whatever a handler does, its job ends."""

import asyncio
import contextvars
import inspect
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping
from enum import Enum
from functools import partial
from types import CoroutineType
from typing import Any, Final
from weakref import ref

from braidmq.carrier.node_loop import NodeLoop
from braidmq.core.worker.job import RUNS_PER_PLACE, Job
from braidmq.errors import BraidError, NodeClosed, NotRun, OutcomeUnknown, ServiceError
from braidmq.handler import Kind
from braidmq.host.clock import monotonic
from braidmq.host.loggers import own_logger
from braidmq.host.repeats import Repeats
from braidmq.host.threads import DaemonThreads, NoThreadError
from braidmq.inside import Run
from braidmq.messages import Request
from braidmq.observability.contained_tracer import ContainedTracer
from braidmq.observer import JobEnd
from braidmq.outcome import Answer, log_unanswered, of_error, of_result
from braidmq.services import Service
from braidmq.telling import Telling
from braidmq.wire.envelope import Flag
from braidmq.wire.extension import NO_METADATA, decode_metadata

_LOG = own_logger("braidmq.node")

AWAITS_MAX: Final = 8
"""How often what a handler returns may turn out to be one more thing to await: wrappers around wrappers."""

_DUPLICATE: Final = int(Flag.POSSIBLE_DUPLICATE)
_ON_LOOP: Final = Kind.ON_LOOP


class _Unanswered(Enum):
    LATE = "its deadline was over when a thread came to it"
    NO_THREAD = "no thread could be started for it"
    NOT_RUN = "its handler has done nothing"
    UNKNOWN = "its handler does not know"


_ENDS: Final = {
    _Unanswered.LATE: JobEnd.REFUSED,
    _Unanswered.NO_THREAD: JobEnd.GIVEN_BACK,
    _Unanswered.NOT_RUN: JobEnd.GIVEN_BACK,
    _Unanswered.UNKNOWN: JobEnd.LOST,
}


class _Returned:
    """Something to await that a handler in a thread has returned."""

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value = value

    def discard(self) -> None:
        """Let it never run: nobody awaits it any more."""
        if inspect.iscoroutine(self.value):
            self.value.close()


class Running:
    """The jobs of one node that run. All methods belong to the event loop in which it was made.

    Args:
        node: whose jobs they are.
        name: of the node, which its threads are called by.
        services: those that it offers, by their names on the wire; `on_services` is told when they have changed.
        loop: where jobs come from and their outcomes go.
        error_bytes_max: how large a ServiceError may be.
        telling: is told which handlers have the event loop.
        tracer: gives handlers a context.

    Attributes:
        threads: where handlers run that block.
    """

    def __init__(
        self,
        node: object,
        name: str,
        services: Mapping[bytes, Service],
        loop: NodeLoop,
        *,
        error_bytes_max: int,
        telling: Telling,
        tracer: ContainedTracer | None = None,
    ) -> None:
        self._tracer = tracer
        self._node = ref(node)
        self._services = services
        self._loop = loop
        self._error_bytes_max = error_bytes_max
        self._stalls = telling.stalls
        self._ended_at = telling.stalls.ended_at
        self._stir = telling.stir
        self._events = asyncio.get_running_loop()
        self._context = contextvars.copy_context()
        self._taken: list[Job] = []
        self._runs: dict[Job, Run] = {}
        self._tasks: dict[Job, asyncio.Task[None]] = {}
        self.threads = DaemonThreads(self._threads_needed, f"braidmq-{name}")
        self._lacking: set[str] = set()
        self._repeats = Repeats()

    def __len__(self) -> int:
        """How many jobs run, those that go on after their deadline included."""
        return len(self._runs)

    @property
    def _threads_needed(self) -> int:
        return RUNS_PER_PLACE * sum(each.concurrency for each in self._services.values() if each.kind is Kind.IN_THREAD)

    def on_services(self) -> None:
        """Note that other services are offered, or with other concurrencies."""
        self.threads.allow(self._threads_needed)
        if len(self._ended_at) > len(self._services):
            self._stalls.forget({each.name for each in self._services.values()}, self._loop.clock())

    @property
    def on_the_loop(self) -> Iterator[str]:
        """The services of the handlers that run on the event loop, one for each of these."""
        return (job.service.name.decode() for job, run in self._runs.items() if run.stoppable)

    @property
    def taken(self) -> int:
        """How many jobs were taken and are still to be started."""
        return len(self._taken)

    def take(self, job: Job) -> None:
        """Take a job, to be started by `start`."""
        self._runs[job] = Run(self._node)
        self._taken.append(job)

    def start(self) -> None:
        """Start the jobs that were taken: where Python can, their handlers begin now."""
        taken, self._taken = self._taken, []
        for job in taken:
            self._start(job)

    def _start(self, job: Job) -> None:
        metadata = NO_METADATA
        if job.request.extension:
            try:
                metadata = decode_metadata(job.request.extension)
            except BraidError as error:
                del self._runs[job]
                self._loop.finish(job, ServiceError("INVALID_HEADERS", str(error)), self._loop.clock())
                return
        running = self._run(job, self._runs[job], metadata)
        try:
            task = self._make_task(running)
        except Exception as error:  # noqa: BLE001 - whatever a task factory raises, the request is not lost
            why = f"the event loop's task factory failed with {type(error).__name__}: {error}"
            self._complain("task", job.service.name.decode(), why)
            running.close()
            del self._runs[job]
            self._loop.give_back(job)
        else:
            if job in self._runs:  # it has not ended yet
                self._tasks[job] = task
            if self._lacking:
                self._lacking.discard("task")

    def _make_task(self, running: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Return a task in a fresh copy of the context of the start. It may have begun already, or have ended."""
        context = self._context.copy()
        if sys.version_info >= (3, 12) and self._events.get_task_factory() is None:
            return asyncio.Task(running, loop=self._events, context=context, eager_start=True)
        # No `create_task(context=...)`: a task factory may not know that.
        return context.run(self._events.create_task, running)

    def stop(self, job: Job) -> None:
        """Ask a job to stop. A handler in a thread cannot be stopped; what it returns to be awaited is not awaited."""
        run = self._runs.get(job)
        if run is not None:
            run.stopped = True
            if run.stoppable:
                self._tasks[job].cancel()

    def cancel(self) -> None:
        """Ask all jobs to stop, and wait for none of them; handlers in threads run on."""
        taken, self._taken = self._taken, []
        for job in taken:
            del self._runs[job]
            self._loop.give_back(job)
        for job, run in self._runs.items():
            run.stopped = True
            if run.begun:
                self._tasks[job].cancel()
        self.threads.close()

    async def end(self, timeout_s: float) -> list[str]:
        """Ask all jobs to stop, and wait until those have that can, at most `timeout_s`.

        Returns:
            The services whose handlers on the event loop go on.
        """
        self.cancel()
        if self._tasks:
            await asyncio.wait(list(self._tasks.values()), timeout=timeout_s)
        return sorted({job.service.name.decode() for job in self._runs})

    async def _run(self, job: Job, run: Run, metadata: Mapping[str, Any]) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks[job] = task  # it may have begun while it is made
        if run.stopped or not self._loop.begin(job):
            del self._runs[job], self._tasks[job]
            if run.stopped:
                self._loop.give_back(job)
            return
        run.begun = True
        run.enter()
        sent = job.request
        service = self._services[sent.service]
        request = Request(
            sent.payload,
            sent.sender.decode("ascii", "replace"),
            self._loop.papers.certificate.name,
            service.name,
            sent.id,
            sent.flags & _DUPLICATE != 0,
            sent.retry_count,
            job.deadline,
            broker=job.link.name,
            _clock=monotonic,
            **metadata,
        )
        outcome: Answer | _Unanswered | None = None
        told = None if self._tracer is None else self._tracer.begin_handler(request)
        try:
            if service.kind is _ON_LOOP:
                outcome = await self._await(run, request, service.handler)
            else:
                outcome = await self._in_thread(job, run, request, service.handler)
        finally:  # also where the event loop has ended meanwhile
            run.over = True
            if told is not None:
                told(*_end_of(outcome))
        del self._runs[job], self._tasks[job]
        now = self._loop.clock()
        if run.stoppable:
            self._ended_at[service.name] = now
        if not isinstance(outcome, _Unanswered):
            self._loop.finish(job, outcome, now)
        elif outcome is _Unanswered.LATE:
            self._loop.refuse(job)
        elif outcome is _Unanswered.NO_THREAD:
            self._loop.give_back(job)
        elif outcome is _Unanswered.NOT_RUN:
            self._loop.decline(job)
        else:
            self._loop.disown(job)

    async def _await(
        self, run: Run, request: Request, handler: Callable[[Request], object]
    ) -> Answer | _Unanswered | None:
        """Call a handler here and await what it returns; None if it was stopped. Raises nothing."""
        run.stoppable = True
        self._stir()
        try:
            result = handler(request)
            if type(result) is CoroutineType:
                result = await result
            if type(result) is bytes:
                return result
            for _ in range(AWAITS_MAX - 1):
                if not inspect.isawaitable(result):
                    break
                result = await result
            return of_result(result, request, self._repeats)
        except BaseException as error:  # noqa: BLE001 - whatever a handler raises, sys.exit() too, ends in an answer
            if run.stopped and isinstance(error, asyncio.CancelledError):
                return None
            return self._of_error(error, request)

    async def _in_thread(
        self, job: Job, run: Run, request: Request, handler: Callable[[Request], object]
    ) -> Answer | _Unanswered | None:
        """Call a handler in a thread; what it returns to be awaited is awaited here."""
        context = contextvars.copy_context()  # the task's own may be entered at any time
        done: asyncio.Future[Answer | _Unanswered | _Returned | None] = self._events.create_future()
        try:
            self.threads.submit(
                partial(context.run, self._block, job, run, request, handler), partial(self._arrive_soon, done)
            )
            self._lacking.discard("thread")
            returned = await done
            if not isinstance(returned, _Returned):
                return returned
            if run.stopped:
                returned.discard()
                return None
            awaiting = self._await(run, request, lambda _request: returned.value)
            try:
                task = context.run(self._events.create_task, awaiting)
            except Exception as error:  # noqa: BLE001 - whatever a task factory raises; the handler has run already
                awaiting.close()
                returned.discard()
                return self._of_error(error, request)
            return await task
        except NoThreadError as error:
            self._complain("thread", request.service, str(error))
            return _Unanswered.NO_THREAD
        except asyncio.CancelledError as error:
            return None if run.stopped else self._of_error(error, request)

    def _complain(self, what: str, service: str, why: str) -> None:
        """Tell the log that something is lacking, once until it was there again."""
        if what not in self._lacking:
            self._lacking.add(what)
            name = self._loop.papers.certificate.name
            _LOG.warning("%s has no %s for requests of %s, and gives them back: %s", name, what, service, why)

    def _block(
        self, job: Job, run: Run, request: Request, handler: Callable[[Request], object]
    ) -> "Answer | _Unanswered | _Returned | None":
        """Call a handler in this thread. Raises nothing."""
        if run.stopped or request.remaining <= 0.0:
            return _Unanswered.LATE
        if self._loop.clock() > job.sure_until:  # it has waited for this thread since it was allowed to begin
            request.possible_duplicate = True
            job.request.flags |= _DUPLICATE
        try:
            result = handler(request)
            if type(result) is not bytes and inspect.isawaitable(result):
                return _Returned(result)
            return of_result(result, request, self._repeats)
        except BaseException as error:  # noqa: BLE001 - whatever a handler raises ends in an answer
            return self._of_error(error, request)

    def _of_error(self, error: BaseException, request: Request) -> Answer | _Unanswered | None:
        """Return the answer to a handler's error; None if it is this node's end, and another worker does better."""
        kind = type(error)  # not isinstance, which believes what `__class__` says
        if kind is NodeClosed and self._loop.core.draining:
            return None
        if issubclass(kind, NotRun | OutcomeUnknown):
            log_unanswered(error, request)
            return _Unanswered.NOT_RUN if issubclass(kind, NotRun) else _Unanswered.UNKNOWN
        return of_error(error, request, self._error_bytes_max, self._repeats)

    def _arrive_soon(self, done: "asyncio.Future[Any]", returned: object) -> None:
        """Called in a thread: its handler has returned."""
        try:
            self._events.call_soon_threadsafe(self._arrive, done, returned)
        except RuntimeError:  # the event loop has ended, and whoever waited with it
            self._arrive(None, returned)

    @staticmethod
    def _arrive(done: "asyncio.Future[Any] | None", returned: object) -> None:
        if done is not None and not done.done():
            done.set_result(returned)
        elif isinstance(returned, _Returned):
            returned.discard()


def _end_of(outcome: Answer | _Unanswered | None) -> tuple[JobEnd, str]:
    """Return how a handler has ended, and the code of its error."""
    if isinstance(outcome, bytes):
        return JobEnd.RESULT, ""
    if isinstance(outcome, ServiceError):
        return JobEnd.ERROR, outcome.code
    return JobEnd.LOST if outcome is None else _ENDS[outcome], ""
