"""What a hostile process holds: a key, the brokers' addresses, connections that write whatever bytes it likes."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from time import monotonic, sleep
from typing import Final

import msgspec
import zmq

from attacks.curve import Identity
from attacks.dealer import Dealer
from braidmq.core.links.link import Open
from braidmq.errors import ProtocolError
from braidmq.trust import joinfile
from braidmq.wire import control
from braidmq.wire.bundle import split
from braidmq.wire.envelope import CONTROL_FIRST, UINT32, Envelope, command_of, decode, encode
from braidmq.wire.kinds import Control

BURST: Final = 8
"""Frames that go to one connection before the next one has its turn."""

RENEW_S: Final = 0.1
"""How long a connection that was ended is not made anew: an attacker has no reason to wait longer."""

SOCKETS_MAX: Final = 4_096
"""Sockets of libzmq's that a hostile process may have."""

IDLE_S: Final = 0.001
"""How long nothing is done when no connection takes anything."""


class Plan(msgspec.Struct):
    """What a hostile process does.

    Attributes:
        act: `module:function`.
        variant: what it is told.
        join: the join file whose key it has.
        brokers: those that it attacks.
        connections: how many it has to each.
        length_s: how long.
        seed: decides what is drawn.
        token: the code of a token that it holds; empty if it has none.
    """

    act: str
    variant: str
    join: str
    brokers: list[str]
    connections: int
    length_s: float
    seed: int
    token: str = ""


def now_ms() -> int:
    """Return what goes into `sent`."""
    return int(monotonic() * 1000) & UINT32


def said(message: Control) -> bytes:
    """Return a control message that is written now."""
    return control.encode_control(message, now_ms())


def written(envelope: Envelope) -> bytes:
    """Return an exchange message that is written now: to its reader it is not late."""
    envelope.sent_ms = now_ms()
    return encode(envelope)


HELLO: Final = said(control.Hello("mallory"))


class Peer:
    """A connection to a broker that is made anew when it has ended, and begins with HELLO.

    Attributes:
        live: whether it has not ended, as far as is known.
        open: whether the broker has welcomed it.
        waiting: for its owner, who may count what is unanswered there.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], identity: Identity, target: Open) -> None:
        self._context, self._identity, self._target = context, identity, target
        self._again_at = 0.0
        self._dealer: Dealer | None = None
        self.waiting = 0
        self.live = self.open = False
        self.renew()

    def renew(self) -> bool:
        """Connect anew, if it has ended some time ago; return whether there is a connection."""
        if self.live:
            return True
        if monotonic() < self._again_at:
            return False
        self.close()
        self.waiting = 0
        with suppress(zmq.ZMQError):
            self._dealer = Dealer(self._context, self._identity, self._target)
            self.live = True
            self.send(HELLO)
        return self.live

    def send(self, *frames: bytes) -> bool:
        """Send a message of these frames; return whether the transport has taken it."""
        if self._dealer is None:
            return False
        try:
            self._dealer.socket.send_multipart(frames, zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def send_part(self, frame: bytes) -> None:
        """Send a frame, to which more will belong."""
        if self._dealer is not None:
            self._dealer.socket.send(frame, zmq.SNDMORE)

    def say(self, message: Control) -> bool:
        """Send a control message."""
        return self.send(said(message))

    def exchange(self, envelope: Envelope) -> bool:
        """Send an exchange message."""
        return self.send(written(envelope))

    def hear(self) -> list[bytes]:
        """Return the messages that have come; notice whether the connection has ended."""
        dealer = self._dealer
        if dealer is None:
            return []
        messages = [message for frame in dealer.receive() for message in split(frame)[0]]
        if dealer.has_ended():
            self._end()
        for message in messages:
            if command_of(message) == control.Welcome.NUMBER:
                self.open = True
            elif (
                command_of(message) == control.Goodbye.NUMBER and b"draining" not in message and b"noted" not in message
            ):
                self._end()
        return messages

    def exchanges(self) -> Iterator[Envelope]:
        """Yield the exchange messages that have come."""
        for message in self.hear():
            if command_of(message) < CONTROL_FIRST:
                with suppress(ProtocolError):
                    yield decode(message)

    def reset(self) -> None:
        """Reset the connection, with all that is under way on it."""
        self.hear()
        if self._dealer is not None:
            self._dealer.reset()
        self._dealer = None
        self.live = self.open = False

    def close(self) -> None:
        """Close the connection."""
        if self._dealer is not None:
            self._dealer.close()
        self._dealer = None
        self.live = self.open = False

    def _end(self) -> None:
        self.live = self.open = False
        self._again_at = monotonic() + RENEW_S


class Arms:
    """See the module.

    Attributes:
        plan: see Plan.
        identity: whose keys its connections have: at first those of the join file.
        targets: the brokers that are attacked.
        rng: draws.
        sent: counts what was done, by kind.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        file = joinfile.load(plan.join)
        self.identity: Identity = file
        self.targets = [
            Open(each.name, each.endpoints[0], each.keys[-1]) for each in file.brokers if each.name in plan.brokers
        ]
        self.rng = random.Random(plan.seed)
        self.sent: Counter[str] = Counter()
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.context.set(zmq.MAX_SOCKETS, SOCKETS_MAX)
        self._until = monotonic() + plan.length_s

    def goes_on(self) -> bool:
        """Whether the attack is not over."""
        return monotonic() < self._until

    def each_moment(self, every_s: float) -> Iterator[float]:
        """Yield the time, now and then, until the attack is over."""
        while self.goes_on():
            yield monotonic()
            sleep(every_s)

    def peers(self, connections: int | None = None) -> list[Peer]:
        """Connect to every broker, so many times each."""
        count = self.plan.connections if connections is None else connections
        return [self.peer(target) for _ in range(count) for target in self.targets]

    def peer(self, target: Open) -> Peer:
        """Connect to a broker."""
        return Peer(self.context, self.identity, target)

    def flood(self, next_frame: Callable[[], bytes], *, reads: bool = True) -> None:
        """Send frames over all connections, as many as they take, and make those anew that are ended."""
        peers = self.peers()
        while self.goes_on():
            taken = 0
            for peer in peers:
                if not peer.renew():
                    continue
                burst = 0
                while burst < BURST and peer.send(next_frame()):
                    burst += 1
                taken += burst
                if reads:
                    peer.hear()
            self.sent["frames"] += taken
            if not taken:
                sleep(IDLE_S)
