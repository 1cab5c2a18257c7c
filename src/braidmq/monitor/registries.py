"""What the brokers told of the registry, taken together: who has which one, what ends, tokens, who was seen. Pure."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from braidmq.bounds import DAY_S
from braidmq.monitor.net import View
from braidmq.wire.registry_status import EndStatus, RegistryStatus, SeenStatus, TokenStatus

URGENT_S: Final = DAY_S
"""How long before its end a certificate is something wrong, in seconds: who is to renew it must hurry."""


class Told(NamedTuple):
    """A broker, and what it told of the registry."""

    broker: str
    registry: RegistryStatus


def told(views: Sequence[View]) -> list[Told]:
    """Return what each broker told that told of its registry, as older ones do not."""
    return [
        Told(view.info.name, view.report.registry)
        for view in views
        if view.told and view.report is not None and view.report.registry is not None
    ]


def newest(views: Sequence[View]) -> RegistryStatus | None:
    """Return the newest registry that was told of, or None."""
    return max((each.registry for each in told(views)), key=lambda each: each.version, default=None)


def ends(views: Sequence[View]) -> list[EndStatus]:
    """Return the certificates that end soon or have ended, the earliest first, as the newest registry has them."""
    found = newest(views)
    return [] if found is None else found.ends


def ends_total(views: Sequence[View]) -> int:
    """Return how many there are: `ends` is cut if they are many."""
    found = newest(views)
    return 0 if found is None else max(found.ends_total, len(found.ends))


def tokens(views: Sequence[View]) -> list[TokenStatus]:
    """Return the tokens of the newest registry, each with the most uses that a broker knows of."""
    found = newest(views)
    used: dict[int, int] = {}
    for each in told(views):
        for token in each.registry.tokens:
            used[token.serial] = max(used.get(token.serial, 0), token.used)
    return [
        TokenStatus(each.serial, each.names, each.uses, used[each.serial], each.in_s)
        for each in (() if found is None else found.tokens)
    ]


def enrolled(views: Sequence[View]) -> list[SeenStatus]:
    """Return the members that tokens have made, by name, and when each was seen last by any broker."""
    here, found = connected(views), dict[str, SeenStatus]()
    for each in told(views):
        for row in each.registry.enrolled:
            known = found.get(row.name)
            ago_s = 0 if row.name in here else row.ago_s if known is None else min(row.ago_s, known.ago_s)
            found[row.name] = SeenStatus(row.name, ago_s, row.token)
    return [found[name] for name in sorted(found)]


def enrolled_total(views: Sequence[View]) -> int:
    """Return how many there are: `enrolled` is cut if they are many."""
    return max((each.registry.enrolled_total for each in told(views)), default=0)


def connected(views: Sequence[View]) -> set[str]:
    """Return the members that are there: nodes that have a session, and brokers that answer or are alive."""
    found: set[str] = set()
    for view in views:
        if view.report is not None and view.told:
            found.add(view.info.name)
            found.update(node.name for node in view.report.nodes)
            found.update(row.name for row in view.report.brokers if row.state == "alive")
    return found


def last_seen(views: Sequence[View]) -> dict[str, int]:
    """Return how many seconds ago members were seen by any broker; 0 for those that are there."""
    found: dict[str, int] = {}
    for each in told(views):
        for row in (*each.registry.seen, *each.registry.enrolled):
            found[row.name] = min(row.ago_s, found.get(row.name, row.ago_s))
    return found | dict.fromkeys(connected(views), 0)
