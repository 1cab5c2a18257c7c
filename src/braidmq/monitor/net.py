"""What the brokers told, taken together: who sees whom how, whether they agree, and sums over the whole net. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple, Self

from msgspec import structs

from braidmq.core.histogram import Histogram
from braidmq.monitor.finding import listed
from braidmq.node import BrokerInfo
from braidmq.wire.control import BridgeStatus, NodeStatus, PeerStatus, Report, ServiceStatus

HEARSAY: Final = "unknown"
"""The link to a broker that this node does not know itself: others told of it."""

ABSENT: Final = ("dead", "unknown")
"""How a broker is seen that is not in the net. A dead one becomes unknown by and by, and at no common moment."""

STATES: Final = ("dead", "unknown", "suspect", "leaving", "alive")
"""How a broker may be seen, the worst first."""

Seen = Mapping[str, Mapping[str, PeerStatus]]
"""The rows of each broker that told its state, by their names."""


class View(NamedTuple):
    """A broker as this node knows it, and what it told, if it told anything.

    Attributes:
        untold_s: for how long it has told nothing, from look to look; 0 at the first look.
    """

    info: BrokerInfo
    report: Report | None
    untold_s: float = 0.0

    @property
    def told(self) -> bool:
        """Whether the broker told its state."""
        return self.report is not None and not self.report.denied

    @property
    def problem(self) -> str:
        """Why it did not; empty if it did."""
        if self.report is not None:
            return "this node may not observe it" if self.report.denied else ""
        if self.info.problem:
            return self.info.problem
        if self.info.state == HEARSAY:
            return "only other brokers know of it"
        return "no connection yet" if self.info.state in ("waiting", "connecting") else "it does not answer"

    @property
    def services_cut(self) -> int:
        """How many services are missing in its list, which was too long."""
        return self.report.services_total - len(self.report.services) if self.report is not None else 0

    @property
    def nodes_cut(self) -> int:
        """The same of the nodes."""
        return self.report.nodes_total - len(self.report.nodes) if self.report is not None else 0


class ServiceSum(NamedTuple):
    """A service over the whole net.

    Attributes:
        name: of the service.
        workers: how many nodes serve it, each counted once at however many brokers it is.
        parts: what each broker told of it.
    """

    name: str
    workers: int
    parts: dict[str, ServiceStatus]

    @property
    def credit(self) -> int:
        """How many requests its workers take at once, over all brokers."""
        return sum(part.credit for part in self.parts.values())

    @property
    def outstanding(self) -> int:
        """Requests that are with the workers."""
        return sum(part.outstanding for part in self.parts.values())

    @property
    def queued(self) -> int:
        """Requests that wait for a worker."""
        return sum(part.queued for part in self.parts.values())

    @property
    def replies(self) -> int:
        """Requests that were answered since the brokers have known the service."""
        return sum(part.replies for part in self.parts.values())

    @property
    def took(self) -> Histogram:
        """How long these have taken, as far as brokers have told."""
        return Histogram().merge(Histogram.of(part.took) for part in self.parts.values())


class NodeSum(NamedTuple):
    """A node over the whole net; what each broker told of it, once for each of its connections there."""

    name: str
    parts: list[tuple[str, NodeStatus]]

    @property
    def brokers(self) -> list[str]:
        """Where it is connected."""
        return list(dict.fromkeys(broker for broker, _ in self.parts))

    @property
    def in_flight(self) -> int:
        """Its requests that await an answer."""
        return sum(part.in_flight for _, part in self.parts)

    @property
    def requests(self) -> int:
        """How many it has made; a broker counts anew when all its connections there have ended."""
        return sum(part.requests for _, part in self.parts)

    @property
    def request_bytes(self) -> int:
        """Their size."""
        return sum(part.request_bytes for _, part in self.parts)

    @property
    def rejected(self) -> dict[str, int]:
        """How many of them brokers have refused, by reason."""
        found: Counter[str] = Counter()
        for _, part in self.parts:
            found.update(part.rejected)
        return dict(found)

    @property
    def silent_ms(self) -> int:
        """The longest silence."""
        return max(part.silent_ms for _, part in self.parts)

    @property
    def out_at(self) -> dict[str, NodeStatus]:
        """Where it gets no new work, as an operator has taken it out."""
        return {broker: part for broker, part in self.parts if part.out_by}

    @property
    def serves(self) -> list[str]:
        """The services that it is a worker for."""
        return sorted({service for _, part in self.parts for service in part.serves})

    @property
    def bridge(self) -> BridgeStatus | None:
        """What it tells of itself if it is a bridge; of what it told several brokers the newest."""
        told = [part.bridge for _, part in self.parts if part.bridge is not None]
        return max(told, key=lambda each: (each.requests, each.dropped), default=None)

    @property
    def state(self) -> str:
        """Its state, with the brokers at which it has it if it is not the same at all of them."""
        states: dict[str, dict[str, None]] = {}
        for broker, part in self.parts:
            state = f"{part.state}, out" if part.out_by else part.state
            states.setdefault(state, {})[broker] = None
        if len(states) == 1:
            return next(iter(states))
        return ", ".join(f"{state} at {listed(list(brokers))}" for state, brokers in states.items())


_Rows = list[tuple[str, list[ServiceStatus]]]


class Views(tuple[View, ...]):  # noqa: SLOT001 - a tuple can have no slots
    """The brokers of a look, by name. What they told of services and nodes is added up once for all who need it.

    Attributes:
        services: the services of the whole net by name.
        nodes: the nodes of the whole net by name.
        rows: what each broker told of services.
        serving: the services that it named for each node.
        waits: whether any request waits for a worker.

    Args:
        views: the brokers.
        earlier: those of the look before. Rows in which the same stands as then are the same objects, and so is what
            was added up of them; so it costs little that most of a net does not change from one look to the next.
    """

    services: Sequence[ServiceSum]
    nodes: Sequence[NodeSum]
    rows: _Rows
    serving: list[tuple[str, list[str]]]
    waits: bool

    def __new__(cls, views: Iterable[View], earlier: Sequence[View] = ()) -> Self:
        """Take over what has not changed, and add up."""
        known = {view.info.name: view.report for view in earlier}
        self = super().__new__(cls, [_with_known_rows(view, known.get(view.info.name)) for view in views])
        self.rows = [(view.info.name, view.report.services) for view in self if view.report is not None]
        self.serving = [(node.name, node.serves) for view in self if view.report for node in view.report.nodes]
        before = earlier if isinstance(earlier, Views) else None
        if before is not None and self.serving == before.serving and _are_same(self.rows, before.rows):
            self.services, self.waits = before.services, before.waits
        else:
            self.services = _services(self, () if before is None else before.services)
            self.waits = _waits(self)
        self.nodes = _nodes(self)
        return self


def _are_same(rows: _Rows, before: _Rows) -> bool:
    """Whether the same brokers have told the same rows."""
    return len(rows) == len(before) and all(
        broker == other and told is known for (broker, told), (other, known) in zip(rows, before, strict=True)
    )


def _with_known_rows(view: View, known: Report | None) -> View:
    """Return a view in which the rows of services that are those of an earlier report are the same objects."""
    report = view.report
    if report is None or known is None or not report.services:
        return view
    if report.services == known.services:
        rows = known.services
    else:
        before = {row.name: row for row in known.services}
        rows = [each if (row := before.get(each.name)) is None or row != each else row for each in report.services]
    return view._replace(report=structs.replace(report, services=rows))


def complete(views: Sequence[View]) -> list[View]:
    """Return the views by name, with those brokers that only others know of."""
    known = {view.info.name: view for view in views}
    for rows in seen_by(views).values():
        for name in rows:
            known.setdefault(name, View(BrokerInfo(name, (), HEARSAY, None), None))
    return [known[name] for name in sorted(known)]


def timed(views: Sequence[View], earlier: Sequence[View], apart_s: float) -> Views:
    """Return the views with how long each broker has told nothing, by those of so many seconds ago."""
    untold_s = {view.info.name: view.untold_s for view in earlier if not view.told}
    return Views((
        view if view.told or view.info.name not in untold_s
        else view._replace(untold_s=untold_s[view.info.name] + apart_s)
        for view in views
    ), earlier)  # fmt: skip


def seen_by(views: Iterable[View]) -> Seen:
    """Return how each broker that told its state sees the brokers, itself included."""
    return {
        view.info.name: {row.name: row for row in view.report.brokers}
        for view in views
        if view.report is not None and view.told
    }


def is_elsewhere(view: View, seen: Seen) -> bool:
    """Whether a broker was not asked, as this node is not connected to all of a large net; the others say it lives."""
    asked = view.info.state != "waiting" or bool(view.info.problem)
    return not asked and list(opinions(seen, view.info.name)) == ["alive"]


def state_to(rows: Mapping[str, PeerStatus], name: str) -> str:
    """Return the state of the broker `name` in the rows of one that may not know it."""
    row = rows.get(name)
    return "unknown" if row is None else row.state


def opinions(seen: Seen, name: str) -> dict[str, list[str]]:
    """Return by state who sees the broker `name` in it, the worst state first."""
    found: dict[str, list[str]] = {}
    for broker, rows in seen.items():
        found.setdefault(state_to(rows, name), []).append(broker)
    return {state: found[state] for state in sorted(found, key=_badness)}


def disagreements(views: Sequence[View]) -> list[str]:
    """Return for each broker of which the others do not hold the same how each of them sees it.

    Only who told its state counts. To be dead and to be unknown is the same: it is not in the net.
    """
    seen = seen_by(views)
    names = sorted({name for rows in seen.values() for name in rows})
    every = {name: opinions(seen, name) for name in names}
    return [
        f"{name} is " + told_apart(found)
        for name, found in every.items()
        if len({"dead" if state in ABSENT else state for state in found}) > 1
    ]


def agree(views: Sequence[View]) -> bool:
    """Whether any broker told its state, and all that did name the same brokers in the same states."""
    return any(view.told for view in views) and not disagreements(views)


def told_apart(found: Mapping[str, Sequence[str]]) -> str:
    """Return opinions as text: dead to b1, alive to b2."""
    return ", ".join(f"{state} to {listed(brokers)}" for state, brokers in found.items())


def services(views: Iterable[View]) -> Sequence[ServiceSum]:
    """Return the services of the whole net by name."""
    return views.services if isinstance(views, Views) else _services(views, ())


def nodes(views: Iterable[View]) -> Sequence[NodeSum]:
    """Return the nodes of the whole net by name."""
    return views.nodes if isinstance(views, Views) else _nodes(views)


def waits(views: Iterable[View]) -> bool:
    """Whether any request waits for a worker."""
    return views.waits if isinstance(views, Views) else _waits(views)


def _waits(views: Iterable[View]) -> bool:
    return any(each.queued for view in views if view.report is not None for each in view.report.services)


def _services(views: Iterable[View], earlier: Sequence[ServiceSum]) -> Sequence[ServiceSum]:
    """Add up the services; where nothing has changed of one it is the same object as in `earlier`."""
    parts: dict[str, dict[str, ServiceStatus]] = {}
    workers: dict[str, set[str]] = {}
    for view in views:
        if view.report is None:
            continue
        broker = view.info.name
        for service in view.report.services:
            name = service.name
            if name in parts:
                parts[name][broker] = service
            else:
                parts[name] = {broker: service}
        for node in view.report.nodes:
            for name in node.serves:
                if name in workers:
                    workers[name].add(node.name)
                else:
                    workers[name] = {node.name}
    known = {service.name: service for service in earlier}
    return [_service(name, parts[name], len(workers.get(name, ())), known.get(name)) for name in sorted(parts)]


def _service(name: str, parts: dict[str, ServiceStatus], workers: int, known: ServiceSum | None) -> ServiceSum:
    # Processes that share a join file are one name, and long lists of nodes are cut: then one broker knows better.
    for part in parts.values():
        if part.workers > workers:
            workers = part.workers
    same = (
        known is not None
        and known.workers == workers
        and len(known.parts) == len(parts)
        and all(known.parts.get(broker) is part for broker, part in parts.items())
    )
    return known if same and known is not None else ServiceSum(name, workers, parts)


def _nodes(views: Iterable[View]) -> Sequence[NodeSum]:
    found: dict[str, NodeSum] = {}
    for view in views:
        if view.report is not None:
            broker = view.info.name
            for node in view.report.nodes:
                name = node.name
                if name not in found:
                    found[name] = NodeSum(name, [])
                found[name].parts.append((broker, node))
    return [found[name] for name in sorted(found)]


def _badness(state: str) -> int:
    return STATES.index(state) if state in STATES else len(STATES)
