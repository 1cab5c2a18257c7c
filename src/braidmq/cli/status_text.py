"""The state of the net for people: how it is, what is wrong and what to do, and tables.

Whatever a peer said passes through `printable` on its way to a line.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import Final

from braidmq.core.links.link import OPEN
from braidmq.monitor import registries
from braidmq.monitor.diagnoses import diagnose, health
from braidmq.monitor.finding import Finding, duration, listed
from braidmq.monitor.net import (
    ABSENT,
    NodeSum,
    Seen,
    ServiceSum,
    View,
    nodes,
    opinions,
    seen_by,
    services,
    told_apart,
)
from braidmq.printable import printable
from braidmq.wire.control import PeerStatus
from braidmq.wire.registry_status import SeenStatus, TokenStatus

COLUMNS_MAX: Final = 8
"""Brokers that have a column of their own in the matrix: more do not fit beside each other on a screen."""

FINDINGS_MAX: Final = 10
"""Lines on what is wrong below the first one: JSON has all, and the tables have what they are about."""

CREDIT_NOTE: Final = (
    "CREDIT: what workers let a broker give them at once; those with requests share their concurrency, others get 1"
)

OF_REFUSALS: Final = "refused_"
"""How the names of counters begin that have a table of their own."""

_NOTHING: Final = "-"


def show(views: Sequence[View], findings: Sequence[Finding] | None = None) -> str:
    """Return the state of the net as text, in sections with an empty line between them.

    Args:
        views: the brokers, and what they have told.
        findings: what is wrong or worth a note; if it is left out, what one look shows.
    """
    found = diagnose(views) if findings is None else findings
    seen = seen_by(views)
    sections = [[health(views, found), *(found_lines(found) if seen else unreached_lines(views))]]
    if seen:
        sections += [
            matrix(views, seen),
            service_table(services(views), max((view.services_cut for view in views), default=0)),
            node_table(nodes(views), max((view.nodes_cut for view in views), default=0)),
            bridge_table(nodes(views)),
            token_table(registries.tokens(views)),
            enrolled_table(registries.enrolled(views), registries.enrolled_total(views)),
            refusal_table(views),
            [line for view in views for line in broker_lines(view)],
        ]
    return "\n\n".join("\n".join(section) for section in sections if section)


def found_lines(findings: Sequence[Finding]) -> list[str]:
    """Return a line for each finding: what is wrong is marked, what is worth a note is not."""
    return _few([f"{'!' if each.wrong else '-'} {each.sentence}" for each in findings])


def unreached_lines(views: Sequence[View]) -> list[str]:
    """Return a line for each broker with the reason why it tells nothing."""
    return _few(
        [
            f"{' at '.join(filter(None, (each.info.name, ' '.join(each.info.endpoints))))}: {each.problem}"
            for each in views
        ]
    )


def _few(lines: Sequence[str]) -> list[str]:
    shown = [f"  {printable(line)}" for line in lines[:FINDINGS_MAX]]
    return shown if len(lines) == len(shown) else [*shown, f"  ... and {len(lines) - len(shown):,} more"]


def matrix(views: Sequence[View], seen: Seen) -> list[str]:
    """Return the table of the brokers: a row for each that is seen, a column for each that sees."""
    wide = len(seen) <= COLUMNS_MAX
    head = ["BROKER", *([f"TO {broker}" for broker in seen] if wide else ["SEEN AS"])]
    rows = []
    for view in views:
        name = view.info.name
        if wide:
            cells = [_cell(held.get(name)) for held in seen.values()]
        else:
            found = opinions(seen, name)
            cells = [f"{next(iter(found))} to all" if len(found) == 1 else told_apart(found)]
        up_for = duration(view.report.uptime_s) if view.report is not None and view.told else _NOTHING
        rows.append((name, *cells, *_load(seen, name), up_for))
    return table((*head, "NODES", "IN FLIGHT", "QUEUED", "SERVICES", "REGISTRY", "UP FOR"), rows)


def _cell(row: PeerStatus | None) -> str:
    if row is None:
        return "unknown"
    plain = row.link in ("", "up") or (row.state in ABSENT and row.link not in OPEN)
    return row.state if plain else f"{row.state} ({row.link})"


def _load(seen: Seen, name: str) -> tuple[object, ...]:
    """Return what a broker said of its load, to this node or else to a broker that is connected to it."""
    rows = [seen[name].get(name)] if name in seen else [held.get(name) for held in seen.values()]
    for row in rows:
        if row is not None and (name in seen or row.link in OPEN):
            return row.nodes, row.in_flight, row.queued, row.services, row.registry or _NOTHING
    return (_NOTHING,) * 5


def service_table(found: Sequence[ServiceSum], cut: int) -> list[str]:
    """Return the table of the services: for each its sums over the net, then what each broker has of them."""
    rows: list[tuple[object, ...]] = []
    for service in found:
        alone = len(service.parts) == 1
        where = next(iter(service.parts)) if alone else "all"
        rows.append((service.name, where, service.workers, service.credit, service.outstanding, service.queued))
        if not alone:
            rows += [
                ("", broker, part.workers, part.credit, part.outstanding, part.queued)
                for broker, part in service.parts.items()
            ]
    lines = table(("SERVICE", "BROKER", "WORKERS", "CREDIT", "OUTSTANDING", "QUEUED"), rows, cut)
    return [*lines, CREDIT_NOTE] if lines else []


def node_table(found: Sequence[NodeSum], cut: int) -> list[str]:
    """Return the table of the nodes."""
    rows = [
        (
            node.name,
            node.state,
            listed(node.brokers),
            node.in_flight,
            f"{node.silent_ms} ms",
            listed(node.serves) or _NOTHING,
        )
        for node in found
    ]
    return table(("NODE", "STATE", "BROKERS", "IN FLIGHT", "SILENT", "SERVES"), rows, cut)


def bridge_table(found: Sequence[NodeSum]) -> list[str]:
    """Return the table of the nodes that are bridges, by what they tell of themselves."""
    rows = [
        (node.name, told.kind, told.peers, told.services, told.requests, told.errors, told.denied, told.dropped)
        for node in found
        if (told := node.bridge) is not None
    ]
    return table(("BRIDGE", "TO", "PEERS", "SERVICES", "REQUESTS", "ERRORS", "DENIED", "DROPPED"), rows)


def token_table(found: Sequence[TokenStatus]) -> list[str]:
    """Return the table of the tokens that make members."""
    rows = [(each.serial, each.names, each.uses, max(0, each.uses - each.used), until(each.in_s)) for each in found]
    return table(("TOKEN", "FOR", "USES", "LEFT", "ENDS"), rows)


def enrolled_table(found: Sequence[SeenStatus], total: int) -> list[str]:
    """Return the table of the members that tokens have made."""
    rows = [(each.name, each.token, seen(each.ago_s)) for each in found]
    return table(("ENROLLED", "TOKEN", "LAST SEEN"), rows, total - len(found))


def refusal_table(views: Sequence[View]) -> list[str]:
    """Return the table of what brokers have refused: of each kind how many, and the newest one."""
    rows = [
        (
            each.kind,
            view.info.name,
            each.count,
            each.who or _NOTHING,
            each.where or _NOTHING,
            each.what or _NOTHING,
            f"{duration(each.ago_ms / 1000)} ago",
        )
        for view in views
        if view.report is not None
        for each in view.report.refusals
    ]
    return table(("REFUSED", "BROKER", "COUNT", "NEWEST", "FROM", "WHAT", "WHEN"), sorted(rows))


def broker_lines(view: View) -> list[str]:
    """Return two lines on a broker that told its state: what and where it is, and its counters."""
    info, report = view
    if report is None or not view.told:
        return []
    shown = ((name, count) for name, count in report.counters.items() if not name.startswith(OF_REFUSALS))
    counters = "  ".join(f"{name} {count}" for name, count in shown)
    head = (
        f"{info.name} at {' '.join(info.endpoints)}: {report.state}, for {duration(report.uptime_s)}, {report.software}"
    )
    return [printable(head), printable(f"  {counters}")]


def table(head: Sequence[str], rows: Sequence[Sequence[object]], cut: int = 0) -> list[str]:
    """Return the lines of a table, and one more if `cut` rows are missing; none if it has no rows."""
    if not rows:
        return []
    cells = [tuple(printable(str(cell)) for cell in row) for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    return [*lines, f"... and {cut:,} more"] if cut > 0 else lines


def fit(text: str, columns: int, lines: int) -> str:
    """Return as much of `text` as a terminal shows at once, below it a line that says how much is missing."""
    all_lines = text.split("\n")
    heights = [max(1, -(-len(line) // columns)) for line in all_lines]
    if sum(heights) <= lines:
        return text
    fitting = sum(height <= lines - 1 for height in accumulate(heights))
    return "\n".join([*all_lines[:fitting], f"... and {len(all_lines) - fitting:,} more lines"])


def until(in_s: int) -> str:
    """Return when something ends, for people."""
    return f"in {duration(in_s)}" if in_s > 0 else "ended"


def seen(ago_s: int) -> str:
    """Return when somebody was seen last, for people."""
    return f"{duration(ago_s)} ago" if ago_s > 0 else "now"
