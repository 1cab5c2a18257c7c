"""A broker of the simulated net: the production core and turn over the simulated network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from braidmq.core.broker.broker import BrokerCore
from braidmq.core.events.broker import SessionSilent
from braidmq.core.events.event import Event
from braidmq.core.links.link import BrokerAddress
from braidmq.core.membership.peering import PeeringCore
from braidmq.errors import ProtocolError
from braidmq.lab.simulation.dealers import Dealers
from braidmq.lab.simulation.process import Process
from braidmq.lab.simulation.record import Parting, Verdict
from braidmq.lab.simulation.registry import address_of, principal_of, verify
from braidmq.lab.simulation.routes import Routes
from braidmq.lab.simulation.sizes import sizes_of_broker
from braidmq.lab.simulation.tap import passages
from braidmq.members import Member, Standing
from braidmq.turn.broker import BrokerTurn
from braidmq.wire.bundle import split
from braidmq.wire.envelope import REQUEST

if TYPE_CHECKING:
    from braidmq.lab.simulation.net import Net


class _Routes(Routes):
    """A listener that lets its broker hear, and change, what passes."""

    def __init__(self, broker: BrokerProcess, *arguments: Any, **more: Any) -> None:
        super().__init__(broker, *arguments, **more)
        self._broker = broker

    def frames(self, now: float) -> Iterator[tuple[bytes, str, bytes]]:
        """See Routes.frames."""
        for route, principal, frame in super().frames(now):
            given = self._broker.hear(route, principal, frame)
            if given is not None:
                yield route, principal, given
                self._broker.note_read(len(split(frame)[0]))

    def send(self, sends: dict[bytes, list[bytes]]) -> tuple[()]:
        """See Routes.send."""
        return super().send(self._broker.say(sends))

    def send_unheard(self, sends: dict[bytes, list[bytes]]) -> None:
        """Send what the core has not said."""
        super().send(sends)


class BrokerProcess(Process):
    """One broker.

    Attributes:
        core: of its present or last life.
        registry: the members that it knows of; each broker hears of changes at its own time.
    """

    core: BrokerCore
    turn: BrokerTurn

    def __init__(self, net: Net, name: str, *, clock_rate: float) -> None:
        super().__init__(net.world, name, clock_rate=clock_rate)
        self._net = net
        self._rng = net.world.chance(f"core of {name}")
        self.registry = net.registry.copy()
        settings = net.plan.settings
        self.routes = _Routes(
            self, net.network, self._admits,
            outbox_bytes_max=settings.outbox_bytes_max,
        )  # fmt: skip
        self.dealers = Dealers(
            self, net.network, net.routes_of, principal=principal_of(name),
            outbox_bytes_max=settings.outbox_bytes_max, rng=net.world.chance(f"routes of {name}"),
        )  # fmt: skip
        self._looked_up: list[tuple[str, list[str]]] = []
        self._states: dict[str, str] = {}
        self._version = -1

    # -- what happens to it

    def kill(self) -> None:
        """End it as kill -9 does: the system closes its connections."""
        if self.up:
            self.dealers.close_all()
            self.routes.close_all(lossless=False)
            self.end()

    def reread_registry(self) -> None:
        """Let it take over the registry of the net."""

        def take_over() -> None:
            self.registry = self._net.registry.copy()
            self.core.on_registry(self.clock)

        self.later(0.0, take_over)

    # -- what it does

    def _begin(self) -> None:
        net, now, settings = self._net, self.clock, self._net.plan.settings
        self._states = {}
        self._version = -1
        self.registry = net.registry.copy()
        self._looked_up = []
        peering = PeeringCore(address_of(self.name), settings, self._rng, self._verify, software="simulation", now=now)
        self.core = BrokerCore(settings, self, peering, software="simulation", now=now)
        self.turn = BrokerTurn(self.core, self.routes, self.dealers, self)
        for other in net.all_brokers:
            self.core.learn(address_of(other), now)

    def member(self, principal: str) -> Member | None:
        """Look a key up in the registry that this broker knows (see Directory)."""
        return self.registry.member(principal)

    def standing(self, principal: str) -> Standing:
        """Look up how a key stands there (see Directory)."""
        return self.registry.standing(principal)

    def _verify(self, certificate: bytes) -> BrokerAddress:
        address = verify(certificate)
        if address.name not in self._net.all_brokers:
            raise ProtocolError(f"{address.name} is not registered")
        return address

    def _admits(self, principal: str) -> bool:
        return self.registry.member(principal) is not None and not self.core.barred_s(principal, self.clock)

    def _drain(self, now: float) -> None:
        self.core.drain(now)

    def _turn(self, now: float) -> float:
        core = self.core
        handled = core.handled
        due = self.turn.run(now)
        self._note()
        self.spend((core.handled - handled) * self._net.plan.message_s)
        if self.stopping is not None and (core.idle or now - self.stopping >= self._net.plan.settings.drain_s):
            core.end(now)
            self.turn.settle(now)
            self.dealers.close_all()
            self.routes.close_all(lossless=True)
            self.world.trace.note(self.world.now, f"{self.name} has ended")
            self.end()
        return due

    # -- what is heard of it (see _Routes)

    def hear(self, route: bytes, principal: str, frame: bytes) -> bytes | None:
        """Note a frame from a member, and return what the core is to get; None for nothing."""
        del route
        peer = self._net.name_of(principal)
        for each in passages(split(frame)[0], self.world.now, self.name, "in", peer):
            if each.command == REQUEST:
                each.unseen_s = self._net.network.journey_s(peer, self.name, outward=True)
            self.world.record.passages.append(each)
        return frame

    def say(self, sends: dict[bytes, list[bytes]]) -> dict[bytes, list[bytes]]:
        """Note what the core sends, and return what goes out."""
        for route, messages in sends.items():
            session = self.core.sessions.get(route)
            peer = "" if session is None else session.member.name
            self.world.record.passages.extend(passages(messages, self.world.now, self.name, "out", peer))
        return sends

    # -- for the turn (see Host)

    def look_up(self, name: str, endpoints: tuple[str, ...]) -> None:
        """Know the addresses at once: they are the endpoints."""
        self._looked_up.append((name, list(endpoints)))

    def looked_up(self) -> list[tuple[str, list[str]]]:
        """Return the brokers whose addresses are known now."""
        found, self._looked_up = self._looked_up, []
        return found

    def tell(self, event: Event) -> None:
        """Write an event to the trace, and record which sessions were ended for silence."""
        if isinstance(event, SessionSilent):
            self.world.record.partings.append(Parting(self.world.now, self.name, event.about, silent=True))
        self.world.trace.note(self.world.now, f"{self.name}: {event}")

    # -- inner

    def _check(self) -> None:
        """Let the core check itself after a turn, and note how much it holds, if that is due."""
        core = self.core
        if self.is_check_due(1, len(core.dispatcher.services) + sum(each.in_flight for each in core.usages)):
            core.validate_state()
            for what, value, bound in sizes_of_broker(core):
                self.world.record.size(self.name, what, value, bound)

    def _note(self) -> None:
        """Let the core check itself, and note whom it takes for dead."""
        core, world = self.core, self.world
        self._check()
        world.record.faults[self.name] = max(core.counters.get("faults", 0), world.record.faults.get(self.name, 0))
        membership = core.peering.membership
        if membership.version != self._version:
            self._version = membership.version
            states: dict[str, str] = {name: member.state for name, member in membership.members.items()}
            for name, state in states.items():
                if state == "dead" and self._states.get(name) not in (None, "dead"):
                    world.record.verdicts.append(Verdict(world.now, self.name, name))
            self._states = states
