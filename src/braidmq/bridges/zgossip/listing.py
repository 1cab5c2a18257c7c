"""Who is connected to the brokers of a net, as they report it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol


class Named(Protocol):
    """A row about a node."""

    @property
    def name(self) -> str:
        """Its name."""


class Stated(Named, Protocol):
    """A row about a broker."""

    @property
    def state(self) -> str:
        """How it stands."""


class Report(Protocol):
    """What a broker reports, as far as it matters here."""

    @property
    def denied(self) -> bool:
        """It reports nothing to this member."""

    @property
    def nodes(self) -> Sequence[Named]:
        """Nodes that are connected to it, as many as fit."""

    @property
    def nodes_total(self) -> int:
        """How many there are."""

    @property
    def brokers(self) -> Iterable[Stated]:
        """The brokers of the net."""


def listed(reports: Mapping[str, Report]) -> frozenset[str] | None:
    """Return all nodes that any broker lists; None if a broker that may live has not told all of its."""
    names: set[str] = set()
    for report in reports.values():
        if report.denied or report.nodes_total > len(report.nodes):
            return None
        if any(row.name not in reports and row.state not in ("dead", "unknown") for row in report.brokers):
            return None
        names.update(row.name for row in report.nodes)
    return frozenset(names) if reports else None
