"""``status``: the state of the net, as its brokers tell it."""

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import click
import msgspec

from braidmq.cli import join_option, printable
from braidmq.cli.logs import log_nothing
from braidmq.core.links import Failure
from braidmq.errors import AccessDenied, BraidError, NoBroker, NotRegistered
from braidmq.node import BrokerInfo, Node
from braidmq.wire.control import Report

SETTLE_S_MAX: Final = 2.0
"""How long a broker may take to be connected or to fail."""

OBSERVE_S_MAX: Final = 2.0
"""How long a broker may take to tell its state."""


class View(NamedTuple):
    """A broker as this node knows it, and what it told, if it told anything."""

    info: BrokerInfo
    report: Report | None

    @property
    def told(self) -> bool:
        """Whether the broker told its state."""
        return self.report is not None and not self.report.denied

    @property
    def problem(self) -> str:
        """Why it did not; empty if it did."""
        if self.report is not None:
            return "this node may not observe it" if self.report.denied else ""
        if self.info.problem:
            return self.info.problem
        return "no connection yet" if self.info.state in ("waiting", "connecting") else "it does not answer"


@click.command("status")
@join_option()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def status(join: Path, *, as_json: bool) -> None:
    """Show every broker, and the brokers, nodes and services that it knows.

    It needs a join file with the right to observe: `braidmq add node NAME --net DIR --observe`.
    """
    log_nothing()
    node = Node(join)
    views = asyncio.run(_observe(node))
    click.echo(encode(node.name, views) if as_json else "\n\n".join(map(show, views)), nl=as_json or bool(views))
    problem = judge(node.name, views)
    if problem is not None:
        raise problem


async def _observe(node: Node) -> list[View]:
    async with node:
        await node.settled(SETTLE_S_MAX)
        reports = await node.observe(OBSERVE_S_MAX)
        return [View(info, reports.get(info.name)) for info in node.brokers]


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
    if all(view.info.problem == Failure.NOT_REGISTERED for view in views):
        return NotRegistered(f"every broker refuses this node's key: {reasons}")
    return NoBroker(f"no broker could be reached: {reasons}")


def encode(name: str, views: Iterable[View]) -> bytes:
    """Return the state of the net as a JSON object."""
    return msgspec.json.encode({"node": name, "brokers": [_as_dict(view) for view in views]})


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
        }
    return shown


def show(view: View) -> str:
    """Return the lines that tell of one broker."""
    info, report = view
    endpoints = " ".join(info.endpoints)
    if report is None or not view.told:
        return f"{info.name} at {endpoints}: {view.problem}"
    head = f"{info.name} at {endpoints}: {report.state}, for {duration(report.uptime_s)}, {report.software}"
    tables = [
        table(("BROKER", "STATE"), [(each.name, each.state) for each in report.brokers]),
        table(
            ("NODE", "STATE", "IN FLIGHT", "SILENT", "SERVES"),
            [
                (each.name, each.state, each.in_flight, f"{each.silent_ms} ms", ", ".join(each.serves) or "-")
                for each in report.nodes
            ],
            report.nodes_total,
        ),
        table(
            ("SERVICE", "WORKERS", "CREDIT", "OUTSTANDING", "QUEUED"),
            [(each.name, each.workers, each.credit, each.outstanding, each.queued) for each in report.services],
            report.services_total,
        ),
    ]
    counters = "  ".join(f"{name} {count}" for name, count in report.counters.items())
    lines = [head, *(line for lines in tables for line in lines), f"  {counters}"]
    return "\n".join(printable(line) for line in lines)


def table(head: Sequence[str], rows: Sequence[Sequence[object]], total: int = 0) -> list[str]:
    """Return the lines of an indented table, its columns as wide as they must be; none if it has no rows."""
    if not rows:
        return []
    cells = [tuple(head), *(tuple(str(cell) for cell in row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    ]
    if total > len(rows):
        lines.append(f"  ... and {total - len(rows)} more")
    return lines


def duration(seconds: float) -> str:
    """Return a time for people, in its two largest units."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3_600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86_400:
        return f"{whole // 3_600} h {whole % 3_600 // 60} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3_600} h"
