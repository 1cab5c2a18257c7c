"""What of a net a command is to show: services, brokers and nodes whose names fit patterns. Pure."""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

import msgspec

from braidmq.monitor.net import View
from braidmq.wire.control import Report


class Narrowing(NamedTuple):
    """Patterns as of a shell (fnmatch), of which one must fit; none of a kind fits all.

    Attributes:
        services: of names of services. Nodes are shown that serve one of them.
        brokers: of names of brokers. What others tell is left out.
        nodes: of names of nodes. Services are shown that one of them serves.
    """

    services: tuple[str, ...] = ()
    brokers: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()

    @property
    def within_brokers(self) -> bool:
        """Whether it leaves out some of what a broker tells."""
        return bool(self.services or self.nodes)

    @property
    def narrows(self) -> bool:
        """Whether it leaves out anything."""
        return self.within_brokers or bool(self.brokers)

    def described(self) -> str:
        """Return it as the options of a command."""
        kinds = {"--service": self.services, "--broker": self.brokers, "--node": self.nodes}
        return " ".join(f"{option} {pattern!r}" for option, patterns in kinds.items() for pattern in patterns)

    def of(self, views: Sequence[View]) -> list[View]:
        """Return what is to be shown of what brokers have told."""
        shown = [view for view in views if _fits(view.info.name, self.brokers)]
        if not self.within_brokers:
            return shown
        return [view if view.report is None else view._replace(report=self._of_report(view.report)) for view in shown]

    def _of_report(self, report: Report) -> Report:
        wanted = {name for name in _served(report) if _fits(name, self.services)}
        nodes = [
            node
            for node in report.nodes
            if _fits(node.name, self.nodes) and (not self.services or not wanted.isdisjoint(node.serves))
        ]
        if self.nodes:
            wanted &= {name for node in nodes for name in node.serves}
        services = [service for service in report.services if service.name in wanted]
        return msgspec.structs.replace(
            report, nodes=nodes, nodes_total=len(nodes), services=services, services_total=len(services)
        )


def _served(report: Report) -> Iterable[str]:
    yield from (service.name for service in report.services)
    for node in report.nodes:
        yield from node.serves


def _fits(name: str, patterns: Sequence[str]) -> bool:
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)
