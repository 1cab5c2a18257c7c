"""``status``: the state of the net, as its brokers tell it."""

import asyncio
import contextlib
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from braidmq.bounds import COMMAND_BROKERS_MAX
from braidmq.cli import join_option
from braidmq.cli.exit_codes import ExitCode
from braidmq.cli.logs import log_nothing
from braidmq.cli.narrowing import Narrowing
from braidmq.cli.status_text import fit, show
from braidmq.host.signals import STOP_SIGNALS
from braidmq.host.writer import Writer
from braidmq.monitor import registries
from braidmq.monitor.diagnoses import health, is_well
from braidmq.monitor.looking import Look, judge, look_once, looks
from braidmq.monitor.net import View, agree, disagreements
from braidmq.monitor.rates import Rates, rates
from braidmq.monitor.service_rates import service_rates
from braidmq.node import Node
from braidmq.printable import printable_json
from braidmq.settings import Settings
from braidmq.trust.joinfile import JoinFile
from braidmq.wire.control import LossStatus, NodeStatus
from braidmq.wire.registry_status import RegistryStatus

_CLEAR: Final = "\x1b[2J\x1b[1;1H"
"""Clears a terminal, and goes to its first line."""


@click.command("status")
@join_option()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object in one line.")
@click.option("--watch", is_flag=True, help="Show it anew every second, until SIGINT or SIGTERM.")
@click.option("--service", "services", metavar="PATTERN", multiple=True, help="Only services whose name fits, as pay*.")
@click.option("--broker", "brokers", metavar="PATTERN", multiple=True, help="Only what brokers tell whose name fits.")
@click.option("--node", "nodes", metavar="PATTERN", multiple=True, help="Only nodes whose name fits.")
def status(
    join: JoinFile | Path,
    *,
    as_json: bool,
    watch: bool,
    services: tuple[str, ...],
    brokers: tuple[str, ...],
    nodes: tuple[str, ...],
) -> int:
    """Say whether the net is well, what is wrong and what to do; and show its brokers, services and nodes.

    A column TO b1 tells how b1 sees the brokers: alive, suspect (silent), leaving (about to end), dead, or unknown; in
    brackets its connection to them where that is not up.

    It needs a join file with the right to observe: `braidmq add node NAME --net DIR --observe`.

    Lines that begin with ! tell what is wrong, those with - what is worth a note. Where requests wait or were refused,
    it looks twice, half a second apart. Then, and with --watch, it also tells what is done a second.

    Patterns are those of a shell (* ? [ab]); each option may be repeated. With --service, nodes are shown that serve
    one of them, with --node, services that one of them serves. What is wrong is told of all the net, and so says the
    exit code.

    Exit code: 0 if all is well; 1 if something is wrong, which the first lines tell; 5 if no broker answers.
    """
    log_nothing()
    narrowing = Narrowing(services, brokers, nodes)
    node = Node(join, settings=Settings(brokers_connected_max=COMMAND_BROKERS_MAX))
    if watch:
        screen = _Screen(narrowing, as_json=as_json)
        asyncio.run(_watch(node, screen.show))
        screen.flush()
        return ExitCode.OK
    look = asyncio.run(_look_once(node))
    if as_json:
        click.echo(printable_json(encode(node.name, look, narrowing)))
    elif look.views:
        click.echo(show(look, narrowing))
    problem = judge(node.name, look.views)
    if problem is not None:
        raise problem
    return ExitCode.OK if is_well(look.findings) else ExitCode.FAILURE


async def _look_once(node: Node) -> Look:
    async with node:
        return await look_once(node)


async def _watch(node: Node, tell: Callable[[str, Look], None]) -> None:
    """Ask and tell again and again until a signal comes.

    Raises:
        BraidError: no broker has ever told its state, for a reason that does not pass by itself.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        async with node, contextlib.aclosing(looks(node)) as seen:
            async for look in seen:
                tell(node.name, look)


class _Screen:
    """Where --watch shows the net. If nobody reads there, it skips what is too old, and can still be ended."""

    def __init__(self, narrowing: Narrowing, *, as_json: bool) -> None:
        self._narrowing = narrowing
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
            self._writer.write(printable_json(encode(name, look, self._narrowing)) + b"\n")
            return
        text = f"{time.strftime('%H:%M:%S')}  {show(look, self._narrowing)}"
        if sys.stdout.isatty():
            size = shutil.get_terminal_size()
            shown = f"{_CLEAR}{fit(text, size.columns, size.lines - 1)}\n"  # the cursor stands in the last line
        else:
            shown = f"{text}\n\n"
        self._writer.write(shown.encode(sys.stdout.encoding or "utf-8", "backslashreplace"))

    def flush(self) -> None:
        """Wait, for a short time, until all of it is shown."""
        self._writer.flush()


def encode(name: str, look: Look, narrowing: Narrowing = Narrowing()) -> bytes:  # noqa: B008 - it cannot be changed
    """Return the state of the net as a JSON object; of what brokers tell, what is to be shown."""
    views, findings, *_ = look
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
            "rates": _rates(look, narrowing),
            "brokers": [_as_dict(view) for view in narrowing.of(views)],
        }
    )


def _rates(look: Look, narrowing: Narrowing) -> dict[str, Any] | None:
    """Return what is done a second; None if one look could not show it."""
    if not look.before:
        return None
    views = narrowing.of(look.views)
    brokers, services = rates(views, look.before), service_rates(views, look.before)
    return {
        "brokers": {name: _per_s(each) for name, each in brokers.items()},
        "services": {
            name: {
                "replies_per_s": _rounded(each.replies),
                "p50_ms": _rounded(each.p50_ms),
                "p99_ms": _rounded(each.p99_ms),
            }
            for name, each in services.items()
        },
    }


def _per_s(rate: Rates) -> dict[str, float | None]:
    return {f"{what}_per_s": _rounded(each) for what, each in rate._asdict().items()}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _as_dict(view: View) -> dict[str, Any]:
    info, report = view.info, view.report
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
            "lag": None if report.lag is None else msgspec.structs.asdict(report.lag),
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
