"""The state of the net for people: how it is, what is wrong and what to do, and tables.

Whatever a peer said passes through `printable` on its way to a line.
"""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Final

from braidmq.cli.narrowing import Narrowing
from braidmq.core.links.link import OPEN
from braidmq.monitor import registries
from braidmq.monitor.diagnoses import health
from braidmq.monitor.finding import Finding, duration, listed
from braidmq.monitor.looking import Look
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
from braidmq.monitor.rates import UNKNOWN, Rates, rates
from braidmq.monitor.service_rates import NO_RATE, ServiceRate, service_rates
from braidmq.printable import printable
from braidmq.wire.control import PeerStatus
from braidmq.wire.registry_status import SeenStatus, TokenStatus

COLUMNS_MAX: Final = 8
"""Brokers that have a column of their own in the matrix: more do not fit beside each other on a screen."""

FINDINGS_MAX: Final = 10
"""Lines on what is wrong below the first one: JSON has all, and the tables have what they are about."""

SERVICE_ROWS_MAX: Final = 12
"""Rows of services with one for each broker; where they would be more, there is one for each service, so that 16
services of three brokers fit on a screen of 24 lines."""

CREDIT_NOTE: Final = (
    "CREDIT: what workers let a broker give them at once; those with requests share their concurrency, others get 1"
)

OF_REFUSALS: Final = "refused_"
"""How the names of counters begin that have a table of their own."""

_NOTHING: Final = "-"


def show(look: Look, narrowing: Narrowing = Narrowing()) -> str:  # noqa: B008 - it cannot be changed
    """Return the state of the net as text, in sections with an empty line between them.

    Args:
        look: the brokers, what they have told, and what is wrong or worth a note.
        narrowing: what the tables are to show. What is wrong is told of all the net.
    """
    seen, shown = seen_by(look.views), narrowing.of(look.views)
    first = found_lines(look.findings) if seen else unreached_lines(look.views)
    sections = [[health(look.views, look.findings), *first]]
    if seen:
        tables = [] if narrowing.within_brokers and not narrowing.brokers else [_broker_table(look, shown, seen)]
        tables.append(_services(look, shown, apart=narrowing.narrows))
        tables.append(node_table(nodes(shown), max((view.nodes_cut for view in shown), default=0)))
        tables.append(bridge_table(nodes(shown)))
        if not narrowing.narrows:
            tables.append(token_table(registries.tokens(look.views)))
            tables.append(enrolled_table(registries.enrolled(look.views), registries.enrolled_total(look.views)))
        if not narrowing.within_brokers:
            tables.append(refusal_table(shown))
            tables.append([line for view in shown for line in broker_lines(view)])
        sections += tables if any(tables) else [[f"nothing fits {printable(narrowing.described())}"]]
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


def _broker_table(look: Look, shown: Sequence[View], seen: Seen) -> list[str]:
    return matrix(shown, seen, rates(look.views, look.before) if look.before else None)


def matrix(views: Sequence[View], seen: Seen, done: Mapping[str, Rates] | None = None) -> list[str]:
    """Return the table of the brokers: a row for each that is seen, a column for each that sees.

    Args:
        views: the brokers.
        seen: how they see each other.
        done: what they do a second, if two looks have shown that.
    """
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
        if done is not None:
            rate = done.get(name, UNKNOWN)
            cells += [per_s(rate.requests), per_s(rate.replies)]
        up_for = duration(view.report.uptime_s) if view.report is not None and view.told else _NOTHING
        rows.append((name, *cells, *_load(seen, name), up_for))
    speeds = () if done is None else ("REQ/S", "REP/S")
    return table((*head, *speeds, "NODES", "IN FLIGHT", "QUEUED", "SERVICES", "REGISTRY", "UP FOR"), rows)


def per_s(rate: float | None) -> str:
    """Return a rate as text."""
    if rate is None:
        return _NOTHING
    return f"{rate:,.0f}" if rate >= 10.0 or rate == 0.0 else f"{rate:.1f}"


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


def _services(look: Look, shown: Sequence[View], *, apart: bool) -> list[str]:
    done = service_rates(look.views, look.before) if look.before else None
    return service_table(services(shown), max((view.services_cut for view in shown), default=0), done, apart=apart)


def service_table(
    found: Sequence[ServiceSum], cut: int, done: Mapping[str, ServiceRate] | None = None, *, apart: bool = False
) -> list[str]:
    """Return the table of the services: for each its sums over the net, then what each broker has of them.

    Args:
        found: the services.
        cut: how many are missing.
        done: what they do a second over all brokers, if two looks have shown that.
        apart: whether there is a row for each broker however many these are.
    """
    apart = apart or sum(len(service.parts) + 1 for service in found) <= SERVICE_ROWS_MAX
    rows: list[tuple[object, ...]] = []
    for service in found:
        alone = len(service.parts) == 1
        where = next(iter(service.parts)) if alone else "all"
        rate = () if done is None else _speed(done.get(service.name, NO_RATE))
        rows.append((service.name, where, service.workers, service.credit, service.outstanding, service.queued, *rate))
        if apart and not alone:
            none = () if done is None else ("", "", "")
            rows += [
                ("", broker, part.workers, part.credit, part.outstanding, part.queued, *none)
                for broker, part in service.parts.items()
            ]
    speeds = () if done is None else ("REP/S", "P50 ms", "P99 ms")
    lines = table(("SERVICE", "BROKER", "WORKERS", "CREDIT", "OUTSTANDING", "QUEUED", *speeds), rows, cut)
    return [*lines, CREDIT_NOTE] if lines else []


def _speed(rate: ServiceRate) -> tuple[str, ...]:
    return (per_s(rate.replies), *(_NOTHING if each is None else f"{each:,.1f}" for each in (rate.p50_ms, rate.p99_ms)))


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
    info, report = view.info, view.report
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
    """Return as much of `text` as a terminal shows at once, below it a line that says how much is missing.

    Where it does not fit, empty lines go first, and lines of tables, which are all but those of the first section, are
    cut at the edge.
    """
    every = text.split("\n")
    if sum(_heights(every, columns)) <= lines:
        return text
    first, _, rest = text.partition("\n\n")
    every = [*first.split("\n"), *(line[:columns].rstrip() for line in rest.split("\n") if line)]
    heights = _heights(every, columns)
    if sum(heights) <= lines:
        return "\n".join(every)
    fitting = sum(height <= lines - 1 for height in accumulate(heights))
    return "\n".join([*every[:fitting], f"... and {len(every) - fitting:,} more lines"])


def _heights(every: Sequence[str], columns: int) -> list[int]:
    return [max(1, -(-len(line) // columns)) for line in every]


def until(in_s: int) -> str:
    """Return when something ends, for people."""
    return f"in {duration(in_s)}" if in_s > 0 else "ended"


def seen(ago_s: int) -> str:
    """Return when somebody was seen last, for people."""
    return f"{duration(ago_s)} ago" if ago_s > 0 else "now"
