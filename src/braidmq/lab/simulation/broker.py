"""A broker of the simulated net: the production core and turn over the simulated network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from braidmq.core.broker.broker import BrokerCore
from braidmq.core.events.broker import SessionSilent
from braidmq.core.events.event import Event
from braidmq.core.links.link import BrokerAddress, Failure
from braidmq.core.membership.peering import PeeringCore
from braidmq.errors import ProtocolError
from braidmq.lab.simulation.dealers import Dealers
from braidmq.lab.simulation.edition import Edition
from braidmq.lab.simulation.ledger import Ledger
from braidmq.lab.simulation.network import Connection
from braidmq.lab.simulation.process import Process
from braidmq.lab.simulation.record import Admission, Adoption, Parting, Verdict
from braidmq.lab.simulation.registry import address_of, principal_of, verify
from braidmq.lab.simulation.routes import Routes
from braidmq.lab.simulation.sizes import sizes_of_broker
from braidmq.lab.simulation.tap import passages
from braidmq.members import Role
from braidmq.turn.broker import BrokerTurn
from braidmq.wire.bundle import split
from braidmq.wire.control import decode_control
from braidmq.wire.envelope import REQUEST, command_of
from braidmq.wire.registry import RegistryVersion

if TYPE_CHECKING:
    from braidmq.lab.simulation.net import Net

REREAD_S_MAX: Final = 0.25
"""How long it takes at most until a broker sees that its join file is another one."""

UNIX_S: Final = 1_700_000_000.0
"""What time it is where a run begins."""


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


class _Dealers(Dealers):
    """A dialer that lets its broker hear what other brokers say."""

    def __init__(self, broker: BrokerProcess, *arguments: Any, **more: Any) -> None:
        super().__init__(broker, *arguments, **more)
        self._broker = broker

    def frames(self, *, until_empty: bool = False) -> Iterator[tuple[str, bytes]]:
        """See Dealers.frames."""
        for name, frame in super().frames(until_empty=until_empty):
            self._broker.hear_of_registry(name, frame)
            yield name, frame

    def on_end(self, connection: Connection, failure: Failure) -> None:
        """See Dealers.on_end."""
        super().on_end(connection, failure)
        if failure is Failure.NOT_REGISTERED:
            self._broker.note_refusal(connection.router.process.name)


class BrokerProcess(Process):
    """One broker.

    Attributes:
        core: of its present or last life.
        ledger: has the registry on which it acts.
        file: the registry in its join file.
        state: the newest registry that it has seen, in a file that outlives it; None if that was lost.
    """

    core: BrokerCore
    turn: BrokerTurn

    def __init__(self, net: Net, name: str, *, clock_rate: float) -> None:
        super().__init__(net.world, name, clock_rate=clock_rate)
        self._net = net
        self._rng = net.world.chance(f"core of {name}")
        self.file: Edition = net.authority.newest
        self.state: Edition | None = None
        self.ledger = Ledger(self.file, self._on_adopted)
        settings = net.plan.settings
        self.routes = _Routes(
            self, net.network, self._refusal,
            outbox_bytes_max=settings.outbox_bytes_max,
        )  # fmt: skip
        self.dealers = _Dealers(
            self, net.network, net.routes_of, principal=principal_of(name),
            outbox_bytes_max=settings.outbox_bytes_max, rng=net.world.chance(f"routes of {name}"),
        )  # fmt: skip
        self._looked_up: list[tuple[str, list[str]]] = []
        self._states: dict[str, str] = {}
        self._version = -1
        self._forgot = False
        self._began_at = 0.0
        self._heard: dict[str, int] | None = {}
        self._missing: tuple[str, ...] | None = None
        self._refused_by: set[str] = set()

    # -- what happens to it

    def kill(self) -> None:
        """End it as kill -9 does: the system closes its connections."""
        if self.up:
            self.dealers.close_all()
            self.routes.close_all(lossless=False)
            self.end()

    def replace_file(self, edition: Edition) -> None:
        """Let its join file hold another registry, which it sees a moment later."""
        self.file = edition
        self.later(self._rng.uniform(0.0, REREAD_S_MAX), self._reread)

    def lose_state(self) -> None:
        """Let the file be lost in which it remembers the newest registry."""
        self.state = None
        self._forgot = True

    # -- what it does

    def _begin(self) -> None:
        now, settings = self.clock, self._net.plan.settings
        self._states = {}
        self._version = -1
        self._looked_up = []
        self._began_at, self._heard, self._missing, self._refused_by = self.world.now, {}, None, set()
        if self.state is None or self.state.version <= self.file.version:
            self.state = self.file
        self.ledger = Ledger(self.state, self._on_adopted)
        self._note_adoption(began=True)
        peering = PeeringCore(address_of(self.name), settings, self._rng, self._verify, software="simulation", now=now)
        self.core = BrokerCore(
            settings, self.ledger, peering, software="simulation", now=now,
            credentials=self.ledger, unix_s=UNIX_S + self.world.now,
        )  # fmt: skip
        self.turn = BrokerTurn(self.core, self.routes, self.dealers, self)
        for address in self.ledger.addresses:
            self.core.learn(address, now)

    def _verify(self, certificate: bytes) -> BrokerAddress:
        """Return the address in a certificate, unless the registry that is in force has dropped or replaced it."""
        address = verify(certificate)
        if address.serial <= self.ledger.version and address not in self.ledger.addresses:
            raise ProtocolError(f"{address.name} was removed from the registry, or has a newer certificate there")
        return address

    def _refusal(self, principal: str) -> Failure | None:
        """Return why a key is not let in (see Gate of the carrier)."""
        member, registrar = self.ledger.member(principal), self.core.registrar
        assert registrar is not None, "there is a ledger"
        if member is None:
            return Failure.NOT_REGISTERED
        is_node = member.role is Role.NODE
        if self.core.barred_s(principal, self.clock) or (is_node and not registrar.core.ready):
            return Failure.HUNG_UP
        if is_node and self._heard is not None:
            self._note_readiness()
            admission = Admission(self.world.now, self.name, member.name, self._began_at, self._missing or ())
            self.world.record.admissions.append(admission)
            self._heard = None
        return None

    # -- its registry

    def _reread(self) -> None:
        """Take the registry of the join file over if it is newer."""
        if self.file.version > self.ledger.version:
            self.ledger.edition = self.file
            self.core.on_registry(self.clock)
            assert self.core.registrar is not None, "there is a ledger"
            self.core.registrar.core.on_changed(self.clock)
            self._on_adopted("its join file")

    def _on_adopted(self, source: str) -> None:
        """Remember the registry that is in force now, and look anew who may be connected."""
        self.state = self.ledger.edition
        self._note_adoption(began=False)
        self.world.trace.note(self.world.now, f"{self.name} takes registry {self.ledger.version} from {source}")
        self.later(0.0, self.routes.review)

    def _note_adoption(self, *, began: bool) -> None:
        version, digest = self.ledger.version, self.ledger.digest
        adoption = Adoption(self.world.now, self.name, version, digest, began=began, forgot=self._forgot)
        self.world.record.adoptions.append(adoption)
        self._forgot = False

    def _note_readiness(self) -> None:
        """Note which brokers it has not heard when it begins to let nodes in; later registries count no more."""
        registrar = self.core.registrar
        assert registrar is not None, "there is a ledger"
        if self._heard is None or self._missing is not None or not registrar.core.ready:
            return
        heard, version = self._heard, self.ledger.version
        self._missing = tuple(
            name
            for name in self.ledger.brokers
            if name != self.name and (name not in heard or heard[name] > version) and name not in self._refused_by
        )

    def _drain(self, now: float) -> None:
        self.core.drain(now)

    def _turn(self, now: float) -> float:
        core = self.core
        handled = core.handled
        due = self.turn.run(now)
        self._note()
        self._note_readiness()
        self.spend((core.handled - handled) * self._net.plan.message_s)
        if core.leaving:
            self.stop()
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
        self.hear_of_registry(peer, frame)
        for each in passages(split(frame)[0], self.world.now, self.name, "in", peer):
            if each.command == REQUEST:
                each.unseen_s = self._net.network.journey_s(peer, self.name, outward=True)
            self.world.record.passages.append(each)
        return frame

    def hear_of_registry(self, name: str, frame: bytes) -> None:
        """Note which registry another broker has, as long as this one has let nobody in."""
        if self._heard is not None and name in self._net.all_brokers:
            for message in split(frame)[0]:
                if command_of(message) == RegistryVersion.NUMBER:
                    with suppress(ProtocolError):
                        told = decode_control(message)
                        assert isinstance(told, RegistryVersion)
                        self._heard.setdefault(name, told.version)

    def note_refusal(self, name: str) -> None:
        """Note that another broker does not know this one: it need not be heard."""
        self._refused_by.add(name)

    def say(self, sends: dict[bytes, list[bytes]]) -> dict[bytes, list[bytes]]:
        """Note what the core sends, and return what goes out."""
        for route, messages in sends.items():
            session = self.core.sessions.get(route)
            principal = self.routes.principal_of(route)  # a broker's sessions are over before its last words leave
            peer = self._net.name_of(principal) if session is None else session.member.name
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
