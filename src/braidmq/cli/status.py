"""``status``: the state of the net, as its brokers tell it."""

import asyncio
import contextlib
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from braidmq.bounds import COMMAND_BROKERS_MAX
from braidmq.cli import join_option, status_registry
from braidmq.cli.exit_codes import ExitCode
from braidmq.cli.logs import log_nothing
from braidmq.cli.status_net import View, agree, complete, disagreements, seen_by
from braidmq.cli.status_problems import is_well, problems
from braidmq.cli.status_text import fit, show
from braidmq.core.links.link import FINAL, KEY_REFUSED
from braidmq.errors import AccessDenied, BraidError, NoBroker, NotRegistered
from braidmq.host.signals import STOP_SIGNALS
from braidmq.host.writer import Writer
from braidmq.node import Node
from braidmq.printable import printable_json
from braidmq.settings import Settings
from braidmq.trust.joinfile import JoinFile
from braidmq.wire.registry_status import RegistryStatus

SETTLE_S_MAX: Final = 2.0
"""How long a broker may take to be connected or to fail."""

OBSERVE_S_MAX: Final = 2.0
"""How long a broker may take to tell its state."""

WATCH_S: Final = 1.0
"""How often --watch asks: what it tells changes within seconds, and people read no faster. Also how long a broker may
take to answer it, so that one that hangs does not hold up the others."""


_CLEAR: Final = "\x1b[2J\x1b[1;1H"
"""Clears a terminal, and goes to its first line."""


@click.command("status")
@join_option()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object in one line.")
@click.option("--watch", is_flag=True, help="Show it anew every second, until SIGINT or SIGTERM.")
def status(join: JoinFile | Path, *, as_json: bool, watch: bool) -> int:
    """Show all brokers, how each sees the others and whether they agree, and the services and nodes of the net.

    A column TO b1 tells how b1 sees the brokers: alive, suspect (silent), leaving (about to end), dead, or unknown; in
    brackets its connection to them where that is not up.

    It needs a join file with the right to observe: `braidmq add node NAME --net DIR --observe`.

    Exit code: 0 if all is well; 1 if something is wrong, which the first lines tell: a broker that does not answer,
    brokers that do not agree or are not connected or have an older registry, a clock that is off, a certificate that
    has ended or ends within a day; 5 if no broker answers.
    """
    log_nothing()
    node = Node(join, settings=Settings(brokers_connected_max=COMMAND_BROKERS_MAX))
    if watch:
        screen = _Screen(as_json=as_json)
        asyncio.run(_watch(node, screen.show))
        screen.flush()
        return ExitCode.OK
    views = asyncio.run(_ask_once(node))
    if as_json:
        click.echo(printable_json(encode(node.name, views)))
    elif views:
        click.echo(show(views))
    problem = judge(node.name, views)
    if problem is not None:
        raise problem
    return ExitCode.OK if is_well(views) else ExitCode.FAILURE


async def _ask_once(node: Node) -> list[View]:
    async with node:
        await node.settled(SETTLE_S_MAX)
        return await _ask(node, OBSERVE_S_MAX)


async def _ask(node: Node, timeout_s: float) -> list[View]:
    reports = await node.observe(timeout_s)
    return complete([View(info, reports.get(info.name)) for info in node.brokers])


async def _watch(node: Node, tell: Callable[[str, list[View]], None]) -> None:
    """Ask and tell again and again until a signal comes.

    Raises:
        BraidError: no broker has ever told its state, for a reason that does not pass by itself.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, task.cancel)
    told = False
    with contextlib.suppress(asyncio.CancelledError):
        async with node:
            await node.settled(SETTLE_S_MAX)
            while True:
                due = loop.time() + WATCH_S
                views = await _ask(node, WATCH_S)
                tell(node.name, views)
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

    def show(self, name: str, views: list[View]) -> None:
        """Show the net as a line of JSON; as text in place of what the terminal shows; else below an empty line.

        Raises:
            OSError: it cannot be shown any more.
        """
        if self._writer.error is not None:
            raise self._writer.error
        if self._as_json:
            self._writer.write(printable_json(encode(name, views)) + b"\n")
            return
        text = f"{time.strftime('%H:%M:%S')}  {show(views)}"
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


def encode(name: str, views: Sequence[View]) -> bytes:
    """Return the state of the net as a JSON object."""
    return msgspec.json.encode(
        {
            "node": name,
            "agree": agree(views),
            "disagreements": disagreements(views),
            "well": is_well(views),
            "problems": problems(views, seen_by(views)),
            "ends": [msgspec.structs.asdict(each) for each in status_registry.ends(views)],
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
            "nodes": [msgspec.structs.asdict(each) for each in report.nodes],
            "nodes_total": report.nodes_total,
            "services": [msgspec.structs.asdict(each) for each in report.services],
            "services_total": report.services_total,
            "counters": report.counters,
            "refusals": [msgspec.structs.asdict(each) for each in report.refusals],
            "registry": None if report.registry is None else _registry_as_dict(report.registry),
        }
    return shown


def _registry_as_dict(registry: RegistryStatus) -> dict[str, Any]:
    shown = msgspec.structs.asdict(registry)
    del shown["claims"]  # nobody has asked for them
    for rows in ("ends", "tokens", "enrolled", "seen"):
        shown[rows] = [msgspec.structs.asdict(each) for each in shown[rows]]
    return shown
