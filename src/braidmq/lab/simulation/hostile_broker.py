"""A registered broker in an attacker's hands: among honest ones it looks like one of them, until it lies.

It runs the production cores, so that others meet it, list it and trust it; what goes out of it and comes into it is
altered. It holds its own key only. What it has read of requests that came to it, it uses everywhere.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from braidmq.errors import ProtocolError
from braidmq.lab.simulation import hostile_words as words
from braidmq.lab.simulation.broker import BrokerProcess
from braidmq.lab.simulation.hostile_registry import Forger
from braidmq.lab.simulation.payload import answer_to
from braidmq.lab.simulation.registry import address_of
from braidmq.members import Role
from braidmq.wire import control, gossip
from braidmq.wire.bundle import split
from braidmq.wire.envelope import (
    CANCEL,
    LOST,
    REJECT,
    REPLY,
    REQUEST,
    UINT32,
    WORKING,
    Envelope,
    Progress,
    Reason,
    command_of,
    decode,
    encode,
)
from braidmq.wire.registry import RegistryWanted

if TYPE_CHECKING:
    from braidmq.lab.simulation.net import Net

EVERY_S: Final = 0.05
"""How often it does something to each member that is connected to it, on average."""

SEEN: Final = 50
"""Requests that it remembers."""

AHEAD: Final = 60
"""How far from an id that it has seen it looks for the next ones."""

AT_ONCE: Final = 10
"""Requests that it makes up at once for one worker."""

MANNERS: Final = ("refuse", "busy", "deny", "lose", "dawdle", "hush", "forge", "honest")
"""What it does with requests that come to it; one of these in each seed."""

HABITS_MAX: Final = 3
"""Further things that it does in one seed."""

_WELCOME = control.Welcome.NUMBER


class HostileBroker(BrokerProcess):
    """A broker whose core hears what `hear` leaves of a frame, and whose members get what `say` makes of its words.

    Its other habits, a method each, come in its turns.

    Attributes:
        manner: what it does with the requests that it gets.
        welcome: how it changes what it tells of itself at first; empty for not at all.
    """

    NAME: Final = "xb"

    def __init__(self, net: Net) -> None:
        super().__init__(net, self.NAME, clock_rate=1.0)
        self.rng = net.world.chance(f"habits of {self.name}")
        self.manner = self.rng.choice(MANNERS)
        self.welcome: dict[str, int] = self.rng.choice(
            (
                {}, {}, {},
                {"payload_bytes_max": 0}, {"payload_bytes_max": UINT32},
                {"heartbeat_ms": 1}, {"heartbeat_ms": UINT32},
            )
        )  # fmt: skip
        all_habits: tuple[Callable[[bytes], None], ...] = (
            self.foresee, self.foresee, self.overload, self.revoke, self.demand, self.babble, self.blurt, self.mislead,
            self.misdirect, self.boast, self.slander, self.flap, self.publish,
        )  # fmt: skip
        self._forger = Forger(net.authority, net.world.chance(f"registries of {self.name}"))
        self._habits = self.rng.sample(all_habits, self.rng.randint(1, HABITS_MAX))
        if "publish" in net.plan.kinds and self.publish not in self._habits:
            self._habits.append(self.publish)
        self._asking = words.Asking(self.name, self.rng, lambda: self.clock)
        self._seen: deque[tuple[bytes, bytes, bytes]] = deque(maxlen=SEEN)
        self._count = 0

    def __str__(self) -> str:
        habits = ", ".join(each.__name__ for each in self._habits)
        return f"{self.name}: {habits}; {self.manner} {self.welcome}"

    def _begin(self) -> None:
        super()._begin()
        self.world.trace.note(self.world.now, str(self))
        self.later(0.5, self._misbehave)

    def _note(self) -> None:
        """Let nobody judge what it holds, nor its core check itself, which is lied to."""

    def _misbehave(self) -> None:
        for route in list(self.core.sessions):
            self.rng.choice(self._habits)(route)
        self.later(self.rng.uniform(0.0, 2 * EVERY_S), self._misbehave)

    # -- what comes in and goes out

    def hear(self, route: bytes, principal: str, frame: bytes) -> bytes | None:
        """Return what its core is to get of a frame; None if it has answered itself."""
        rest = []
        for message in split(frame)[0]:
            command = command_of(message)
            if command == REQUEST and self._is_nodes(route) and not self._serves(route, message):
                continue
            if command == RegistryWanted.NUMBER and self.publish in self._habits:
                self._lend(route, message)
                continue
            rest.append(message)
        return b"".join(rest) or None

    def _lend(self, route: bytes, message: bytes) -> None:
        """Hand on what it says to be a registry."""
        with suppress(ProtocolError):
            wanted = control.decode_control(message)
            assert isinstance(wanted, RegistryWanted)
            for part in self._forger.parts(wanted):
                self._say(route, words.said(part))

    def say(self, sends: dict[bytes, list[bytes]]) -> dict[bytes, list[bytes]]:
        """Return what goes out in the place of what its core says."""
        return {
            route: [self._altered(each) if command_of(each) == _WELCOME else each for each in messages]
            for route, messages in sends.items()
        }

    def _altered(self, welcome: bytes) -> bytes:
        told = control.decode_control(welcome)
        assert isinstance(told, control.Welcome)
        limits = {"payload_bytes_max": told.payload_bytes_max, "heartbeat_ms": told.heartbeat_ms} | self.welcome
        return control.encode_control(control.Welcome(told.broker, told.member, software=told.software, **limits), 0)

    def _is_nodes(self, route: bytes) -> bool:
        session = self.core.sessions.get(route)
        return session is not None and session.member.role is Role.NODE

    def _serves(self, route: bytes, message: bytes) -> bool:
        """Answer a request in its manner; return whether it is to be passed on as it should be."""
        try:
            request = decode(message)
        except ProtocolError:
            return False
        client = self.core.sessions[route].name
        self._seen.append((client, request.id, request.service))
        if self.manner == "honest":
            return True
        if self.manner == "refuse":
            self._answer(route, request, REJECT, code=self.rng.choice(words.CODES))
        elif self.manner == "busy":
            self._answer(route, request, REJECT, code=int(Reason.BUSY))
        elif self.manner == "deny":
            self._answer(route, request, REJECT, code=int(Reason.DENIED))
        elif self.manner == "lose":
            self._answer(route, request, LOST)
        elif self.manner == "dawdle":
            self._dawdle(route, request, self.world.now + 10.0)
        elif self.manner == "forge":
            worker = self.rng.choice(list(self._net.nodes)).encode()
            self._answer(route, request, REPLY, sender=worker, payload=answer_to(self._asking.payload()))
        return False

    def _dawdle(self, route: bytes, request: Envelope, until: float) -> None:
        """Say that it is at it, for ever."""
        if self.world.now < until:
            sender = self.rng.choice(list(self._net.nodes)).encode()
            self._answer(route, request, WORKING, sender=sender, code=int(Progress.RUNNING))
            self.later(0.1, lambda: self._dawdle(route, request, until))

    def _answer(
        self,
        route: bytes,
        request: Envelope,
        command: int,
        *,
        code: int = 0,
        sender: bytes = b"xb",
        payload: bytes = b"",
    ) -> None:
        self._say(
            route, encode(Envelope(command, request.id, tag=request.tag, sender=sender, code=code, payload=payload))
        )

    def _say(self, route: bytes, *messages: bytes) -> None:
        if route in self.core.sessions:
            self.routes.send_unheard({route: list(messages)})

    # -- habits: each is about one member that is connected to it

    def foresee(self, route: bytes) -> None:
        """Run requests on a worker in their client's name, with a payload of its own: seen ones, and the next ones."""
        if not self._seen or not self._is_workers(route):
            return
        client, id_, service = self.rng.choice(self._seen)
        first = int.from_bytes(id_[8:]) + self.rng.choice((0, 1, self.rng.randrange(AHEAD)))
        ids = [id_[:8] + ((first + ahead) % 2**64).to_bytes(8) for ahead in range(AT_ONCE)]
        for each in ids:
            self.world.record.foreseen.setdefault(each, self.world.now)
        self._say(route, *(self._forged(client, each, service) for each in ids))

    def overload(self, route: bytes) -> None:
        """Send a worker more than it has granted."""
        if self._is_workers(route):
            services = list(self.core.sessions[route].offers)
            client = self.rng.choice(self._net.plan.clients).encode()
            ids = [self.rng.randbytes(16) for _ in range(2 * AT_ONCE)]
            self._say(route, *(self._forged(client, each, self.rng.choice(services)) for each in ids))

    def revoke(self, route: bytes) -> None:
        """Withdraw what came to the worker over others."""
        for client, id_, _ in list(self._seen)[-10:]:
            for code in range(3):
                self._say(route, encode(Envelope(CANCEL, id_, tag=self.rng.randrange(50), sender=client, code=code)))

    def demand(self, route: bytes) -> None:
        """Ask for all credit that there is."""
        self._say(route, *(words.said(control.Demand(service, UINT32)) for service in self._net.plan.services))

    def babble(self, route: bytes) -> None:
        """Send many messages that say nothing."""
        self._say(route, words.said(self.rng.choice((control.Heartbeat(), control.Hello()))) * words.TINY)

    def blurt(self, route: bytes) -> None:
        """Send what is no message."""
        self._say(route, words.garbage(self.rng))

    def mislead(self, route: bytes) -> None:
        """Tell of services that nobody has, or of none."""
        names = [*self._net.plan.services, *(f"no/{number}" for number in range(words.ROWS))]
        lists: tuple[list[str], ...] = (names, names[: len(self._net.plan.services)], [])
        self._say(route, words.said(control.Services(self.rng.choice(lists))))

    def misdirect(self, route: bytes) -> None:
        """Tell of brokers that do not exist, or that none of the others does."""
        honest = [
            control.Peer(address_of(each).certificate, connected=False, state="dead") for each in self._net.brokers
        ]
        rows = [control.Peer(f"not a certificate {n}".encode(), connected=True) for n in range(words.ROWS)]
        self._say(route, words.said(control.Peers(self.rng.choice((honest, rows)))))

    def boast(self, route: bytes) -> None:
        """Tell the other brokers of services that it does not have."""
        self._count += 1
        services = [gossip.ServiceAbout(f"no/{number}", 1, UINT32) for number in range(words.ROWS)]
        name = self.rng.choice([self.name, *self._net.brokers])
        about = gossip.About(
            name, 1_000_000 + self._count, nodes=UINT32, queued=UINT32, settled=True, services=services
        )
        self._say(route, words.said(about))

    def slander(self, route: bytes) -> None:
        """Say of others that they are dead, and of brokers that do not exist that they are there."""
        about = self.rng.choice(list(self._net.brokers))
        incarnation = self.rng.choice((0, 1, 3, 1_000, 2**53))
        state: gossip.State = self.rng.choice(("suspect", "leaving", "dead"))
        row = gossip.Rumor(about, incarnation, state, self.rng.choice((self.name, about)))
        stranger = gossip.Rumor(f"no{self.rng.randrange(100)}", 1, "alive", "", b"not a certificate")
        self._say(route, words.said(self.rng.choice((gossip.Gossip([row, stranger]), gossip.Sync([row, stranger])))))

    def flap(self, route: bytes) -> None:
        """Leave and come back with every breath."""
        self._count += 1
        states: tuple[gossip.State, ...] = ("alive", "leaving", "suspect")
        self._say(route, words.said(gossip.Gossip([gossip.Rumor(self.name, self._count, states[self._count % 3])])))

    def publish(self, route: bytes) -> None:
        """Tell other brokers of a registry that it has not."""
        if not self._is_nodes(route):
            self._say(route, words.said(self._forger.boast()))

    # -- inner

    def _is_workers(self, route: bytes) -> bool:
        session = self.core.sessions.get(route)
        return session is not None and bool(session.offers)

    def _forged(self, client: bytes, id_: bytes, service: bytes) -> bytes:
        return self._asking.request(service.decode("ascii", "replace"), id_=id_, sender=client, time_ms=5_000)
