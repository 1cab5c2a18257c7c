"""Calls of services that people make from a monitor: which way each went, and how long it took."""

import secrets
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from braidmq.core.ids import ID_BYTES
from braidmq.errors import AccessDenied, RequestError, ServiceError
from braidmq.messages import Reply
from braidmq.node import Node
from braidmq.observer import AttemptEnd, NodeObserver
from braidmq.printable import printable

TRIALS_MAX: Final = 4
"""Calls at once: people make one after the other."""

TRIAL_S: Final = 5.0
"""How long a call may take, if nothing else is said."""

TRIAL_S_MAX: Final = 60.0
"""How long it may take at most: nobody waits longer before a page."""

REPLY_CHARS_MAX: Final = 4_096
"""How much of a reply is shown."""


class Attempt(Struct):
    """One attempt of a call.

    Attributes:
        broker: over which it went.
        at_ms: when it began, after the call.
        took_ms: how long it took; None if it has not ended.
        outcome: see AttemptEnd; empty if it has not ended.
        reason: why it was rejected.
    """

    broker: str
    at_ms: float
    took_ms: float | None = None
    outcome: str = ""
    reason: str = ""


class Trial(Struct):
    """What became of a call.

    Attributes:
        ok: whether it was answered with a result.
        text: a sentence about it.
        service: that was called.
        took_ms: how long it took.
        broker: over which the answer came.
        worker: who has answered.
        retry_count: how many earlier attempts may have been run.
        attempts: in their order.
        reply: the beginning of the answer, as text.
        reply_bytes: how long all of it is.
    """

    ok: bool
    text: str
    service: str
    took_ms: float
    broker: str = ""
    worker: str = ""
    retry_count: int = 0
    attempts: list[Attempt] = []
    reply: str = ""
    reply_bytes: int = 0


class Paths(NodeObserver):
    """Notes the attempts of those calls that were asked for; give it to the node that makes them."""

    def __init__(self) -> None:
        self._calls: dict[bytes, tuple[float, list[Attempt]]] = {}

    def follow(self, id_: bytes, now: float) -> list[Attempt]:
        """Return the attempts of a call that is about to begin, which grow as they happen, until `forget`."""
        attempts: list[Attempt] = []
        self._calls[id_] = now, attempts
        return attempts

    def forget(self, id_: bytes) -> None:
        """Note no further attempts of a call."""
        del self._calls[id_]

    def on_attempt(self, id_: bytes, broker: str, number: int, now: float) -> None:
        """See NodeObserver."""
        if id_ in self._calls:
            begun_s, attempts = self._calls[id_]
            attempts.append(Attempt(broker, _ms(now - begun_s)))

    def on_attempt_end(self, id_: bytes, broker: str, how: AttemptEnd, reason: str, now: float) -> None:
        """See NodeObserver."""
        if id_ in self._calls:
            begun_s, attempts = self._calls[id_]
            for attempt in attempts[-1:]:
                attempt.took_ms = round(_ms(now - begun_s) - attempt.at_ms, 3)
                attempt.outcome, attempt.reason = how.value, reason


class Busy(Exception):  # noqa: N818 - it is no error of anybody
    """As many calls are under way as may be."""


class Trials:
    """Makes calls, a few at once.

    Args:
        node: makes them.
        paths: the observer of this node.
        clock: the one by which it is told.
    """

    def __init__(self, node: Node, paths: Paths, clock: Callable[[], float]) -> None:
        self._node = node
        self._paths = paths
        self._clock = clock
        self._under_way = 0

    def callable(self) -> frozenset[str]:
        """Return the services that can be called now: this node may, and they have a worker."""
        return self._node.services_available()

    async def make(self, service: str, payload: bytes, timeout_s: float) -> Trial:
        """Call a service; return what became of it.

        Raises:
            Busy: too many calls are under way.
            ConfigError: an argument is wrong.
            AccessDenied: this node may not call the service.
            NodeClosed: the node is about to end.
        """
        if self._under_way >= TRIALS_MAX:
            raise Busy
        id_ = bytes([secrets.randbits(7)]) + secrets.token_bytes(ID_BYTES - 1)
        begun_s = self._clock()
        attempts = self._paths.follow(id_, begun_s)
        self._under_way += 1
        try:
            reply = await self._node.request(service, payload, timeout=timeout_s, id=id_)
        except AccessDenied:
            raise
        except RequestError as error:
            took_ms = _ms(self._clock() - begun_s)
            return Trial(ok=False, text=_why(error), service=service, took_ms=took_ms, attempts=attempts)
        finally:
            self._under_way -= 1
            self._paths.forget(id_)
        return _answered(reply, _ms(self._clock() - begun_s), attempts)


def _answered(reply: Reply, took_ms: float, attempts: list[Attempt]) -> Trial:
    shown = printable(reply.payload[: 4 * REPLY_CHARS_MAX].decode("utf-8", "replace")[:REPLY_CHARS_MAX])
    return Trial(
        ok=True,
        text=f"{reply.sender} has answered over {reply.broker} in {took_ms:,.1f} ms",
        service=reply.service,
        took_ms=took_ms,
        broker=reply.broker,
        worker=reply.sender,
        retry_count=reply.retry_count,
        attempts=attempts,
        reply=shown,
        reply_bytes=len(reply.payload),
    )


def _why(error: RequestError) -> str:
    if isinstance(error, ServiceError):
        return printable(f"the service answered with an error: {error.code}: {error.message}")
    return printable(f"{error}{'; it may have been run' if error.maybe_executed else ''}")


def _ms(seconds: float) -> float:
    return round(1_000 * seconds, 3)
