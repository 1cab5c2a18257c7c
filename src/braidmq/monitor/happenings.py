"""What has happened in a net between looks at it: who came and went, refusals, registries, findings. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from braidmq.monitor import registries
from braidmq.monitor.finding import Finding, duration, together
from braidmq.monitor.net import View, services
from braidmq.monitor.standing import Changes
from braidmq.wire.control import RefusalStatus, Report

KEPT_S: Final = 10.0
"""How long what a broker told last still counts while it tells nothing: whoever is connected there may come to others
meanwhile, and has not left."""

REFUSALS_S: Final = 60.0
"""How often refusals of one kind at one broker are told: somebody may be refused all the time."""


class Happening(NamedTuple):
    """Something that has happened.

    Attributes:
        kind: `broker-joined`, `broker-restarted`, `broker-left`, `node-joined`, `node-leaving`, `node-left`,
            `service-served`, `service-unserved`, `refused`, `registry`; of a finding its kind, which ends with
            `-over` when it is over.
        names: whom it is about.
        text: a sentence.
    """

    kind: str
    names: tuple[str, ...]
    text: str


class Happenings:
    """Compares each look with what is known of those before. The first one tells only what is found in it.

    What is remembered is what brokers told last, and so as bounded as their reports are.
    """

    def __init__(self) -> None:
        self._known: dict[str, Report] = {}
        self._told_s: dict[str, float] = {}
        self._brokers: set[str] | None = None
        self._nodes: dict[str, str] = {}
        self._served: set[str] | None = None
        self._registry = 0
        self._refusals: dict[tuple[str, str], tuple[float, int]] = {}

    def look(self, views: Sequence[View], changes: Changes, now_s: float) -> list[Happening]:
        """Take a look and what has changed of findings; return what has happened since the last one."""
        if self._brokers is None:
            found: list[Happening] = []
            if any(view.told for view in views):
                self._begin(views, now_s)
        else:
            found = [
                *self._of_brokers(views),
                *self._of_nodes(views, now_s),
                *self._of_services(views),
                *self._of_refusals(views, now_s),
                *self._of_registries(views),
            ]
        return found + _of_findings(changes)

    def _begin(self, views: Sequence[View], now_s: float) -> None:
        self._brokers = {view.info.name for view in views}
        for first in (self._of_nodes(views, now_s), self._of_services(views), self._of_registries(views)):
            found = list(first)
            assert not found, "nothing has come or gone before the first look"
        for broker, row in _refusals(views):
            self._refusals[broker, row.kind] = (now_s - REFUSALS_S, row.count)

    def _of_brokers(self, views: Sequence[View]) -> Iterator[Happening]:
        assert self._brokers is not None
        names = {view.info.name for view in views}
        for name in sorted(names - self._brokers):
            yield Happening("broker-joined", (name,), f"the broker {name} is new in the net")
        for name in sorted(self._brokers - names):
            yield Happening("broker-left", (name,), f"the broker {name} is no longer in the net")
        self._brokers = names
        for view in views:
            name, report, earlier = view.info.name, view.report, self._known.get(view.info.name)
            if view.told and report is not None and earlier is not None and report.uptime_s < earlier.uptime_s:
                yield Happening("broker-restarted", (name,), f"{name} was restarted {duration(report.uptime_s)} ago")

    def _of_nodes(self, views: Sequence[View], now_s: float) -> Iterator[Happening]:
        for view in views:
            if view.told and view.report is not None:
                self._known[view.info.name], self._told_s[view.info.name] = view.report, now_s
        for name in [name for name, told_s in self._told_s.items() if now_s - told_s > KEPT_S]:
            del self._known[name], self._told_s[name]
        reports = self._known.values()
        if any(report.nodes_total > len(report.nodes) for report in reports):
            self._nodes = {}  # who is missing in lists that are cut has not left
            return
        now: dict[str, str] = {}
        for report in reports:
            for node in report.nodes:
                if now.get(node.name) != "open":
                    now[node.name] = node.state
        before, self._nodes = self._nodes, now
        if before:
            came = sorted(now.keys() - before.keys())
            gone = sorted(before.keys() - now.keys())
            leaving = sorted(name for name in now.keys() & before.keys() if _leaves(before[name], now[name]))
            yield from _of_many("node-joined", came, "is connected", "are connected")
            yield from _of_many("node-leaving", leaving, "is about to leave", "are about to leave")
            yield from _of_many("node-left", gone, "is no longer connected", "are no longer connected")

    def _of_services(self, views: Sequence[View]) -> Iterator[Happening]:
        if not all(view.told for view in views) or any(view.services_cut for view in views):
            return  # workers may be where nothing was told
        served = {service.name for service in services(views) if service.workers}
        before, self._served = self._served, served
        if before is None:
            return
        came, gone = sorted(served - before), sorted(before - served)
        yield from _of_many("service-served", came, "has a worker", "have workers")
        yield from _of_many("service-unserved", gone, "has no worker any more", "have no workers any more")

    def _of_refusals(self, views: Sequence[View], now_s: float) -> Iterator[Happening]:
        rows = list(_refusals(views))
        silent = {view.info.name for view in views if not view.told}
        kept = {(broker, row.kind) for broker, row in rows}
        self._refusals = {key: each for key, each in self._refusals.items() if key in kept or key[0] in silent}
        for broker, row in rows:
            told_s, count = self._refusals.get((broker, row.kind), (now_s - REFUSALS_S, 0))
            if row.count < count:  # the broker was restarted
                told_s, count = now_s - REFUSALS_S, 0
            if row.count > count and now_s - told_s >= REFUSALS_S:
                yield _refused(broker, row, row.count - count)
                told_s, count = now_s, row.count
            self._refusals[broker, row.kind] = told_s, count

    def _of_registries(self, views: Sequence[View]) -> Iterator[Happening]:
        newest = registries.newest(views)
        version = 0 if newest is None else newest.version
        if version > self._registry:
            if self._registry:
                who = [each.broker for each in registries.told(views) if each.registry.version == version]
                text = f"registry {version} is in force at {together(who)}; it was {self._registry}"
                yield Happening("registry", tuple(who), text)
            self._registry = version


def _leaves(before: str, now: str) -> bool:
    return now == "leaving" and before != "leaving"


def _of_many(kind: str, names: Sequence[str], one: str, more: str) -> Iterator[Happening]:
    """Yield one happening for all names: hundreds may come or go at one time."""
    if names:
        yield Happening(kind, tuple(names), f"{together(names)} {one if len(names) == 1 else more}")


def _refusals(views: Iterable[View]) -> Iterator[tuple[str, RefusalStatus]]:
    for view in views:
        if view.told and view.report is not None:
            for row in view.report.refusals:
                yield view.info.name, row


def _refused(broker: str, row: RefusalStatus, count: int) -> Happening:
    details = ", ".join(filter(None, (row.who, row.where, row.what)))
    last = f"; the last one: {details}" if details else ""
    return Happening("refused", (broker,), f"{broker} has refused {count:,} more ({row.kind}){last}")


def _of_findings(changes: Changes) -> list[Happening]:
    ended = [Happening(f"{each.kind.value}-over", each.who, f"it is over: {each.what}") for each in changes.ended]
    return ended + [_begun(each) for each in changes.began]


def _begun(finding: Finding) -> Happening:
    return Happening(finding.kind.value, finding.who, finding.sentence)
