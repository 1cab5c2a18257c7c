"""The simulated net: its processes, and what can be asked of all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import permutations
from typing import Final

from braidmq.core.broker.transit import SessionState
from braidmq.core.links.link import LinkState
from braidmq.core.patience import HOLD_JOURNEYS, HOLD_S_MIN
from braidmq.core.registry.registry import CATCH_UP_S_MAX
from braidmq.lab.simulation.broker import BrokerProcess
from braidmq.lab.simulation.edition import Authority, Edition
from braidmq.lab.simulation.foreign.bridge import BridgeProcess
from braidmq.lab.simulation.hostile_broker import HostileBroker
from braidmq.lab.simulation.hostile_client import OWN, HostileClient
from braidmq.lab.simulation.hostile_worker import HostileWorker
from braidmq.lab.simulation.intruder import Intruder
from braidmq.lab.simulation.network import Network
from braidmq.lab.simulation.node import NodeProcess
from braidmq.lab.simulation.operator_node import Operator
from braidmq.lab.simulation.plan import SCENARIOS, Plan, Work
from braidmq.lab.simulation.process import Process
from braidmq.lab.simulation.record import Budget, Issue, Rights
from braidmq.lab.simulation.registry import principal_of
from braidmq.lab.simulation.routes import Routes
from braidmq.lab.simulation.world import World
from braidmq.members import Member, Role

LATE_S = 0.5
"""When workers come that are late: the brokers still wait for them, and an enemy has been there from the start."""

UNSEEN_S = 0.05
"""How late a message may be for the resolution of clocks and timers alone."""

PROMPT_S = 0.1
"""How soon a worker's death is told, and how soon its requests move on, besides what they travel."""

ANSWERS_S = 1.0
"""How soon an answer that is ready gets to its caller over a broker that runs, once they are connected."""

HOPS = 12
"""How often the longest delay of a frame fits into a timeout that no sound net exceeds: there and back over a broker,
each time after a frame that fills the pipe, and a third of the timeout until the worker's first word."""

DETECTED_S = 3.0
"""How long an enemy may do harm until the others treat it as what it is."""

ERRORS_SHARE = {"broker": 0.01, "client": 0.05, "worker": 0.05}
"""Calls that may fail for an enemy's sake after that: few with one broker of three, as others are there; more where all
share what it takes."""

CROWD_BYTES = 100
"""How long each of the eight services is that one of the crowd may call: forty of them are a part of a registry."""

QUIET_WORK = Work((0.001,), 0.0)
"""What handlers do when nothing is wrong any more."""


class Net:
    """All processes of one plan, in one world. `start` comes first, then the world's time runs.

    Faults say `mark_outage` for what they hurt, and call what it returns when that has healed; then the net has to come
    to be whole and quiet again. At the end `note_views` and `leftovers` tell the checkers what is left.

    Attributes:
        work: what handlers do now.
        authority: makes the registries; brokers hear of each at their own times.
        operator: publishes them.
        brokers: the honest ones.
        nodes: likewise.
        bridge: the one among them that is a bridge, if there is one.
        hostile: the member that is in an attacker's hands, if there is one.
        buried: the brokers that do not come back.
    """

    def __init__(self, plan: Plan, world: World) -> None:
        self.plan = plan
        self.world = world
        self.work = plan.work
        settings = plan.settings
        self.network = Network(
            world,
            delay_s=plan.delay_s,
            frames_max=plan.frames_max,
            frames_per_turn=plan.frames_per_turn,
            handshake_s_max=settings.handshake_s_max,
            transport_timeout_s=settings.transport_timeout_s,
        )
        self._members = {each.name: each for each in _members(plan)}
        self._names = {principal_of(name): name for name in self._members}
        for name, member in self._members.items():
            world.record.rights[name] = Rights(member.calls, member.serves)
        self.authority = Authority([*self._members.values(), *_crowd(plan)], self._note_issue)
        self.brokers: dict[str, BrokerProcess] = {}
        for name in plan.brokers:
            self.brokers[name] = BrokerProcess(self, name, clock_rate=self._clock_rate(name))
        self.nodes: dict[str, NodeProcess] = {}
        self.bridge: BridgeProcess | None = None
        for name, serves in plan.nodes.items():
            rate, bridged = self._clock_rate(name), plan.bridged
            if bridged is not None and name == bridged.node:
                self.nodes[name] = self.bridge = BridgeProcess(self, name, bridged, serves=serves, clock_rate=rate)
            else:
                self.nodes[name] = NodeProcess(self, name, serves=serves, clock_rate=rate)
        self.buried: set[str] = set()
        self.operator = Operator(self)
        self.intruder = Intruder(self)
        self.hostile = _HOSTILE[plan.hostile](self) if plan.hostile else None
        record = world.record
        record.brokers = list(plan.brokers)
        record.catch_up_s = CATCH_UP_S_MAX * (1.0 - 2 * plan.clock_drift)
        record.delay_unseen_s = UNSEEN_S + 2 * plan.delay_s[1]
        record.slow_s = 2 * plan.extra_s
        disturbed = plan.kinds or plan.has_enemies or plan.one_stays_down or plan.moves_every_s or plan.bridged
        record.undisturbed = (
            not disturbed
            and settings.outbox_bytes_max > plan.burst * max(plan.payload_bytes)
            and settings.exchange_timeout_s > HOPS * plan.delay_s[1]
        )
        record.false_death_s = 0.9 * settings.suspicion_s
        record.flawless = plan.flawless
        record.stubborn = plan.stubborn
        if plan.patient and set(plan.kinds) <= set(SCENARIOS["long-jobs"]):
            record.answers_s = ANSWERS_S + settings.reconnect_s_max + settings.backoff_s_max
        elif plan.patient and set(plan.kinds) <= set(SCENARIOS["stalls"]):
            record.stalls_s = settings.dead_after_s
        if plan.kinds == ("kill-node",) and not plan.has_enemies and not plan.moves_every_s and plan.bridged is None:
            slow_s = 4 * plan.delay_s[1]
            record.prompt_s = PROMPT_S + settings.failover_spread_s + slow_s + max(HOLD_S_MIN, HOLD_JOURNEYS * slow_s)
        if set(plan.kinds) <= set(SCENARIOS["hang"]) and not plan.has_enemies:
            record.avoided_s = settings.suspect_after_s + PROMPT_S + 2 * plan.delay_s[1]
        if self.hostile is not None:
            record.hostile = (self.hostile.name,)
            record.liars = record.hostile if plan.hostile == "broker" else ()
            if plan.besieged:
                record.fair_from_s, record.fair_until_s = DETECTED_S, plan.safety_s
                record.errors_share = ERRORS_SHARE[plan.hostile]
        record.budget = Budget(settings.retry_budget_ratio, settings.retry_budget_per_s, settings.retry_budget_max)

    def start(self) -> None:
        """Start all processes, in no particular order."""
        processes: list[Process] = [*self.brokers.values(), *self.nodes.values()]
        self.world.chance("start").shuffle(processes)
        if self.hostile is not None:
            processes.insert(0, self.hostile)
        for process in processes:
            if process.name in self.plan.late:
                self.world.later(LATE_S, process.start)
            else:
                process.start()
        if self.bridge is not None:
            for program in self.bridge.street.programs:
                program.start()

    def defeat(self) -> None:
        """End whoever is hostile, for good."""
        self.intruder.kill()
        if self.hostile is not None:
            self.hostile.kill()
            if self.plan.hostile == "broker":
                self.buried.add(self.hostile.name)

    def retire(self, name: str) -> None:
        """End a broker for good."""
        self.world.trace.note(self.world.now, f"{name} does not come back", fault=True)
        self.mark_outage("kill", self.brokers[name])
        self.brokers[name].kill()
        self.buried.add(name)

    # -- who there is

    @property
    def brokers_up(self) -> list[BrokerProcess]:
        """The brokers that exist."""
        return [broker for broker in self.brokers.values() if broker.up]

    @property
    def nodes_up(self) -> list[NodeProcess]:
        """The nodes that exist."""
        return [node for node in self.nodes.values() if node.up]

    @property
    def all_brokers(self) -> dict[str, BrokerProcess]:
        """The brokers, honest or not."""
        if not isinstance(self.hostile, BrokerProcess):
            return self.brokers
        return {**self.brokers, self.hostile.name: self.hostile}

    def routes_of(self, broker: str) -> Routes:
        """Return where connections to a broker come in."""
        return self.all_brokers[broker].routes

    def process(self, name: str) -> Process:
        """Return a broker or a node."""
        return self.brokers.get(name) or self.nodes[name]

    def pairs(self) -> list[tuple[str, str]]:
        """Return all directions between two processes."""
        return list(permutations([*self.brokers, *self.nodes], 2))

    def name_of(self, principal: str) -> str:
        """Return the member that holds a key; empty for nobody."""
        return self._names.get(principal, "")

    def is_registered(self, name: str) -> bool:
        """Whether a member is on the registry."""
        return self.authority.member(name) is not None

    def member_of(self, name: str) -> Member:
        """Return what a process is registered as at first."""
        return self._members[name]

    def first_brokers(self, name: str) -> list[str]:
        """Return the brokers that a node is configured with."""
        names = list(self.plan.brokers)
        first = sum(name.encode()) % len(names)
        return [*names[first:], *names[:first]][: self.plan.known]

    def mark_outage(self, kind: str, *processes: Process) -> Callable[[], None]:
        """Note that something is wrong with some processes, all if none is named; return what notes its end."""
        hampered = processes or (*self.brokers.values(), *self.nodes.values())
        outages = [process.mark_outage(kind) for process in hampered]

        def recover() -> None:
            for outage in outages:
                outage.end = self.world.now

        return recover

    # -- how it is

    def is_whole(self) -> bool:
        """Whether everybody is there, and knows everybody and everything that they should."""
        return (
            self.network.is_sound
            and all(self._is_whole_broker(broker) for broker in self._expected)
            and all(self._is_whole_node(node) for node in self.nodes.values())
        )

    def is_quiet(self) -> bool:
        """Whether no call is under way."""
        return not any(node.calling for node in self.nodes.values())

    def leftovers(self) -> list[str]:
        """Return what processes still hold of calls that have ended."""
        found = []
        for broker in self.brokers_up:
            for session in broker.core.sessions.values():
                if session.requests:
                    found.append(f"{broker.name} holds {len(session.requests)} requests of {session.member.name}")
                if session.assigned:
                    found.append(f"{broker.name} waits for {len(session.assigned)} answers of {session.member.name}")
        for node in self.nodes_up:
            if len(node.core.client):
                found.append(f"{node.name} holds {len(node.core.client)} calls")
            if len(node.core.worker):
                found.append(f"{node.name} holds {len(node.core.worker)} jobs")
            found += node.leftovers()
            lost = sum(service.running for service in node.core.worker.services) - len(node.core.worker)
            if lost > 0:
                found.append(f"{node.name} has lost {lost} places")
        return found

    def is_settled(self) -> bool:
        """Whether nobody holds anything of calls that have ended, nor will: a withdrawn request may be on its way."""
        return not self.network.carries_requests and not self.leftovers()

    def note_views(self) -> None:
        """Write down who lists whom, for the checkers."""
        record = self.world.record
        record.alive = [broker.name for broker in self.brokers_up]
        for broker in self.brokers_up:
            record.in_force[broker.name] = broker.ledger.version
            for name, member in broker.core.peering.membership.members.items():
                record.views[broker.name, name] = member.state

    def why_not_whole(self) -> list[str]:
        """Return who is not as it should be."""
        found = [broker.name for broker in self._expected if not self._is_whole_broker(broker)]
        if not self.network.is_sound:
            found.append("the network")
        for node in self.nodes.values():
            if not self._is_whole_node(node):
                links = node.core.links.links.values()
                found.append(f"{node.name} ({', '.join(f'{link.name} {link.state}' for link in links)})")
        return found

    # -- inner

    @property
    def _expected(self) -> list[BrokerProcess]:
        """The brokers that should be there in the end."""
        return [broker for broker in self.brokers.values() if broker.name not in self.buried]

    def _note_issue(self, edition: Edition) -> None:
        """Write down what the authority has issued, for the checkers."""
        rights = {
            each.name: Rights(each.calls, each.serves) for each in edition.payload.entries if each.name in self._members
        }
        self.world.record.issues[edition.version] = Issue(edition.digest, rights)

    def _clock_rate(self, name: str) -> float:
        return 1.0 + self.world.chance(f"rate of {name}").uniform(-1.0, 1.0) * self.plan.clock_drift

    def _is_whole_broker(self, broker: BrokerProcess) -> bool:
        if not broker.is_at_work or broker.core.behind or broker.ledger.version != self.authority.newest.version:
            return False
        members = broker.core.peering.membership.members
        return all(members[name].state == "dead" for name in self.buried & members.keys()) and all(
            other is broker or (other.name in members and members[other.name].state == "alive")
            for other in self._expected
        )

    def _is_whole_node(self, node: NodeProcess) -> bool:
        if not node.is_at_work or not node.is_complete:
            return False
        links = node.core.links.links
        if any(link.open and not self.is_registered(link.name) for link in links.values()):
            return False
        connected = [
            link
            for link in links.values()
            if link.wanted and link.name in self.brokers and link.name not in self.buried
        ]
        if any(broker.name not in links for broker in self._expected) or any(
            link.state is not LinkState.UP for link in connected
        ):
            return False
        if any(link.open and not link.wanted for link in links.values()):
            return False
        for link in connected:
            core = self.brokers[link.name].core
            session = core.sessions.get(node.dealers.route(link.name) or b"")
            if session is None or session.state is SessionState.SUSPECT:
                return False
            services = core.dispatcher.services
            for name in node.serves:
                service = services.get(name.encode())
                offers = () if service is None else service.offers.values()
                if not any(offer.ready and offer.session.member.name == node.name for offer in offers):
                    return False
            if node.calls and not link.services >= {name.encode() for name in self._served_at(link.name)}:
                return False
        return True

    def _served_at(self, broker: str) -> list[str]:
        return self.brokers[broker].core.dispatcher.available()


_HOSTILE: Final[dict[str, Callable[[Net], HostileClient | HostileWorker | HostileBroker]]] = {
    "client": HostileClient,
    "worker": HostileWorker,
    "broker": HostileBroker,
}
"""The kinds of members that can be in an attacker's hands."""


def _members(plan: Plan) -> Iterator[Member]:
    """Yield all that take part in a plan, as they are registered."""
    for name in plan.brokers:
        yield Member(name, Role.BROKER)
    for name, serves in plan.nodes.items():
        yield Member(name, Role.NODE, calls=plan.services, serves=tuple(serves))
    yield Member(Intruder.NAME, Role.NODE, calls=plan.intruder_calls)
    yield Member(Operator.NAME, Role.NODE, publish=True)
    if plan.hostile:
        yield _hostile_member(plan)


def _crowd(plan: Plan) -> Iterator[Member]:
    """Yield members that are only registered, so that the registry is as large as the plan says."""
    for number in range(plan.crowd):
        yield Member(f"crowd{number}", Role.NODE, calls=tuple(f"{letter * CROWD_BYTES}" for letter in "abcdefgh"))


def _hostile_member(plan: Plan) -> Member:
    """Return what the hostile member is registered as: its rights are those of the others of its kind."""
    if plan.hostile == "client":
        return Member(HostileClient.NAME, Role.NODE, calls=(*plan.services, OWN, "no/*"), serves=(OWN,))
    if plan.hostile == "worker":
        return Member(HostileWorker.NAME, Role.NODE, serves=(*plan.services, "own/*"))
    return Member(HostileBroker.NAME, Role.BROKER)
