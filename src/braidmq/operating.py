"""What a node may ask of brokers that has the right to operate: to drain, to take a node out, to put it back."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from braidmq.carrier.node_loop import NodeLoop
from braidmq.checks import check_wait_s
from braidmq.core.links.link import Link
from braidmq.errors import AccessDenied, ConfigError, NoBroker
from braidmq.members import check_name
from braidmq.wire.operation import DENIED, DONE, DRAIN, NOTHING, PUT_BACK, TAKE_OUT

UNASKED: Final = "unasked"
"""There was no connection to the broker."""

SILENT: Final = "silent"
"""No answer has come of it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of an operation at one broker.

    Attributes:
        broker: its name.
        outcome: `done`; `nothing`: there was nothing to do there, as it does not have the node; `refused`; `unasked`:
            there was no connection to it; `silent`: no answer has come.
        text: what was done, or why it was not.
    """

    broker: str
    outcome: str
    text: str

    @property
    def done(self) -> bool:
        """Whether it is there as was asked for."""
        return self.outcome == DONE


def all_done(answers: Iterable[Answer]) -> bool:
    """Whether it is as was asked for at all brokers that have anything to do with it, and at one at least."""
    found = [answer for answer in answers if answer.outcome != NOTHING]
    return bool(found) and all(answer.done for answer in found)


class Operator:
    """The operations of a node. Its certificate needs the right: `braidmq set NAME --operate`.

    Brokers log who has asked for what, and tell it in their reports. All methods belong to the node's event loop.
    """

    def __init__(self, running: Callable[[], NodeLoop]) -> None:
        self._running = running

    @property
    def allowed(self) -> bool:
        """Whether this node has the right, by the certificate that it goes by; brokers go by the newest registry."""
        return self._running().papers.member.operate

    async def drain(
        self,
        broker: str,
        *,
        force: bool = False,
        timeout: float = 2.0,  # noqa: ASYNC109 - it is the wait's bound
    ) -> Answer:
        """Let a broker drain and end, as SIGTERM does. Whatever watches over its process may start it again.

        Args:
            broker: its name.
            force: also if it is the last one that is alive, so that no request gets through any more.
            timeout: how many seconds to wait for its answer.

        Raises:
            AccessDenied: this node may not operate.
            NoBroker: there is no connection to it.
            ConfigError: there is no such broker, or an argument is wrong.
            NodeClosed: the node is not running.
            WrongLoop: the node belongs to another event loop.
        """
        wait_s, loop = check_wait_s(timeout), self._running()
        link = loop.core.brokers.get(check_name(broker))
        if link is None:
            known = ", ".join(sorted(loop.core.brokers)) or "none"
            raise ConfigError(f"no broker is called {broker!r}: this node knows of {known}")
        if not link.open:
            raise NoBroker(f"there is no connection to {broker}: {link.problem or 'none yet'}")
        return (await _ask(loop, [link], DRAIN, broker, force=force, wait_s=wait_s))[broker]

    async def take_out(
        self,
        node: str,
        *,
        timeout: float = 2.0,  # noqa: ASYNC109 - it is the wait's bound
    ) -> dict[str, Answer]:
        """Let no broker give a node new work, until it is put back or its process has ended; what it has goes on.

        Every broker to which there is a connection is asked, and each remembers it for itself: one that was not asked,
        or was started later, gives the node work.

        Args:
            node: its name.
            timeout: how many seconds to wait for the answers.

        Returns:
            What became of it at each broker that this node knows, by name.

        Raises:
            AccessDenied: this node may not operate.
            NoBroker: there is no connection to any broker.
            ConfigError: an argument is wrong.
            NodeClosed: the node is not running.
            WrongLoop: the node belongs to another event loop.
        """
        return await self._everywhere(TAKE_OUT, node, timeout)

    async def put_back(
        self,
        node: str,
        *,
        timeout: float = 2.0,  # noqa: ASYNC109 - it is the wait's bound
    ) -> dict[str, Answer]:
        """Let all brokers give a node work again that was taken out. See `take_out`, also for errors."""
        return await self._everywhere(PUT_BACK, node, timeout)

    async def _everywhere(self, action: str, node: str, timeout_s: float) -> dict[str, Answer]:
        wait_s, loop = check_wait_s(timeout_s), self._running()
        links = [loop.core.brokers[name] for name in sorted(loop.core.brokers)]
        if not any(link.open for link in links):
            raise NoBroker(f"there is no connection to any broker: {loop.core.diagnosis() or 'none is known'}")
        return await _ask(loop, links, action, check_name(node), force=False, wait_s=wait_s)


async def _ask(
    loop: NodeLoop, links: Iterable[Link], action: str, name: str, *, force: bool, wait_s: float
) -> dict[str, Answer]:
    """Ask brokers to do something. Raises AccessDenied if one says that this node may not."""
    operating, links = loop.core.operating, list(links)
    inquiry = operating.ask(links, action, name, force=force, now=loop.clock())
    loop.schedule()
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                while inquiry.is_open:
                    await loop.changed()
    finally:
        operating.end(inquiry)
    found: dict[str, Answer] = {}
    for link in links:
        answer = inquiry.answers.get(link.name)
        if answer is not None and answer.outcome == DENIED:
            raise AccessDenied(f"{answer.text}: `braidmq set {loop.papers.member.name} --operate --net DIR` lets it")
        if answer is not None:
            found[link.name] = Answer(link.name, answer.outcome, answer.text)
        elif link not in inquiry.asked:
            found[link.name] = Answer(link.name, UNASKED, f"it was not asked: {link.problem or 'no connection'}")
        else:
            silence = f"it did not answer within {wait_s:g} s: perhaps it is of an older version"
            found[link.name] = Answer(link.name, SILENT, silence if link.open else "its connection has ended")
    return found
