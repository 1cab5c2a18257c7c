"""The state of the net for people: a headline that says whether all is well, and tables.

Whatever a peer said passes through `printable` on its way to a line.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import Final

from braidmq.bounds import DAY_S
from braidmq.cli import status_registry
from braidmq.cli.status_net import (
    ABSENT,
    NAMES_MAX,
    STATES,
    NodeSum,
    Seen,
    ServiceSum,
    View,
    disagreements,
    listed,
    nodes,
    opinions,
    seen_by,
    services,
    told_apart,
    unlinked,
)
from braidmq.cli.status_problems import problems
from braidmq.core.links.link import OPEN
from braidmq.printable import printable
from braidmq.wire.control import PeerStatus
from braidmq.wire.registry_status import EndStatus, SeenStatus, TokenStatus

COLUMNS_MAX: Final = 8
"""Brokers that have a column of their own in the matrix: more do not fit beside each other on a screen."""

TROUBLES_MAX: Final = 10
"""Lines on what is wrong below the headline: the tables have the rest."""

NAMED_MAX: Final = 3
"""Disagreements that fit into the headline."""

CREDIT_NOTE: Final = (
    "CREDIT: what workers let a broker give them at once; those with requests share their concurrency, others get 1"
)

OF_REFUSALS: Final = "refused_"
"""How the names of counters begin that have a table of their own."""

_NOTHING: Final = "-"


def show(views: Sequence[View]) -> str:
    """Return the state of the net as text, in sections with an empty line between them."""
    seen = seen_by(views)
    sections = [[headline(views), *end_line(views), *_few(problems(views, seen))]]
    if seen:
        sections += [
            matrix(views, seen),
            service_table(services(views), max((view.services_cut for view in views), default=0)),
            node_table(nodes(views), max((view.nodes_cut for view in views), default=0)),
            token_table(status_registry.tokens(views)),
            enrolled_table(status_registry.enrolled(views), status_registry.enrolled_total(views)),
            refusal_table(views),
            [line for view in views for line in broker_lines(view)],
        ]
    return "\n\n".join("\n".join(section) for section in sections if section)


def headline(views: Sequence[View]) -> str:
    """Return one line that says whether all is well."""
    seen = seen_by(views)
    if not seen:
        return "no broker tells its state"
    found = disagreements(views)
    if found:
        more = f"; and {len(found) - NAMED_MAX:,} more" if len(found) > NAMED_MAX else ""
        return printable(f"the brokers do not agree: {'; '.join(found[:NAMED_MAX])}{more}")
    states: dict[str, list[str]] = {}
    for view in views:
        states.setdefault(next(iter(opinions(seen, view.info.name))), []).append(view.info.name)
    best_first = sorted(states, key=lambda state: -STATES.index(state) if state in STATES else 1)
    how = "; ".join(f"{listed(states[state])} {state}" for state in best_first)
    missing = len(unlinked(seen))
    lack = f"; {missing} of their connections {'is' if missing == 1 else 'are'} not up" if missing else ""
    return printable(f"{_who(len(seen), len(views))}: {how}{lack}")


def _who(told: int, known: int) -> str:
    count = f"{told} broker{'s' if told > 1 else ''}" if told == known else f"{told} of {known} brokers"
    if told == 1:
        return f"{count} answers"
    return f"{count} agree" if told == known else f"{count} answer and agree"


def end_line(views: Sequence[View]) -> list[str]:
    """Return a line on who ends when, if anybody does."""
    ends, total = status_registry.ends(views), status_registry.ends_total(views)
    if not ends:
        return []
    more = f" and {total - NAMES_MAX:,} more" if total > NAMES_MAX else ""
    return [printable(f"  {', '.join(_end(each) for each in ends[:NAMES_MAX])}{more}: `braidmq renew`")]


def _end(end: EndStatus) -> str:
    if end.in_s <= 0:
        return f"{end.name} has ended, {duration(-end.in_s)} ago"
    return f"{end.name} ends in {duration(end.in_s)}"


def _few(lines: Sequence[str]) -> list[str]:
    shown = [f"  {printable(line)}" for line in lines[:TROUBLES_MAX]]
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


def duration(seconds: float) -> str:
    """Return a time for people, in its two largest units."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3_600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < DAY_S:
        return f"{whole // 3_600} h {whole % 3_600 // 60} min"
    return f"{whole // DAY_S} d {whole % DAY_S // 3_600} h"
