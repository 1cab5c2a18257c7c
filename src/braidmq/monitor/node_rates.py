"""What nodes ask for a second, by what brokers have told in two looks. Pure."""

from collections.abc import Iterable
from typing import Final, NamedTuple

from braidmq.monitor.net import View
from braidmq.monitor.rates import both
from braidmq.wire.control import Report


class NodeRate(NamedTuple):
    """What a node has asked for between two looks, a second; None where that is not known.

    Attributes:
        requests: that it has made.
        rejects: those that brokers have refused themselves.
    """

    requests: float | None = None
    rejects: float | None = None


UNASKED: Final = NodeRate()


def node_rates(views: Iterable[View], before: Iterable[View]) -> dict[str, NodeRate]:
    """Return the rates of each node over all brokers that it was connected to at both looks."""
    found: dict[str, NodeRate] = {}
    for _, report, earlier, apart_s in both(views, before):
        past = _asked(earlier)
        for name, (requests, rejects) in _asked(report).items():
            if name not in past or requests < past[name][0]:  # it is new there, or has come back
                continue
            known = found.get(name, UNASKED)
            found[name] = NodeRate(
                (known.requests or 0.0) + (requests - past[name][0]) / apart_s,
                (known.rejects or 0.0) + max(0, rejects - past[name][1]) / apart_s,
            )
    return found


def _asked(report: Report) -> dict[str, tuple[int, int]]:
    """Return how many requests each node has made, and how many were refused, over all rows of its name."""
    found: dict[str, tuple[int, int]] = {}
    for node in report.nodes:
        requests, rejects = found.get(node.name, (0, 0))
        found[node.name] = (requests + node.requests, rejects + sum(node.rejected.values()))
    return found
