"""``status``: the state of the net, as its brokers tell it."""

import asyncio
import contextlib
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import click
import msgspec

from braidmq.bounds import COMMAND_BROKERS_MAX
from braidmq.cli import join_option
from braidmq.cli.exit_codes import ExitCode
from braidmq.cli.logs import log_nothing
from braidmq.cli.status_text import fit, show
from braidmq.core.links.link import FINAL, KEY_REFUSED
from braidmq.errors import AccessDenied, BraidError, NoBroker, NotRegistered
from braidmq.host.signals import STOP_SIGNALS
from braidmq.host.writer import Writer
from braidmq.monitor import registries
from braidmq.monitor.about_load import wants_another
from braidmq.monitor.diagnoses import diagnose, health, is_well
from braidmq.monitor.finding import Finding
from braidmq.monitor.net import View, agree, complete, disagreements
from braidmq.node import Node
from braidmq.printable import printable_json
from braidmq.settings import Settings
from braidmq.trust.joinfile import JoinFile
from braidmq.wire.control import LossStatus, NodeStatus
from braidmq.wire.registry_status import RegistryStatus

SETTLE_S_MAX: Final = 2.0
"""How long a broker may take to be connected or to fail."""

OBSERVE_S_MAX: Final = 2.0
"""How long a broker may take to tell its state."""

WATCH_S: Final = 1.0
"""How often --watch asks: what it tells changes within seconds, and people read no faster. Also how long a broker may
take to answer it, so that one that hangs does not hold up the others."""

APART_S: Final = 0.5
"""How long after the first look a second one is taken, if something waits or was refused: what is refused now shows by
what is counted in between. An overload of some requests a second is one by then."""


_CLEAR: Final = "\x1b[2J\x1b[1;1H"
"""Clears a terminal, and goes to its first line."""


@click.command("status")
@join_option()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object in one line.")
@click.option("--watch", is_flag=True, help="Show it anew every second, until SIGINT or SIGTERM.")
def status(join: JoinFile | Path, *, as_json: bool, watch: bool) -> int:
    """Say whether the net is well, what is wrong and what to do; and show its brokers, services and nodes.

    A column TO b1 tells how b1 sees the brokers: alive, suspect (silent), leaving (about to end), dead, or unknown; in
    brackets its connection to them where that is not up.

    It needs a join file with the right to observe: `braidmq add node NAME --net DIR --observe`.

    Lines that begin with ! tell what is wrong, those with - what is worth a note. Where requests wait or were refused,
    it looks twice, half a second apart.

    Exit code: 0 if all is well; 1 if something is wrong, which the first lines tell; 5 if no broker answers.
    """
    log_nothing()
    node = Node(join, settings=Settings(brokers_connected_max=COMMAND_BROKERS_MAX))
    if watch:
        screen = _Screen(as_json=as_json)
        asyncio.run(_watch(node, screen.show))
        screen.flush()
        return ExitCode.OK
    look = asyncio.run(_look_once(node))
    if as_json:
        click.echo(printable_json(encode(node.name, look)))
    elif look.views:
        click.echo(show(look.views, look.findings))
    problem = judge(node.name, look.views)
    if problem is not None:
        raise problem
    return ExitCode.OK if is_well(look.findings) else ExitCode.FAILURE


class Look(NamedTuple):
    """The net at one time.

    Attributes:
        views: the brokers, and what they told.
        findings: what is wrong, or worth a note.
    """

    views: list[View]
    findings: list[Finding]


async def _look_once(node: Node) -> Look:
    async with node:
        await node.settled(SETTLE_S_MAX)
        views = await _ask(node, OBSERVE_S_MAX)
        if not wants_another(views):
            return Look(views, diagnose(views))
        clock = asyncio.get_running_loop().time
        asked_at = clock()
        await asyncio.sleep(APART_S)
        again = await _ask(node, OBSERVE_S_MAX)
        return Look(again, diagnose(again, views, clock() - asked_at))


async def _ask(node: Node, timeout_s: float) -> list[View]:
    reports = await node.observe(timeout_s)
    return complete([View(info, reports.get(info.name)) for info in node.brokers])


async def _watch(node: Node, tell: Callable[[str, Look], None]) -> None:
    """Ask and tell again and again until a signal comes.

    Raises:
        BraidError: no broker has ever told its state, for a reason that does not pass by itself.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, task.cancel)
    told, before, before_at = False, list[View](), 0.0
    with contextlib.suppress(asyncio.CancelledError):
        async with node:
            await node.settled(SETTLE_S_MAX)
            while True:
                due = loop.time() + WATCH_S
                views = await _ask(node, WATCH_S)
                now = loop.time()
                tell(node.name, Look(views, diagnose(views, before, now - before_at)))
                before, before_at = views, now
                problem = judge(node.name, views)
                told = told or problem is None
                if problem is not None and not told and (not views or not isinstance(problem, NoBroker)):
                    raise problem
                await asyncio.sleep(due - loop.time())


class _Screen:
    """Where --watch shows the net. If nobody reads there, it skips what is too old, and can still be ended."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._writer = Writer(sys.stdout.fileno(), bytes_max=0)

    def show(self, name: str, look: Look) -> None:
        """Show the net as a line of JSON; as text in place of what the terminal shows; else below an empty line.

        Raises:
            OSError: it cannot be shown any more.
        """
        if self._writer.error is not None:
            raise self._writer.error
        if self._as_json:
            self._writer.write(printable_json(encode(name, look)) + b"\n")
            return
        text = f"{time.strftime('%H:%M:%S')}  {show(look.views, look.findings)}"
        if sys.stdout.isatty():
            size = shutil.get_terminal_size()
            shown = f"{_CLEAR}{fit(text, size.columns, size.lines - 1)}\n"  # the cursor stands in the last line
        else:
            shown = f"{text}\n\n"
        self._writer.write(shown.encode(sys.stdout.encoding or "utf-8", "backslashreplace"))

    def flush(self) -> None:
        """Wait, for a short time, until all of it is shown."""
        self._writer.flush()


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


def encode(name: str, look: Look) -> bytes:
    """Return the state of the net as a JSON object."""
    views, findings = look
    return msgspec.json.encode(
        {
            "node": name,
            "health": health(views, findings),
            "well": any(view.told for view in views) and is_well(findings),
            "findings": [each.as_dict() for each in findings],
            "problems": [each.sentence for each in findings if each.wrong],
            "agree": agree(views),
            "disagreements": disagreements(views),
            "ends": [msgspec.structs.asdict(each) for each in registries.ends(views)],
            "brokers": [_as_dict(view) for view in views],
        }
    )


def _as_dict(view: View) -> dict[str, Any]:
    info, report = view
    shown: dict[str, Any] = {
        "name": info.name,
        "endpoints": info.endpoints,
        "link": info.state,
        "problem": view.problem or None,
        "report": None,
    }
    if report is not None and view.told:
        shown["report"] = {
            "software": report.software,
            "state": report.state,
            "uptime_s": round(report.uptime_s, 3),
            "brokers": [msgspec.structs.asdict(each) for each in report.brokers],
            "nodes": [_bridge_as_dict(each) for each in report.nodes],
            "nodes_total": report.nodes_total,
            "services": [msgspec.structs.asdict(each) for each in report.services],
            "services_total": report.services_total,
            "counters": report.counters,
            "refusals": [msgspec.structs.asdict(each) for each in report.refusals],
            "losses": [_bridge_as_dict(each) for each in report.losses],
            "registry": None if report.registry is None else _registry_as_dict(report.registry),
        }
    return shown


def _bridge_as_dict(row: NodeStatus | LossStatus) -> dict[str, Any]:
    """Return a row that may be about a bridge."""
    shown = msgspec.structs.asdict(row)
    return shown if row.bridge is None else {**shown, "bridge": msgspec.structs.asdict(row.bridge)}


def _registry_as_dict(registry: RegistryStatus) -> dict[str, Any]:
    shown = msgspec.structs.asdict(registry)
    del shown["claims"]  # nobody has asked for them
    for rows in ("ends", "tokens", "enrolled", "seen"):
        shown[rows] = [msgspec.structs.asdict(each) for each in shown[rows]]
    return shown
