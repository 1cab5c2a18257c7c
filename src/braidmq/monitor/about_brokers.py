"""Which brokers are gone, hang, stop, are cut off or slow, as they and others tell. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from braidmq.core.links.link import ABANDONED, FINAL, Failure, LinkState
from braidmq.monitor.finding import Finding, Kind, duration, lasting, listed, together
from braidmq.monitor.net import ABSENT, HEARSAY, Seen, View, is_elsewhere, seen_by, state_to
from braidmq.wire.control import PeerStatus

NEW_S: Final = 10.0
"""How long a broker is one that was just started."""

BACK_S: Final = 6.0
"""How long a broker may be back until whoever looks has to reach it: the longest pause between two attempts is
`reconnect_s_max`, 5 s by default."""

HEARD_MS: Final = 500
"""How long ago others have heard a broker that does not just seem up because they do not miss it yet. Whoever misses it
has heard nothing for `suspect_after_s`, and it says something each `heartbeat_s`: so it is gone for as long as one is
more than the other, 0.5 s by default."""

LATE_S_MAX: Final = 5.0
"""How long a broker may be late to tell its state while others hear it: a moment in which it is busy has passed by
then."""

FLAPPING_S: Final = 60.0
"""A broker that runs for longer does not flap: its former lives are forgotten by then, too."""

LIVES_MIN: Final = 5
"""The incarnation from which on it does. A life that ends without a goodbye raises it by one, one that ends in order by
two, and a refuted suspicion by one."""

SLOW_MS: Final = 150
"""A probe that takes longer there and back is no longer one between machines that are near, and loaded as usual; one of
whose packets is lost takes 200 ms."""

STALLS_MIN: Final = 3
"""How often a broker has to stand still within ten seconds: once or twice may be a machine that was away."""

UNWELL: Final = 2
"""What a broker thinks of its own health (SWIM, 0 is well) that is more than one probe that nobody has answered."""

_REFUSING: Final = (
    FINAL
    | (ABANDONED - {Failure.SILENT, Failure.HUNG})
    | {
        Failure.FOREIGN, Failure.HTTP, Failure.BARRED, Failure.THRONG, Failure.UNJUDGED, Failure.NOT_THIS_BROKER,
        Failure.SESSION_REFUSED, Failure.NO_ROOM,
    }
)  # fmt: skip
"""Failures that are told as they are: something is there, and it is not the silence of a broker."""

_MET: Final = "no connection yet: it takes connections"
"""How the problem of a connection begins on which something takes connections, and nothing was said yet (link.py)."""

_MISSED: Final = frozenset((Failure.SILENT, Failure.HUNG))
"""Failures of connections that were given up for silence."""

_FAILURES: Final = {failure.value: failure for failure in Failure}


_HOW: Final = {
    Kind.BROKER_DEAD: ("is dead", "are dead"),
    Kind.BROKER_HANGS: ("hangs", "hang"),
    Kind.BROKER_SILENT: ("is silent", "are silent"),
    Kind.BROKER_REFUSES: ("refuses", "refuse"),
}
"""How it is told of one broker, and of several, what has befallen them."""


def nobody(views: Sequence[View]) -> Iterator[Finding]:
    """Find that not one broker tells its state, and say of each what shows of it from here."""
    if not views or any(view.report is not None for view in views):
        return
    how: dict[Kind, list[str]] = {}
    for view in views:
        refuses = _FAILURES.get(view.problem) in _REFUSING
        kind = Kind.BROKER_REFUSES if refuses else _kind_of_loss(view.problem, ())
        how.setdefault(kind, []).append(view.info.name)
    said = [f"{together(names)} {_HOW[kind][len(names) > 1]}" for kind, names in how.items()]
    problems = listed([f"{view.info.name}: {view.problem}{_at(view)}" for view in views])
    who = tuple(view.info.name for view in views)
    yield Finding(Kind.NO_BROKER, who, f"no broker answers: {', '.join(said)}", problems)


def lost_brokers(views: Iterable[View]) -> Iterator[Finding]:
    """Find the brokers that do not tell their state, and say why, as far as that shows."""
    views = list(views)
    seen = seen_by(views)
    if not seen:
        return
    for view in views:
        if not view.told and not is_elsewhere(view, seen):
            yield _lost(view, seen)


def _lost(view: View, seen: Seen) -> Finding:
    name, at = view.info.name, _at(view)
    rows = {broker: held[name] for broker, held in seen.items() if name in held}
    since_s = _since_s(rows.values())
    alive = [broker for broker, row in rows.items() if row.state == "alive" and row.link == LinkState.UP]
    failure = _FAILURES.get(view.problem)
    just_missed = failure in _MISSED or view.info.problem is None
    lately = [broker for broker in alive if rows[broker].silent_ms <= HEARD_MS]
    heard = lately if just_missed else alive
    held = _held(seen, name)
    if view.report is not None or failure in _REFUSING:
        return Finding(Kind.BROKER_REFUSES, (name,), f"{name} does not tell its state", f"{view.problem}{at}{held}")
    if any(row.left for row in rows.values()):
        what = f"{name} was stopped" + ("" if since_s is None else f" {duration(since_s)} ago")
        return Finding(Kind.BROKER_STOPPED, (name,), what, f"it had drained, and {view.problem}{at}", since_s)
    if any(row.state == "leaving" for row in rows.values()):
        return Finding(Kind.BROKER_DRAINS, (name,), f"{name} is about to stop", f"{view.problem}{at}", since_s)
    if failure is Failure.EARLY:
        return Finding(Kind.BROKER_NEW, (name,), f"{name} was just started", f"{view.problem}{at}")
    if view.info.state == "up" and lately:
        why = f"{together(lately)} {'hears' if len(lately) == 1 else 'hear'} it{at}"
        if view.untold_s > LATE_S_MAX:
            what = f"{name} does not tell its state{lasting(view.untold_s)}"
            return Finding(Kind.BROKER_REFUSES, (name,), what, why, view.untold_s)
        return Finding(Kind.SLOW, (name,), f"{name} is late to tell its state", why)
    kind = _kind_of_loss(view.problem, rows.values())
    if heard and view.info.state != "up" and kind in (Kind.BROKER_DEAD, Kind.BROKER_SILENT):
        why = f"{view.problem}{at}; {together(heard)} {'reaches' if len(heard) == 1 else 'reach'} it"
        back_s = max(rows[broker].since_ms for broker in heard) / 1000
        if view.info.problem and back_s < BACK_S:  # what was tried before it was back says nothing
            return Finding(
                Kind.BROKER_NEW, (name,), f"{name} is back{lasting(back_s)}", f"not reached yet: {why}", back_s
            )
        return Finding(Kind.BROKER_UNREACHED, (name,), f"{name} is not reached from here", why)
    others = f"; {together(list(seen))} {'goes' if len(seen) == 1 else 'go'} on without it"
    what = f"{name} {_HOW[kind][0]}{lasting(since_s)}"
    return Finding(kind, (name,), what, f"{view.problem}{at}{held}{'' if alive else others}", since_s)


def _kind_of_loss(problem: str, rows: Iterable[PeerStatus]) -> Kind:
    """Return what has befallen a broker, by what those have met that tried to connect to it."""
    problems = [problem, *(row.problem for row in rows if row.state != "alive" or row.link != LinkState.UP)]
    failures = {_FAILURES.get(each) for each in problems}
    if failures & {Failure.UNREACHABLE, Failure.RESET}:
        return Kind.BROKER_DEAD
    if failures & {Failure.MUTE, Failure.HUNG} or any(each.startswith(_MET) for each in problems):
        return Kind.BROKER_HANGS
    return Kind.BROKER_DEAD if Failure.CLOSED in failures else Kind.BROKER_SILENT


def _since_s(rows: Iterable[PeerStatus]) -> float | None:
    """Return for how long at least somebody has seen that a broker is not well; None if nobody does."""
    return max((row.since_ms / 1000 for row in rows if row.state not in ("alive", HEARSAY)), default=None)


def _at(view: View) -> str:
    return f" ({' '.join(view.info.endpoints)})" if view.info.endpoints else ""


def _held(seen: Seen, name: str) -> str:
    """Return who takes it for dead, if not all agree."""
    dead = [broker for broker, rows in seen.items() if state_to(rows, name) in ABSENT]
    if not dead or len(dead) == len(seen):
        return ""
    return f"; it is dead to {listed(dead)}"


class _Gap(NamedTuple):
    """What keeps one broker from another, or from seeing it alive although they are connected."""

    problem: str
    since_s: float | None
    linked: bool = False


def apart(views: Iterable[View]) -> Iterator[Finding]:
    """Find brokers that answer, and do not reach each other or do not see each other alive."""
    of: dict[str, dict[tuple[str, str], _Gap]] = {}
    for pair, gap in _gaps(seen_by(views)).items():
        for side in pair:
            of.setdefault(side, {})[pair] = gap
    while of:
        name = max(sorted(of), key=lambda side: len(of[side]))
        found = of.pop(name)
        others = sorted({other for pair in found for other in pair if other != name})
        for pair in found:
            here, there = pair
            other = there if here == name else here
            del of[other][pair]
            if not of[other]:
                del of[other]
        problems = [f"{here} to {there}: {gap.problem}" for (here, there), gap in sorted(found.items())]
        since_s = max((gap.since_s for gap in found.values() if gap.since_s is not None), default=None)
        if all(gap.linked for gap in found.values()):
            what = f"the brokers do not agree on {name}{lasting(since_s)}"
        elif len(others) == 1:
            what = f"{name} and {others[0]} are cut off from each other{lasting(since_s)}"
        else:
            what = f"{name} is cut off from {together(others)}{lasting(since_s)}"
        yield Finding(Kind.BROKERS_APART, (name, *others), what, listed(problems), since_s)


def _gaps(seen: Seen) -> dict[tuple[str, str], _Gap]:
    """Return by direction what is not as it should be between two brokers that told their state."""
    found: dict[tuple[str, str], _Gap] = {}
    stopping = {name for name in seen if any(state_to(rows, name) == "leaving" for rows in seen.values())}
    for here, rows in seen.items():
        for there in seen:
            row = rows.get(there)
            if there == here or here in stopping or there in stopping:
                continue
            if row is None:
                found[here, there] = _Gap("it does not know it", None)
            elif row.link != LinkState.UP:
                since_s = None if row.state == "alive" else row.since_ms / 1000
                found[here, there] = _Gap(row.problem or f"its connection is {row.link}", since_s)
            elif row.state != "alive":
                found[here, there] = _Gap(f"it takes it for {row.state}", row.since_ms / 1000, linked=True)
    return found


def stopping(views: Iterable[View]) -> Iterator[Finding]:
    """Find the brokers that answer, and are about to stop."""
    for view in views:
        if view.report is not None and view.told and view.report.state == "draining":
            name, own = view.info.name, _own_row(view)
            since_s = own.since_ms / 1000 if own is not None and own.state == "leaving" else None
            left = sum(node.in_flight for node in view.report.nodes)
            requests = f"{left:,} requests are with it" if left else "nothing is left to do there"
            yield Finding(Kind.BROKER_DRAINS, (name,), f"{name} is about to stop{lasting(since_s)}", requests, since_s)


def started(views: Iterable[View]) -> Iterator[Finding]:
    """Find the brokers that were just started, or are started again and again."""
    up = {view.info.name: view.report.uptime_s for view in views if view.report is not None and view.told}
    for view in views:
        own = _own_row(view)
        uptime_s = up.get(view.info.name)
        if uptime_s is None or own is None:
            continue
        name, since = view.info.name, f"{duration(uptime_s)} ago"
        if own.incarnation >= LIVES_MIN and uptime_s < FLAPPING_S:
            what = f"{name} is restarted again and again"
            yield Finding(Kind.BROKER_FLAPS, (name,), what, f"it was started {since}, and has just died before")
        elif uptime_s < NEW_S <= max(up.values()) - uptime_s:
            yield Finding(Kind.BROKER_NEW, (name,), f"{name} was started {since}", since_s=uptime_s)


def twins(views: Iterable[View]) -> Iterator[Finding]:
    """Find the brokers of which two processes run."""
    for name, count in _counter(views, "twins").items():
        if count:
            yield Finding(Kind.TWIN, (name,), f"another process runs with the join file of {name}")


def slow(views: Iterable[View]) -> Iterator[Finding]:
    """Find brokers that stand still, ways on which answers are late, and brokers that do not hear others in time."""
    views = list(views)
    still = set()
    for view in views:
        lag = view.report.lag if view.report is not None and view.told else None
        if lag is not None and lag.recent >= STALLS_MIN:
            name = view.info.name
            still.add(name)
            why = f"{lag.recent} times within ten seconds, for up to {lag.worst_ms:,} ms"
            yield Finding(Kind.SLOW, (name,), f"{name} stands still again and again", why)
    late: dict[str, dict[str, int]] = {}
    for here, rows in seen_by(views).items():
        for there, row in rows.items():
            if row.link == LinkState.UP and row.rtt_ms >= SLOW_MS:
                late.setdefault(there, {})[here] = row.rtt_ms
    for name, times in sorted(late.items()):
        told = listed([f"{ms:,} ms to {here}" for here, ms in sorted(times.items())])
        if name not in still:
            yield Finding(Kind.SLOW, (name,), f"answers of {name} are late", told)
    for name, health in _counter(views, "gossip_health").items():
        if health >= UNWELL and name not in late and name not in still:
            yield Finding(Kind.SLOW, (name,), f"{name} does not hear the other brokers in time")


def faulty(views: Iterable[View]) -> Iterator[Finding]:
    """Find brokers that count what never should be."""
    views = list(views)
    for name, count in _counter(views, "faults").items():
        if count:
            yield Finding(Kind.FAULTS, (name,), f"{name} has met {count:,} errors of its own")
    for name, count in _counter(views, "forged").items():
        if count:
            yield Finding(Kind.FORGED, (name,), f"{name} has got {count:,} frames with a forged key")


def _counter(views: Iterable[View], name: str) -> Mapping[str, int]:
    return {
        view.info.name: view.report.counters.get(name, 0) for view in views if view.report is not None and view.told
    }


def _own_row(view: View) -> PeerStatus | None:
    rows = view.report.brokers if view.report is not None and view.told else ()
    return next((row for row in rows if row.name == view.info.name), None)
