"""A broker of the simulated net: the production core, and what its loop does around it (zeromq/broker_loop.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from braidmq.core.broker import BrokerCore
from braidmq.core.link import Action, BrokerAddress, Close, Failure, Resolve
from braidmq.core.peering import PeeringCore
from braidmq.errors import ProtocolError
from braidmq.members import Member
from braidmq.simulation.dealers import Dealers
from braidmq.simulation.process import Process
from braidmq.simulation.record import Parting, Verdict
from braidmq.simulation.registry import address_of, principal_of, verify
from braidmq.simulation.routes import Routes
from braidmq.simulation.sizes import sizes_of_broker
from braidmq.simulation.tap import passages
from braidmq.wire.bundle import split

if TYPE_CHECKING:
    from braidmq.simulation.net import Net


class BrokerProcess(Process):
    """One broker.

    Attributes:
        core: of its present or last life.
        registry: the members that it knows of; each broker hears of changes at its own time.
    """

    core: BrokerCore

    def __init__(self, net: Net, name: str, *, clock_rate: float) -> None:
        super().__init__(net.world, name, clock_rate=clock_rate)
        self._net = net
        self._rng = net.world.chance(f"core of {name}")
        self.registry = net.registry.copy()
        settings = net.plan.settings
        self.routes = Routes(
            self, net.network, self._admits,
            outbox_bytes_max=settings.outbox_bytes_max,
        )  # fmt: skip
        self.dealers = Dealers(
            self, net.network, net.routes_of, principal=principal_of(name),
            outbox_bytes_max=settings.outbox_bytes_max, rng=net.world.chance(f"routes of {name}"),
        )  # fmt: skip
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
        peering = PeeringCore(address_of(self.name), settings, self._rng, self._verify, software="simulation", now=now)
        self.core = BrokerCore(settings, self, peering, software="simulation", now=now)
        for other in net.all_brokers:
            peering.learn(address_of(other), now)

    def member(self, principal: str) -> Member | None:
        """Look a key up in the registry that this broker knows (see Directory)."""
        return self.registry.member(principal)

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
        core, peering = self.core, self.core.peering
        handled = core.handled
        for route, principal, frame in self.routes.frames():
            self._take_in(route, principal, frame, now)
        for name, failure in self.dealers.news():
            self._on_news(name, failure, now)
        for name, frame in self.dealers.frames():
            peering.on_frame(name, frame, now)
            peering.validate_state()
        self._send(now)
        if now >= self.due_at:
            if now >= core.next_deadline():
                self._on_timer(now)
            if now >= peering.next_deadline():
                peering.on_timer(now)
        self.routes.flush()
        self._act(now)
        self._note()
        self.spend((core.handled - handled) * self._net.plan.message_s)
        if self.stopping is not None and (core.idle or now - self.stopping >= self._net.plan.settings.drain_s):
            core.end(now)
            self._act(now)
            self.dealers.close_all()
            self.routes.close_all(lossless=True)
            self.world.trace.note(self.world.now, f"{self.name} has ended")
            self.end()
        return min(core.next_deadline(), peering.next_deadline())

    def _take_in(self, route: bytes, principal: str, frame: bytes, now: float) -> None:
        """Handle a frame from a member."""
        messages, peer = split(frame)[0], self._net.name_of(principal)
        self.world.record.passages.extend(passages(messages, self.world.now, self.name, "in", peer))
        self.core.on_frame(route, principal, frame, now)
        self._check(len(messages))

    def _on_timer(self, now: float) -> None:
        """Let time pass for the core, and note whom it has given up for their silence."""
        core = self.core
        dead, sessions = core.counters["sessions_dead"], dict(core.sessions)
        core.on_timer(now)
        if core.counters["sessions_dead"] > dead:
            for route, session in sessions.items():
                if route not in core.sessions:
                    self.world.record.partings.append(
                        Parting(self.world.now, self.name, session.member.name, silent=True)
                    )

    def _on_news(self, name: str, failure: Failure | None, now: float) -> None:
        if failure is None:
            self.core.peering.on_connected(name, now)
        else:
            self.dealers.close(name)
            self.core.peering.on_failed(name, failure, now)

    def _act(self, now: float) -> None:
        core, peering = self.core, self.core.peering
        for route in core.take_cuts():
            self.routes.cut(route)
        while actions := peering.take_actions():
            for action in actions:
                self._perform(action, now)
        for name, messages in peering.take_sends().items():
            self.dealers.send(name, messages)
        self.dealers.flush()
        for name in self.dealers.overflowed():
            self.dealers.close(name)
            peering.on_failed(name, Failure.TOO_SLOW, now)
        self._send(now)
        self._drop_gone(now)
        for event in (*core.take_events(), *peering.take_events()):
            self.world.trace.note(self.world.now, f"{self.name}: {event}")

    def _send(self, now: float) -> None:
        while sends := self.core.take_sends():
            self._give_out(sends)
            self._drop_gone(now)

    def _give_out(self, sends: dict[bytes, list[bytes]]) -> None:
        """Send what is due to each route."""
        for route, messages in sends.items():
            session = self.core.sessions.get(route)
            peer = "" if session is None else session.member.name
            self.world.record.passages.extend(passages(messages, self.world.now, self.name, "out", peer))
        self.routes.send(sends)

    def _perform(self, action: Action, now: float) -> None:
        if isinstance(action, Close):
            self.dealers.close(action.name)
        elif isinstance(action, Resolve):
            self.core.peering.on_resolved(action.name, list(action.endpoints), now)
        else:
            self.dealers.open(action)

    def _drop_gone(self, now: float) -> None:
        for route, unsent in self.routes.take_gone():
            self.core.on_unsent(route, unsent, now)
            self.core.on_disconnect(route, now)

    def _check(self, messages: int) -> None:
        """Let the core check itself after some messages, if that is due."""
        core = self.core
        if self.is_check_due(messages, len(core.dispatcher.services) + sum(each.in_flight for each in core.usages)):
            core.validate_state()

    def _note(self) -> None:
        """Let the core check itself, and note how much it holds and whom it takes for dead."""
        core, world = self.core, self.world
        self._check(1)
        world.record.faults[self.name] = max(core.counters.get("faults", 0), world.record.faults.get(self.name, 0))
        for what, value, bound in sizes_of_broker(core):
            world.record.size(self.name, what, value, bound)
        membership = core.peering.membership
        if membership.version != self._version:
            self._version = membership.version
            states: dict[str, str] = {name: member.state for name, member in membership.members.items()}
            for name, state in states.items():
                if state == "dead" and self._states.get(name) not in (None, "dead"):
                    world.record.verdicts.append(Verdict(world.now, self.name, name))
            self._states = states
