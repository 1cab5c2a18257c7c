"""Whoever can make a call: a node of BraidMQ, or a client of a rival, under the same load."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Protocol

import braidmq
from braidmq import Node, RequestError, ServiceError
from braidmq.lab.simulation.payload import key_of_answer
from braidmq.lab.simulation.record import Error, Reply
from braidmq.settings import Settings
from faults.worker import SERVICE


class Caller(Protocol):
    """Makes calls of the one service that is under load."""

    async def call(self, key: str, payload: bytes, timeout_s: float) -> Reply | Error:
        """Make the call `key` and return how it ended, within `timeout_s`; raises nothing."""
        ...


Callers = Callable[[Sequence[str]], AbstractAsyncContextManager[Sequence[Caller]]]
"""Connects one caller for each argument, e.g. a join file, and yields them."""


class NodeCaller:
    """Calls over a node."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def call(self, key: str, payload: bytes, timeout_s: float) -> Reply | Error:
        """See Caller."""
        return await outcome_of(self._node.request(SERVICE, payload, timeout=timeout_s), key_of_answer)


async def outcome_of(request: Awaitable[braidmq.Reply], key_of: Callable[[bytes], str]) -> Reply | Error:
    """Return how a request of a node ended.

    Args:
        request: what `Node.request` returns.
        key_of: returns the key of the call that a reply's payload answers.
    """
    try:
        reply = await request
    except RequestError as error:
        kind = error.code if isinstance(error, ServiceError) else type(error).__name__
        return Error(kind, error.attempts, error.maybe_executed, str(error), id=error.request_id)
    return Reply(
        key_of(reply.payload),
        reply.sender,
        reply.original_id,
        reply.possible_duplicate,
        reply.retry_count,
        reply.broker,
    )


@asynccontextmanager
async def nodes(joins: Sequence[str]) -> AsyncIterator[Sequence[Caller]]:
    """Start a node for each join file, and wait until each has tried every broker."""
    async with AsyncExitStack() as stack:
        started = [await stack.enter_async_context(Node(join, settings=Settings())) for join in joins]
        for node in started:
            await node.settled()
        yield [NodeCaller(node) for node in started]
