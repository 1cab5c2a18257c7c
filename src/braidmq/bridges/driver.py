"""Joins the pure core of a bridge to its endpoint and to the nodes behind it."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, Protocol

from braidmq.bridges.port import BridgeCore, Call, Cancel, Output, Peer, Send
from braidmq.errors import BraidError
from braidmq.host.clock import monotonic
from braidmq.host.loggers import own_logger
from braidmq.messages import Reply
from braidmq.node import Node

_LOG = own_logger("braidmq.bridge")

TIMER_SLACK_S: Final = 0.002
"""How much later than due a timer is set: uvloop counts in whole milliseconds, and may call more than one too early."""


class Endpoint(Protocol):
    """Sends to foreign peers."""

    def send(self, peer: Peer, frames: Sequence[bytes]) -> bool:
        """Send a message; return False if it certainly did not leave."""


class Driver:
    """Serves one core. All methods belong to the event loop in which it was made.

    Args:
        core: of the bridge.
        nodes: by the member of `bridges/port.py` for whom each stands; all are started.
    """

    def __init__(self, core: BridgeCore, nodes: Mapping[str, Node]) -> None:
        self._core = core
        self._nodes = nodes
        self._endpoint: Endpoint | None = None
        self._loop = asyncio.get_running_loop()
        self._calls: dict[int, asyncio.Task[None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = 0.0
        self._scheduled = False
        self._ended = False
        self._drained = asyncio.Event()
        self._do: Final[dict[type, Callable[[Output], None]]] = {
            Send: self._send,
            Call: self._call,
            Cancel: self._cancel,
        }

    def attach(self, endpoint: Endpoint) -> None:
        """Send what the core has to send there."""
        self._endpoint = endpoint

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
        for task in self._calls.values():
            task.cancel()
        self._calls.clear()

    # -- turns

    def _tell(self, call: Callable[[float], None]) -> None:
        """Give an input to the core. An error of the core's own is logged, and costs that input only."""
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
        while outputs := self._core.take():
            for output in outputs:
                self._do[type(output)](output)
        if self._core.idle:
            self._drained.set()
        else:
            self._drained.clear()
        self._set_timer()

    def _set_timer(self) -> None:
        due = self._core.next_deadline()
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
        self._calls[output.number] = self._loop.create_task(self._request(output))

    async def _request(self, call: Call) -> None:
        end: Reply | BraidError
        try:
            end = await self._nodes[call.member].request(
                call.service, call.payload, timeout=call.timeout_s, headers=call.headers
            )
        except BraidError as error:
            end = error
        if self._calls.pop(call.number, None) is not None:
            self._tell(partial(self._core.on_call_end, call.number, end))
            self.schedule()

    def _cancel(self, output: Output) -> None:
        assert isinstance(output, Cancel)
        task = self._calls.pop(output.number, None)
        if task is not None:
            task.cancel()
