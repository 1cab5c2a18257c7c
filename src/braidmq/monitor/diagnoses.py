"""What is wrong in a net, and whether it is well: reports of its brokers in, findings out. Pure.

`diagnose` takes one look at the net, or two that are a moment apart: what is counted since the start of a broker says
only by two looks what happens now. finding.py has the table of all kinds.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from braidmq.monitor import about_brokers, about_load, about_registry, about_workers
from braidmq.monitor.finding import Finding, Kind, listed
from braidmq.monitor.net import View, nodes, services
from braidmq.printable import printable

NAMED_MAX: Final = 3
"""Findings that fit into the sentence of health."""

_ORDER: Final = {kind: place for place, kind in enumerate(Kind)}

_BY_ONE_LOOK: Final[tuple[Callable[[Sequence[View]], Iterator[Finding]], ...]] = (
    about_brokers.nobody,
    about_brokers.lost_brokers,
    about_brokers.apart,
    about_brokers.stopping,
    about_brokers.started,
    about_brokers.twins,
    about_brokers.slow,
    about_brokers.faulty,
    about_workers.silent_nodes,
    about_workers.lost_workers,
    about_workers.taken_out,
    about_load.unserved,
    about_load.refusals,
    about_registry.older,
    about_registry.forks,
    about_registry.clocks,
    about_registry.ends,
)


def diagnose(views: Sequence[View], before: Sequence[View] = (), apart_s: float = 0.0) -> list[Finding]:
    """Return what is found, the worst first; nothing if the net is well.

    Args:
        views: the brokers, and what those that answer have told.
        before: the same at an earlier look, or nothing.
        apart_s: how many seconds lie between the two.
    """
    found = [finding for look in _BY_ONE_LOOK for finding in look(views)]
    found += about_load.overload(views, before, apart_s)
    return sorted(found, key=lambda finding: _ORDER[finding.kind])


def is_well(findings: Iterable[Finding]) -> bool:
    """Whether nothing that was found is wrong."""
    return not any(finding.wrong for finding in findings)


def health(views: Sequence[View], findings: Sequence[Finding]) -> str:
    """Return one sentence that says how the net is."""
    told = [view.info.name for view in views if view.told]
    if not told:
        return "no broker tells its state"
    wrong = [finding.what for finding in findings if finding.wrong]
    if wrong:
        more = f"; and {len(wrong) - NAMED_MAX:,} more" if len(wrong) > NAMED_MAX else ""
        first = "something is wrong" if len(wrong) == 1 else f"{len(wrong):,} things are wrong"
        return printable(f"{first}: {'; '.join(wrong[:NAMED_MAX])}{more}")
    of = "" if len(told) == len(views) else f" of {len(views):,}"
    counts = [
        f"{len(told):,}{of} broker{'' if len(told) == 1 and not of else 's'} ({listed(told)})",
        _count(_nodes_total(views), "node"),
        _count(_services_total(views), "service"),
    ]
    notes = f"; {_count(len(findings), 'thing')} to note" if findings else ""
    return printable(f"all is well: {', '.join(counts)}{notes}")


def _nodes_total(views: Sequence[View]) -> int:
    """Return how many nodes there are by their names; where lists are cut, as many as one broker has sessions."""
    cut = [view.report.nodes_total for view in views if view.report is not None and view.nodes_cut > 0]
    return max(len(nodes(views)), *cut) if cut else len(nodes(views))


def _services_total(views: Sequence[View]) -> int:
    cut = [view.report.services_total for view in views if view.report is not None and view.services_cut > 0]
    return max(len(services(views)), *cut) if cut else len(services(views))


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
