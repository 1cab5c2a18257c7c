"""What is wrong in a net, as its brokers tell it: a line for each thing. Pure."""

from collections.abc import Sequence

from braidmq.cli import status_registry
from braidmq.cli.status_net import Seen, View, disagreements, opinions, seen_by, unlinked
from braidmq.cli.status_registry import URGENT_S


def is_well(views: Sequence[View]) -> bool:
    """Whether nothing is wrong: the exit code of `braidmq status` says so."""
    urgent = any(each.in_s <= URGENT_S for each in status_registry.ends(views))
    return not (urgent or disagreements(views) or problems(views, seen_by(views)))


def problems(views: Sequence[View], seen: Seen) -> list[str]:
    """Return a line for each broker that told nothing or has a twin, each connection that is not up, and so on.

    What brokers do not agree on, and certificates that end, have lines of their own.
    """
    found = [
        f"{' at '.join(filter(None, (view.info.name, ' '.join(view.info.endpoints))))}: {view.problem}"
        for view in views
        if not view.told and not _is_elsewhere(view, seen)
    ]
    found += [
        f"{view.info.name}: another process runs with its join file; stop one of the two"
        for view in views
        if view.report is not None and view.report.counters.get("twins")
    ]
    return [*found, *unlinked(seen), *status_registry.troubles(views)]


def _is_elsewhere(view: View, seen: Seen) -> bool:
    """Whether a broker was not asked, as this node is not connected to all of a large net; the others say it lives."""
    asked = view.info.state != "waiting" or bool(view.info.problem)
    return not asked and list(opinions(seen, view.info.name)) == ["alive"]
