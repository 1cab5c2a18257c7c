"""The lists of `braidmq top`: what stands in them, and how they are sorted and filtered. Pure."""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

from braidmq.cli.status_text import per_s
from braidmq.monitor.diagnoses import health
from braidmq.monitor.finding import Finding, duration, listed
from braidmq.monitor.looking import Look
from braidmq.monitor.net import NodeSum, Seen, ServiceSum, View, nodes, opinions, seen_by, services
from braidmq.monitor.node_rates import UNASKED, NodeRate, node_rates
from braidmq.monitor.rates import UNKNOWN, Rates, rates
from braidmq.monitor.service_rates import NO_RATE, ServiceRate, service_rates
from braidmq.printable import printable

NOTHING: Final = "-"


class Mood(StrEnum):
    """How a row is, by the mark that it bears, so that it shows without colour."""

    PLAIN = " "
    NOTE = "~"
    BAD = "!"


class Net(NamedTuple):
    """A look at the net, and what follows from it and the one before, worked out once for all that is shown.

    Attributes:
        views: the brokers, and what they told.
        findings: what is wrong, or worth a note.
        sentence: how the net is.
        rates: what each broker does a second.
        service_rates: the same of services.
        services: over the whole net.
        nodes: over the whole net.
        node_rates: what each node asks for a second.
        seen: how brokers see each other.
        moods: how those are of whom something was found.
    """

    views: Sequence[View]
    findings: Sequence[Finding]
    sentence: str
    rates: Mapping[str, Rates]
    service_rates: Mapping[str, ServiceRate]
    services: Sequence[ServiceSum]
    nodes: Sequence[NodeSum]
    node_rates: Mapping[str, NodeRate]
    seen: Seen
    moods: Mapping[str, Mood]

    @classmethod
    def of(cls, look: Look) -> "Net":
        """Return what a look, and the one before, have shown."""
        return cls(
            look.views,
            look.findings,
            health(look.views, look.findings),
            rates(look.views, look.before),
            service_rates(look.views, look.before),
            services(look.views),
            nodes(look.views),
            node_rates(look.views, look.before),
            seen_by(look.views),
            _moods(look.findings),
        )

    def mood(self, name: str) -> Mood:
        """Return how a broker, node or service is, by what was found of it."""
        return self.moods.get(name, Mood.PLAIN)


def _moods(findings: Sequence[Finding]) -> dict[str, Mood]:
    moods: dict[str, Mood] = {}
    for each in findings:
        for name in each.who:
            if each.wrong or name not in moods:
                moods[name] = Mood.BAD if each.wrong else Mood.NOTE
    return moods


class Column(NamedTuple):
    """A column of a list.

    Attributes:
        title: what it is called.
        number: whether it has numbers, which stand right, and are sorted from the highest.
        wide: whether it takes what room is left, and is cut first.
    """

    title: str
    number: bool = False
    wide: bool = False


class Row(NamedTuple):
    """A row of a list.

    Attributes:
        name: by which it is selected and opened.
        cells: what it shows.
        keys: what it is sorted by, for each column.
        mood: how it is.
    """

    name: str
    cells: tuple[str, ...]
    keys: tuple[float | str, ...]
    mood: Mood


class Kind(StrEnum):
    """The lists, in the order of their keys."""

    SERVICES = "Services"
    BROKERS = "Brokers"
    CALLERS = "Callers"
    WORKERS = "Workers"
    FINDINGS = "Findings"


class Page(NamedTuple):
    """A list.

    Attributes:
        columns: of it.
        sort: the column that it is sorted by at first.
        rows: makes its rows.
    """

    columns: tuple[Column, ...]
    sort: int
    rows: Callable[[Net], list[Row]]


def shown_rows(net: Net, kind: Kind, text: str, column: int, reverse: bool) -> list[Row]:
    """Return the rows of a list that fit a filter, sorted by a column; those that are equal there by their names.

    Args:
        net: what was seen.
        kind: which list.
        text: what they must hold, or a pattern of their names, as in `pay*`.
        column: see above.
        reverse: numbers are sorted from the lowest then, texts from the last.
    """
    page = PAGES[kind]
    rows = sorted((row for row in page.rows(net) if fits(row, text)), key=lambda row: row.name)
    return sorted(rows, key=lambda row: row.keys[column], reverse=page.columns[column].number != reverse)


def fits(row: Row, text: str) -> bool:
    """Whether a row holds a text, in upper or lower case, or its name fits the pattern that the text is."""
    wanted = text.lower()
    if any(char in wanted for char in "*?["):
        return fnmatchcase(row.name.lower(), wanted)
    return wanted in " ".join(row.cells).lower()


def load(service: ServiceSum) -> float:
    """Return the share of a service's places that is asked for; infinite if it has none, and something waits."""
    wanted = service.outstanding + service.queued
    if service.credit:
        return wanted / service.credit
    return float("inf") if wanted else 0.0


def percent(share: float) -> str:
    """Return a share as text."""
    return "full" if share == float("inf") else f"{100 * share:.0f}%"


def broker_state(net: Net, view: View) -> str:
    """Return how a broker is: in its own words, or else as others see it, or why it tells nothing."""
    if view.told and view.report is not None:
        return view.report.state
    return next(iter(opinions(net.seen, view.info.name)), "") or view.problem


def _service_rows(net: Net) -> list[Row]:
    found = []
    for each in net.services:
        share, rate = load(each), net.service_rates.get(each.name, NO_RATE)
        mood = net.mood(each.name)
        if mood is Mood.PLAIN and each.queued:
            mood = Mood.NOTE
        counts = (each.workers, share, each.outstanding, each.credit, each.queued)
        cells = (f"{each.workers:,}", percent(share), f"{each.outstanding:,}", f"{each.credit:,}", f"{each.queued:,}")
        speed = (per_s(rate.replies), NOTHING if rate.p99_ms is None else f"{rate.p99_ms:,.1f}")
        found.append(_row(each.name, (*cells, *speed), (*counts, rate.replies or 0.0, rate.p99_ms or 0.0), mood))
    return found


def _broker_rows(net: Net) -> list[Row]:
    found = []
    for view in net.views:
        state, rate = broker_state(net, view), net.rates.get(view.info.name, UNKNOWN)
        report = view.report if view.told else None
        up_s = 0.0 if report is None else report.uptime_s
        own = None if report is None else next(iter(report.brokers), None)
        counts = (0, 0, 0) if own is None else (own.nodes, own.in_flight, own.queued)
        cells = (
            state,
            NOTHING if report is None else duration(up_s),
            *(NOTHING if own is None else f"{count:,}" for count in counts),
            *map(per_s, rate),
        )
        keys: tuple[float | str, ...] = (state, up_s, *counts, *(each or 0.0 for each in rate))
        found.append(_row(view.info.name, cells, keys, net.mood(view.info.name)))
    return found


def _caller_rows(net: Net) -> list[Row]:
    total = sum(each.in_flight for each in net.nodes)
    found = []
    for each in net.nodes:
        if each.in_flight or not each.serves:
            share, brokers = each.in_flight / total if total else 0.0, listed(each.brokers)
            rate = net.node_rates.get(each.name, UNASKED)
            asked = (f"{each.in_flight:,}", percent(share), per_s(rate.requests), per_s(rate.rejects))
            cells = (*asked, each.state, f"{each.silent_ms:,} ms", brokers)
            counts = (each.in_flight, share, rate.requests or 0.0, rate.rejects or 0.0)
            keys = (*counts, each.state, each.silent_ms, brokers)
            found.append(_row(each.name, cells, keys, net.mood(each.name)))
    return found


def _worker_rows(net: Net) -> list[Row]:
    found = []
    for each in net.nodes:
        if each.serves:
            brokers, serves = listed(each.brokers), listed(each.serves)
            cells = (each.state, f"{each.silent_ms:,} ms", brokers, serves)
            found.append(_row(each.name, cells, (each.state, each.silent_ms, brokers, serves), net.mood(each.name)))
    return found


def _finding_rows(net: Net) -> list[Row]:
    found = []
    for place, each in enumerate(net.findings):
        mood = Mood.BAD if each.wrong else Mood.NOTE
        since = NOTHING if each.since_s is None else duration(each.since_s)
        keys = (place, each.kind.value, each.since_s or 0.0, each.what)
        cells = tuple(map(printable, (f"{place + 1}", each.kind.value, since, each.what)))
        found.append(Row(finding_name(each), cells, keys, mood))
    return found


def finding_name(finding: Finding) -> str:
    """Return what tells a finding from others, from one look to the next."""
    return printable(f"{finding.kind.value} {' '.join(finding.who)}")


def _row(name: str, cells: tuple[str, ...], keys: tuple[float | str, ...], mood: Mood) -> Row:
    return Row(printable(name), tuple(map(printable, (name, *cells))), (name, *keys), mood)


PAGES: Final[dict[Kind, Page]] = {
    Kind.SERVICES: Page(
        (
            Column("SERVICE", wide=True), Column("WORKERS", number=True), Column("LOAD", number=True),
            Column("OUTSTANDING", number=True), Column("CREDIT", number=True), Column("QUEUED", number=True),
            Column("REP/S", number=True), Column("P99 ms", number=True),
        ),
        2, _service_rows,
    ),
    Kind.BROKERS: Page(
        (
            Column("BROKER", wide=True), Column("STATE"), Column("UP FOR", number=True),
            Column("NODES", number=True), Column("IN FLIGHT", number=True), Column("QUEUED", number=True),
            Column("REQ/S", number=True), Column("REP/S", number=True), Column("REJ/S", number=True),
        ),
        0, _broker_rows,
    ),
    Kind.CALLERS: Page(
        (
            Column("CALLER", wide=True), Column("IN FLIGHT", number=True), Column("SHARE", number=True),
            Column("REQ/S", number=True), Column("REJ/S", number=True), Column("STATE"), Column("SILENT", number=True),
            Column("BROKERS", wide=True),
        ),
        1, _caller_rows,
    ),
    Kind.WORKERS: Page(
        (
            Column("WORKER", wide=True), Column("STATE"), Column("SILENT", number=True),
            Column("BROKERS", wide=True), Column("SERVES", wide=True),
        ),
        0, _worker_rows,
    ),
    Kind.FINDINGS: Page(
        (Column("#"), Column("KIND"), Column("FOR", number=True), Column("WHAT", wide=True)), 0, _finding_rows,
    ),
}  # fmt: skip
"""All lists."""
