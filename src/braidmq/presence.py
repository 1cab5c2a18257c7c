"""Whether the brokers of a node are there, and workers: what it waits for, and what brokers tell of themselves."""

import asyncio
import contextlib
from collections.abc import Iterable

from braidmq.carrier.node_loop import NodeLoop
from braidmq.core.client.endings import may_not_call
from braidmq.core.node.node import NodeCore
from braidmq.core.worker.job import Job
from braidmq.errors import BraidError, NoBroker, NotRegistered, NoWorker
from braidmq.host.loggers import own_logger
from braidmq.wire.control import Report

_LOG = own_logger("braidmq.node")


async def until_connected(loop: NodeLoop, name: str, wait_s: float | None) -> None:
    """Wait until a broker is up, at most `wait_s`; None waits without end.

    Args:
        loop: of the node.
        name: the node's.
        wait_s: seconds.

    Raises:
        NotRegistered: every broker refuses this node's key.
        NoBroker: the node knows of no broker, none of them can ever let it in, or the time is over; the text says why
            for each broker.
    """
    core = loop.core
    if not core.brokers:
        raise NoBroker(f"the join file of {name} names no broker: add one, and copy the file again")
    try:
        async with asyncio.timeout(wait_s):
            while not any(link.open for link in core.brokers.values()):
                if core.refused:
                    raise _refused(core)
                await loop.changed()
    except TimeoutError:
        raise NoBroker(f"no broker could be reached within {wait_s:g} s: {core.diagnosis()}") from None


async def until_settled(loop: NodeLoop, wait_s: float) -> None:
    """Wait until every broker that is known is up or has failed once, at most `wait_s`."""
    links = loop.core.brokers
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(wait_s):
            while not all(link.open or link.failure or not link.wanted for link in links.values()):
                await loop.changed()


async def reports(loop: NodeLoop, wait_s: float, claimed: Iterable[str] = ()) -> dict[str, Report]:
    """Ask every broker that is up for its state; return what came within `wait_s`, by name.

    Args:
        loop: of the node.
        wait_s: seconds.
        claimed: names, see NodeCore.observe.
    """
    core = loop.core
    asked = core.observe(loop.clock(), claimed)
    loop.schedule()
    try:
        async with asyncio.timeout(wait_s):
            while any(link.open and link.name not in core.reports for link in asked):
                await loop.changed()
    except TimeoutError:
        _LOG.info("not every broker answered within %g s", wait_s)
    return dict(core.reports)


def available(loop: NodeLoop) -> frozenset[str]:
    """Return the services that have a worker, by the word of the brokers to which there is a session."""
    links = loop.core.brokers.values()
    return frozenset([service.decode() for link in links if link.open for service in link.services])


async def until_others(loop: NodeLoop, known: frozenset[str], wait_s: float | None) -> frozenset[str]:
    """Wait until other services are available than those that are known, at most `wait_s`; return those that are."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(wait_s):
            while available(loop) == known:
                await loop.links_changed()
    return available(loop)


async def until_available(loop: NodeLoop, services: Iterable[str], wait_s: float | None) -> None:
    """Wait until all of some services are available, at most `wait_s`; None waits without end.

    Raises:
        NoWorker: the time is over; the text names those that are not.
        AccessDenied: the node may not call one of them.
        NotRegistered, NoBroker: no broker can ever let the node in.
    """
    core, wanted = loop.core, frozenset(services)
    missing = wanted
    denied = sorted(each for each in wanted if not loop.papers.member.may_call(each))
    if denied:
        raise may_not_call(*denied)
    try:
        async with asyncio.timeout(wait_s):
            while missing := wanted - available(loop):
                if core.refused:
                    raise _refused(core)
                await loop.links_changed()
    except TimeoutError:
        raise NoWorker(f"no worker for {', '.join(sorted(missing))} came within {wait_s:g} s") from None


async def until_ended(loop: NodeLoop, jobs: Iterable[Job], wait_s: float) -> bool:
    """Wait until none of some jobs runs any more, at most `wait_s`; return whether it came to that."""
    left = list(jobs)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(wait_s):
            while left:
                if left[-1].running:
                    await loop.changed()
                else:
                    left.pop()
    return not any(job.running for job in left)


def _refused(core: NodeCore) -> BraidError:
    """Return the error of a node that no broker can ever let in."""
    if core.key_refused:
        return NotRegistered(f"every broker refuses this node's key: {core.diagnosis()}")
    return NoBroker(f"no broker fits: {core.diagnosis()}")
