"""What `braidmq top` tells of a single broker, node, service or finding, as lines. Pure."""

import textwrap
from collections.abc import Callable, Iterable
from typing import Final

from braidmq.cli.status_text import OF_REFUSALS, per_s, refusal_table, table
from braidmq.cli.top.pages import NOTHING, Kind, Net, broker_state, finding_name, load, percent
from braidmq.monitor.finding import Finding, duration, listed
from braidmq.monitor.net import View
from braidmq.monitor.node_rates import UNASKED
from braidmq.monitor.rates import UNKNOWN
from braidmq.printable import printable


def detail_lines(net: Net, kind: Kind, name: str, width: int) -> list[str]:
    """Return what is known of somebody or something, as lines of at most `width` columns where they are sentences.

    Args:
        net: what was seen.
        kind: the list that it stands in.
        name: what it is called there.
        width: of the terminal.
    """
    return _DETAILS[kind](net, name, width)


def finding_lines(findings: Iterable[Finding], width: int) -> list[str]:
    """Return findings as sentences: those that are wrong are marked with !, those worth a note with -."""
    lines = []
    for each in findings:
        mark = "!" if each.wrong else "-"
        lines += textwrap.wrap(f"{mark} {each.sentence}", max(width, 20), subsequent_indent="  ")
    return lines


def _about(net: Net, name: str, width: int) -> list[str]:
    lines = finding_lines((each for each in net.findings if name in each.who), width)
    return ["", *lines] if lines else []


def _service(net: Net, name: str, width: int) -> list[str]:
    found = next((each for each in net.services if each.name == name), None)
    if found is None:
        return [_gone("service", name)]
    wanted = f"{found.outstanding + found.queued:,} requests for {found.credit:,} places of its workers"
    lines = [printable(f"{name}: {wanted}, {percent(load(found))}")]
    parts = [(broker, part.workers, part.credit, part.outstanding, part.queued) for broker, part in found.parts.items()]
    workers = [
        (node.name, node.state, f"{node.silent_ms:,} ms", listed(node.brokers))
        for node in net.nodes
        if name in node.serves
    ]
    return [
        *lines,
        *_about(net, name, width),
        "",
        *table(("AT BROKER", "WORKERS", "CREDIT", "OUTSTANDING", "QUEUED"), parts),
        "",
        *(table(("WORKER", "STATE", "SILENT", "BROKERS"), workers) or ["no worker serves it"]),
    ]


def _broker(net: Net, name: str, width: int) -> list[str]:
    view = next((each for each in net.views if each.info.name == name), None)
    if view is None:
        return [_gone("broker", name)]
    at = " ".join(view.info.endpoints) or "an address that is not known here"
    lines = [printable(f"{name} at {at}: {broker_state(net, view)}")]
    if view.told and view.report is not None:
        lines[0] += printable(f", for {duration(view.report.uptime_s)}, {view.report.software}")
    elif view.problem:
        lines.append(printable(view.problem))
    rate = net.rates.get(name, UNKNOWN)
    lines.append("  ".join(f"{what}/s {per_s(each)}" for what, each in rate._asdict().items()))
    return [*lines, *_about(net, name, width), *_seen(net, name), *_of_report(net, view, width)]


def _seen(net: Net, name: str) -> list[str]:
    rows = [
        (
            broker,
            rows[name].state,
            rows[name].link or NOTHING,
            duration(rows[name].since_ms / 1000),
            f"{rows[name].rtt_ms:,} ms" if rows[name].rtt_ms else NOTHING,
            rows[name].problem or NOTHING,
        )
        for broker, rows in net.seen.items()
        if name in rows and broker != name
    ]
    lines = table(("SEEN BY", "AS", "LINK", "FOR", "RTT", "PROBLEM"), rows)
    return ["", *lines] if lines else []


def _of_report(net: Net, view: View, width: int) -> list[str]:
    report = view.report
    if report is None or not view.told:
        return []
    services = [(each.name, each.workers, each.credit, each.outstanding, each.queued) for each in report.services]
    callers = sorted(((each.in_flight, each.name, each.state) for each in report.nodes if each.in_flight), reverse=True)
    counters = "  ".join(
        f"{name} {count:,}" for name, count in report.counters.items() if not name.startswith(OF_REFUSALS)
    )
    sections = [
        table(("SERVICE", "WORKERS", "CREDIT", "OUTSTANDING", "QUEUED"), services, view.services_cut),
        table(("CALLER", "IN FLIGHT", "STATE"), [(name, count, state) for count, name, state in callers]),
        refusal_table([view]),
        textwrap.wrap(printable(counters), max(width, 20)),
    ]
    return [line for section in sections if section for line in ("", *section)]


def _node(net: Net, name: str, width: int) -> list[str]:
    node = next((each for each in net.nodes if each.name == name), None)
    if node is None:
        return [_gone("node", name), *_about(net, name, width)]
    total = sum(each.in_flight for each in net.nodes)
    share = percent(node.in_flight / total) if total else percent(0.0)
    rate = net.node_rates.get(name, UNASKED)
    lines = [
        printable(f"{name}: {node.in_flight:,} requests under way, {share} of those of all nodes"),
        f"requests/s {per_s(rate.requests)}  rejects/s {per_s(rate.rejects)}",
    ]
    if node.rejected:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(node.rejected.items()))
        lines.append(printable(f"refused so far: {reasons}"))
    parts = [(broker, part.state, f"{part.silent_ms:,} ms", part.in_flight) for broker, part in node.parts]
    return [
        *lines,
        *_about(net, name, width),
        "",
        *table(("AT BROKER", "STATE", "SILENT", "IN FLIGHT"), parts),
        "",
        *(table(("SERVES",), [(each,) for each in node.serves]) or ["it serves nothing"]),
    ]


def _finding(net: Net, name: str, width: int) -> list[str]:
    found = [each for each in net.findings if finding_name(each) == name]
    return finding_lines(found, width) or ["it is over"]


def _gone(what: str, name: str) -> str:
    return printable(f"no broker tells of a {what} {name} any more")


_DETAILS: Final[dict[Kind, Callable[[Net, str, int], list[str]]]] = {
    Kind.SERVICES: _service,
    Kind.BROKERS: _broker,
    Kind.CALLERS: _node,
    Kind.WORKERS: _node,
    Kind.FINDINGS: _finding,
}
