"""Looks at a net through a node: asks every broker for its state, once or again and again."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Final, NamedTuple

from braidmq.core.links.link import FINAL, KEY_REFUSED
from braidmq.errors import AccessDenied, BraidError, NoBroker, NotRegistered
from braidmq.monitor.about_load import wants_another
from braidmq.monitor.diagnoses import diagnose
from braidmq.monitor.finding import Finding
from braidmq.monitor.net import View, complete, timed
from braidmq.node import Node

SETTLE_S_MAX: Final = 2.0
"""How long a broker may take to be connected or to fail."""

OBSERVE_S_MAX: Final = 2.0
"""How long a broker may take to tell its state."""

WATCH_S: Final = 1.0
"""How often a net is looked at that is watched: what it tells changes within seconds, and people read no faster. Also
how long a broker may take to answer, so that one that hangs does not hold up the others."""

APART_S: Final = 0.5
"""How long after the first look a second one is taken, if something waits or was refused: what is refused now shows by
what is counted in between. An overload of some requests a second is one by then."""


class Look(NamedTuple):
    """The net at one time.

    Attributes:
        views: the brokers, and what they told.
        findings: what is wrong, or worth a note.
        at_s: when the brokers had answered, as the event loop counts.
        took_s: how long that took.
        before: what they told at an earlier look, from which rates follow; empty if there was none.
    """

    views: Sequence[View]
    findings: Sequence[Finding]
    at_s: float = 0.0
    took_s: float = 0.0
    before: Sequence[View] = ()


async def look_once(node: Node) -> Look:
    """Look at the net of a node that was just started; twice, where it takes two looks to tell how the load is."""
    await node.settled(SETTLE_S_MAX)
    first = await _look(node, OBSERVE_S_MAX)
    if not wants_another(first.views):
        return first
    await asyncio.sleep(APART_S)
    return await _look(node, OBSERVE_S_MAX, first)


async def looks(node: Node) -> AsyncGenerator[Look, None]:
    """Look at the net of a node that was just started, again and again.

    Raises:
        BraidError: no broker has ever told its state, for a reason that does not pass by itself. It is raised after the
            look that shows it.
    """
    clock = asyncio.get_running_loop().time
    told, before = False, Look((), ())
    await node.settled(SETTLE_S_MAX)
    while True:
        due_s = clock() + WATCH_S
        before = await _look(node, WATCH_S, before)
        yield before
        problem = judge(node.name, before.views)
        told = told or problem is None
        if problem is not None and not told and (not before.views or not isinstance(problem, NoBroker)):
            raise problem
        await asyncio.sleep(due_s - clock())


async def _look(node: Node, timeout_s: float, before: Look | None = None) -> Look:
    clock = asyncio.get_running_loop().time
    begun_s = clock()
    reports = await node.observe(timeout_s)
    now_s = clock()
    earlier: Sequence[View] = () if before is None else before.views
    apart_s = 0.0 if before is None else now_s - before.at_s
    views = timed(complete([View(info, reports.get(info.name)) for info in node.brokers]), earlier, apart_s)
    return Look(views, diagnose(views, earlier, apart_s), now_s, now_s - begun_s, earlier)


def judge(name: str, views: Sequence[View]) -> BraidError | None:
    """Return the error of a node to which no broker told its state; None if one did."""
    if any(view.told for view in views):
        return None
    if any(view.report is not None for view in views):
        return AccessDenied(
            f"{name} may not observe the net: use a join file made by `braidmq add node NAME --net DIR --observe`"
        )
    if not views:
        return NoBroker(f"the join file of {name} names no broker: add one with `braidmq add broker`, and copy it anew")
    reasons = "; ".join(f"{view.info.name} at {' '.join(view.info.endpoints)}: {view.problem}" for view in views)
    if all(view.info.problem in FINAL for view in views) and any(view.info.problem in KEY_REFUSED for view in views):
        return NotRegistered(f"every broker refuses this node's key: {reasons}")
    return NoBroker(f"no broker could be reached: {reasons}")
