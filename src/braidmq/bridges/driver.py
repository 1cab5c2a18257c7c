"""Joins the pure core of a bridge to its endpoint and to the nodes behind it."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, Final, Protocol

from braidmq.bridges.port import (
    BridgeCore,
    Call,
    Cancel,
    Finish,
    Job,
    Offer,
    Output,
    Peer,
    Send,
    Unfinished,
    Withdraw,
)
from braidmq.bridges.turns import Turns
from braidmq.errors import BraidError, ConfigError, NodeClosed, NotRun, OutcomeUnknown, Overloaded, ServiceError
from braidmq.host.clock import TIMER_SLACK_S, monotonic
from braidmq.host.loggers import own_logger
from braidmq.messages import Reply, Request
from braidmq.node import Node
from braidmq.settings import Settings

_LOG = own_logger("braidmq.bridge")


class Endpoint(Protocol):
    """Sends to foreign peers."""

    def send(self, peer: Peer, frames: Sequence[bytes]) -> bool:
        """Send a message; return False if it certainly did not leave."""


class Driver:
    """Serves one core. All methods belong to the event loop in which it was made.

    Args:
        core: of the bridge.
        nodes: by the member of `bridges/port.py` for whom each stands; all are started.
        settings: of the nodes.
    """

    def __init__(self, core: BridgeCore, nodes: Mapping[str, Node], settings: Settings) -> None:
        self._core = core
        self._nodes = nodes
        self._endpoint: Endpoint | None = None
        self._loop = asyncio.get_running_loop()
        self._turns: Turns[int] = Turns(settings)
        self._waiting: dict[int, Call] = {}
        self._calls: dict[int, asyncio.Task[None]] = {}
        self._jobs: dict[int, asyncio.Future[bytes | ServiceError | Unfinished]] = {}
        self._numbers = 0
        self._offered: set[tuple[str, str]] = set()
        self._errands: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = 0.0
        self._scheduled = False
        self._ended = False
        self._drained = asyncio.Event()
        self._do: Final[dict[type, Callable[[Output], None]]] = {
            Send: self._send,
            Call: self._call,
            Cancel: self._cancel,
            Offer: self._offer,
            Withdraw: self._withdraw,
            Finish: self._finish,
        }

    def start(self, endpoint: Endpoint) -> None:
        """Send what the core has to send there, and let it know which services there are."""
        self._endpoint = endpoint
        for member, node in self._nodes.items():
            self._run_errand(self._watch_services(member, node))

    # -- from the endpoint

    def on_message(self, peer: Peer, frames: list[bytes]) -> None:
        """See router.Behind."""
        self._tell(partial(self._core.on_message, peer, frames))

    def on_gone(self, peer: Peer) -> None:
        """See router.Behind."""
        self._tell(partial(self._core.on_gone, peer))

    def on_read(self) -> None:
        """See router.Behind."""
        self._turn()

    # -- life

    async def drain(self, timeout_s: float) -> None:
        """Take no new calls, and wait until what is under way has ended, at most `timeout_s`."""
        self._tell(self._core.drain)
        self._turn()
        await asyncio.sleep(0)  # withdrawals tell brokers in their first step, even if nothing is under way
        self._turn()
        try:
            async with asyncio.timeout(timeout_s):
                await self._drained.wait()
        except TimeoutError:
            _LOG.warning("the bridge's drain timed out after %g s; unfinished work abandoned", timeout_s)

    def end(self) -> None:
        """Say goodbye, and give up all that is under way."""
        if self._ended:
            return
        self._tell(self._core.end)
        self._turn()
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()
        for task in (*self._calls.values(), *self._errands):
            task.cancel()
        self._calls.clear()
        self._waiting.clear()
        for job in self._jobs.values():
            if not job.done():
                job.set_result(Unfinished.UNKNOWN)
        self._jobs.clear()

    # -- turns

    def _run_errand(self, errand: Coroutine[Any, Any, None]) -> None:
        """Begin something that nobody waits for; errands begin in the order in which they are given."""
        task = self._loop.create_task(errand)
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)

    def _tell(self, call: Callable[[float], None]) -> None:
        """Give an input to the core, unless it has ended. An error of the core's own is logged, and costs that only."""
        if self._ended:
            return
        try:
            call(monotonic())
        except Exception:  # noqa: BLE001 - a bug of ours, which must not end the bridge for everybody
            _LOG.exception("the bridge met an error of its own")

    def schedule(self) -> None:
        """Do what the core asks for, behind what is at hand."""
        if not self._scheduled and not self._ended:
            self._scheduled = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        if self._ended:
            return
        self._do_outputs()
        while self._waiting and self._go_on():
            self._do_outputs()
        if self._core.idle:
            self._drained.set()
        else:
            self._drained.clear()
        self._set_timer()

    def _do_outputs(self) -> None:
        while outputs := self._core.take():
            for output in outputs:
                self._do[type(output)](output)

    def _go_on(self) -> bool:
        """Begin the waiting calls whose turn has come; return whether others have waited for too long."""
        now = monotonic()
        late = self._turns.take_late(now)
        for number in late:
            call = self._waiting.pop(number)
            self._refuse(call, Overloaded(f"{call.service}: no place was free among the calls of all programs"))
        for number, left_s in self._turns.take(now):
            self._begin(self._waiting.pop(number), left_s)
        return bool(late)

    def _set_timer(self) -> None:
        due = self._core.next_deadline()
        if self._waiting:
            patience = self._turns.next_deadline()
            assert patience is not None
            due = patience if due is None else min(due, patience)
        if self._timer is not None:
            if due is not None and self._timer_due <= due:
                return  # it looks again when it comes
            self._timer.cancel()
            self._timer = None
        if due is not None:
            self._timer_due = due
            self._timer = self._loop.call_later(max(0.0, due - monotonic()) + TIMER_SLACK_S, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        self._tell(self._core.on_timer)
        self._turn()

    # -- outputs

    def _send(self, output: Output) -> None:
        assert isinstance(output, Send)
        assert self._endpoint is not None
        if not self._endpoint.send(output.peer, output.frames):
            self._tell(partial(self._core.on_unsent, output))

    def _call(self, output: Output) -> None:
        assert isinstance(output, Call)
        number, peer, service, timeout_s = output.number, output.peer, output.service, output.timeout_s
        try:
            begins = self._turns.enter(
                number, peer, (peer.member, service), len(output.payload), monotonic() + timeout_s
            )
        except Overloaded as error:
            peer.refused += 1
            self._refuse(output, error)
            return
        if begins:
            self._begin(output, timeout_s)
        else:
            self._waiting[number] = output

    def _refuse(self, call: Call, error: Overloaded) -> None:
        """End a call that has not left."""
        error.service, error.maybe_executed = call.service, call.possible_duplicate
        self._tell(partial(self._core.on_call_end, call.number, error))

    def _begin(self, call: Call, timeout_s: float) -> None:
        self._calls[call.number] = self._loop.create_task(self._request(call, timeout_s))

    async def _request(self, call: Call, timeout_s: float) -> None:
        end: Reply | BraidError
        try:
            end = await self._nodes[call.member].request(
                call.service,
                call.payload,
                timeout=timeout_s,
                headers=call.headers,
                wait=call.wait,
                possible_duplicate=call.possible_duplicate,
            )
        except BraidError as error:
            end = error
        if self._calls.pop(call.number, None) is not None:
            self._turns.leave(call.number)
            self._tell(partial(self._core.on_call_end, call.number, end))
            if self._calls:
                self.schedule()
            else:  # alone, it waits for no others
                self._turn()

    def _cancel(self, output: Output) -> None:
        assert isinstance(output, Cancel)
        self._turns.leave(output.number)
        self._waiting.pop(output.number, None)
        task = self._calls.pop(output.number, None)
        if task is not None:
            task.cancel()

    # -- services of foreign workers

    def _offer(self, output: Output) -> None:
        assert isinstance(output, Offer)
        self._run_errand(self._provide(output))

    async def _provide(self, offer: Offer) -> None:
        node, key = self._nodes[offer.member], (offer.member, offer.service)
        try:
            if key in self._offered:
                await node.resize(offer.service, offer.concurrency)
            else:
                self._offered.add(key)
                handler = partial(self._handle, offer.member)
                await node.offer(offer.service, handler, concurrency=offer.concurrency)
        except ConfigError as error:
            self._offered.discard(key)
            _LOG.warning("%s cannot be offered: %s", offer.service, error)
            self._tell(partial(self._core.on_refused, offer.member, offer.service))
            self.schedule()
        except NodeClosed:
            self._offered.discard(key)

    def _withdraw(self, output: Output) -> None:
        assert isinstance(output, Withdraw)
        self._run_errand(self._provide_no_more(output))

    async def _provide_no_more(self, withdrawal: Withdraw) -> None:
        key = withdrawal.member, withdrawal.service
        if key in self._offered:
            self._offered.discard(key)
            with contextlib.suppress(NodeClosed):
                await self._nodes[withdrawal.member].withdraw(withdrawal.service)

    async def _handle(self, member: str, request: Request) -> bytes:
        """Handle a request of the net: what becomes of it is for the core to say, as long as it is there."""
        if self._ended:
            raise NotRun(Unfinished.NOT_RUN.value)
        self._numbers += 1
        number = self._numbers
        job: asyncio.Future[bytes | ServiceError | Unfinished] = self._loop.create_future()
        self._jobs[number] = job
        self._tell(partial(self._core.on_job, Job(number, member, request)))
        self.schedule()
        try:
            outcome = await job
        finally:
            if self._jobs.pop(number, None) is not None:  # it was stopped, or its deadline is over
                self._tell(partial(self._core.on_job_dropped, number))
                self.schedule()
        if isinstance(outcome, bytes):
            return outcome
        if isinstance(outcome, ServiceError):
            raise outcome
        if outcome is Unfinished.NOT_RUN:
            raise NotRun(outcome.value)
        raise OutcomeUnknown(outcome.value)

    def _finish(self, output: Output) -> None:
        assert isinstance(output, Finish)
        job = self._jobs.pop(output.number, None)
        if job is not None and not job.done():
            job.set_result(output.outcome)

    # -- services of the net

    async def _watch_services(self, member: str, node: Node) -> None:
        """Let the core know which services have a worker, whenever others do."""
        with contextlib.suppress(NodeClosed):
            known = node.services_available()
            while True:
                self._tell(partial(self._core.on_services, member, known))
                self.schedule()
                known = await node.services_changed(known)
