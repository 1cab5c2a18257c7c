"""Who has another registry, whose clock is off, whose certificate ends, as brokers tell. Pure."""

from collections.abc import Iterator, Sequence

from braidmq.core.registry.clocks import OFF_S_MAX
from braidmq.monitor import registries
from braidmq.monitor.finding import NAMES_MAX, Finding, Kind, duration, together
from braidmq.monitor.net import View
from braidmq.monitor.registries import URGENT_S
from braidmq.wire.registry_status import EndStatus


def older(views: Sequence[View]) -> Iterator[Finding]:
    """Find brokers that go by an older registry than others."""
    newest = registries.newest(views)
    if newest is None:
        return
    behind: dict[int, list[str]] = {}
    for each in registries.told(views):
        if each.registry.version < newest.version:
            behind.setdefault(each.registry.version, []).append(each.broker)
    for version, names in sorted(behind.items()):
        have = "has" if len(names) == 1 else "have"
        what = f"{together(names)} {have} registry {version}, which is older than registry {newest.version}"
        yield Finding(Kind.REGISTRY_OLD, tuple(names), what)


def forks(views: Sequence[View]) -> Iterator[Finding]:
    """Find brokers that have different registries of one number."""
    digests: dict[int, dict[str, list[str]]] = {}
    for each in registries.told(views):
        digests.setdefault(each.registry.version, {}).setdefault(each.registry.digest, []).append(each.broker)
    for version, holders in sorted(digests.items()):
        if len(holders) > 1:
            sides = " and ".join(together(names) for names in holders.values())
            who = tuple(sorted(name for names in holders.values() for name in names))
            what = f"{sides} have different registries of the number {version}"
            why = "the authority's directory was restored from a backup, or there are two of them"
            yield Finding(Kind.REGISTRY_FORK, who, what, why)


def clocks(views: Sequence[View]) -> Iterator[Finding]:
    """Find brokers whose machines have a clock that is wrong.

    The net goes by the median, from which no majority can differ: if it does, clocks were just set, and have not been
    told to all yet.
    """
    told = registries.told(views)
    off = [each for each in told if abs(each.registry.clock_off_s) > OFF_S_MAX]
    if len(off) > len(told) / 2:
        return
    for each in off:
        off_s = each.registry.clock_off_s
        way = "ahead of" if off_s > 0 else "behind"
        what = f"the clock of {each.broker} is {abs(off_s):,} s {way} that of the net"
        yield Finding(Kind.CLOCK, (each.broker,), what)


def ends(views: Sequence[View]) -> Iterator[Finding]:
    """Find certificates that have ended or end soon."""
    rows: dict[Kind, list[EndStatus]] = {}
    for each in registries.ends(views):
        kind = Kind.CERTIFICATE_ENDED if each.in_s <= 0 else Kind.CERTIFICATE_SOON
        if 0 < each.in_s <= URGENT_S:
            kind = Kind.CERTIFICATE_ENDS
        rows.setdefault(kind, []).append(each)
    cut = max(0, registries.ends_total(views) - sum(map(len, rows.values())))
    for kind, found in rows.items():
        total = len(found) + (cut if kind is list(rows)[-1] else 0)  # they are sorted: the latest are missing
        since_s = float(-found[0].in_s) if kind is Kind.CERTIFICATE_ENDED else None
        yield Finding(kind, tuple(each.name for each in found), _told(kind, found, total), since_s=since_s)


def _told(kind: Kind, found: Sequence[EndStatus], total: int) -> str:
    ended = kind is Kind.CERTIFICATE_ENDED
    times = [f"{duration(-each.in_s)} ago" if ended else f"in {duration(each.in_s)}" for each in found]
    if total == 1:
        return f"the certificate of {found[0].name} {'has ended' if ended else 'ends'} {times[0]}"
    named = [f"{each.name} {time}" for each, time in zip(found, times, strict=True)]
    more = f" and {total - NAMES_MAX:,} more" if total > NAMES_MAX else ""
    return f"certificates {'have ended' if ended else 'end'}: {', '.join(named[:NAMES_MAX])}{more}"
