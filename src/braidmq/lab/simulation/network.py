"""Connections that behave as TCP does, on a bad day.

Within one connection nothing is reordered and nothing is lost, until the connection ends: then what was accepted and
has not arrived may be lost, from some point on. Pipes are bounded; a full one refuses. A cut direction holds what is
sent until it heals, or until the connection ends. Connections are reordered against one another by their delays.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from enum import Enum
from math import inf
from typing import TYPE_CHECKING, Final, Protocol

from braidmq.core.links.link import Failure
from braidmq.wire.bundle import split
from braidmq.wire.envelope import REQUEST, command_of

if TYPE_CHECKING:
    from braidmq.lab.simulation.dealers import Dealers
    from braidmq.lab.simulation.process import Process
    from braidmq.lab.simulation.routes import Routes
    from braidmq.lab.simulation.world import World

RETRANSMIT_S: Final = 0.2
"""What one lost packet costs at first: TCP's shortest retransmission timeout. It doubles with each further loss."""

RETRANSMITS_MAX: Final = 4
"""How often one packet is lost at most, which takes 3 s: what gets through later still is what a cut does."""

POLL_S: Final = 0.05
"""How often a handshake that cannot go on is looked at."""

_REQUEST: Final = bytes((REQUEST,))


class Conditions:
    """How the network between two processes is: one direction of it.

    Attributes:
        cut: how many partitions let nothing through.
        loss: the share of packets that are lost, and sent again.
        extra_s: what every frame takes longer.
    """

    __slots__ = ("cut", "extra_s", "loss")

    def __init__(self) -> None:
        self.cut = 0
        self.loss = 0.0
        self.extra_s = 0.0


class Pipe:
    """One direction of a connection.

    Attributes:
        arrived: frames that the reader has not taken, each with the time when it was sent.
        under_way: frames that have not arrived, in their order, likewise.
        held: how many of them, the last ones, get no further: a cut or a handshake keeps them.
        count: frames that were accepted and not taken.
        broken: what is sent from now on gets nowhere.
        journey_s: the least that any frame took until it was read; infinite before one was.
    """

    __slots__ = ("arrived", "broken", "count", "held", "journey_s", "last_at", "source", "target", "under_way")

    def __init__(self, source: str, target: str) -> None:
        self.source = source
        self.target = target
        self.arrived: deque[tuple[bytes, float]] = deque()
        self.under_way: deque[tuple[bytes, float]] = deque()
        self.held = 0
        self.count = 0
        self.last_at = 0.0
        self.broken = False
        self.journey_s = inf


class Stage(Enum):
    """How far a connection is."""

    OPENING = "opening"
    OPEN = "open"
    ENDED = "ended"


class Connection:
    """A connection to a broker.

    Here the one who makes it chooses its routing id, as with a ROUTER of libzmq. Brokers on sockets do that themselves,
    so that whoever holds a key has one way less to deceive them.

    Attributes:
        route: the routing id that the dealer has chosen.
        principal: the key that it has proven to hold.
        ignored: the router had that routing id already, and ignores the newcomer.
        unaware: how many ends have yet to learn that it has ended.
    """

    __slots__ = ("dealers", "ignored", "inward", "outward", "principal", "route", "router", "stage", "unaware")

    def __init__(self, dealers: Dealers, router: Routes, route: bytes, principal: str) -> None:
        self.dealers = dealers
        self.router = router
        self.route = route
        self.principal = principal
        self.stage = Stage.OPENING
        self.ignored = False
        self.unaware = 0
        self.outward = Pipe(dealers.process.name, router.process.name)
        self.inward = Pipe(router.process.name, dealers.process.name)


class Eavesdropper(Protocol):
    """Somebody who reads what goes through the network, encrypted or not."""

    def on_heard(self, connection: Connection, pipe: Pipe, frame: bytes) -> None:
        """Note that a frame was sent."""


class Network:
    """All connections, and the conditions between any two processes.

    Attributes:
        eavesdropper: who reads everything, if somebody does.
        pause_on_delivery: what is done to the next process that a request reaches, just before it can read it.
        trap: what is done to the next process that sends a request to a broker, once it is on its way.
        relay: what is done to the next broker that passes a request on, once it is on its way.

    Args:
        delay_s: the shortest and the longest time that a frame takes.
        frames_max: frames that a pipe takes before it refuses.
        frames_per_turn: frames that are read from a connection before everything else has its turn.
        handshake_s_max: time that a connection has to come about.
        transport_timeout_s: silence after which the transport itself gives a connection up.
    """

    def __init__(
        self,
        world: World,
        *,
        delay_s: tuple[float, float],
        frames_max: int,
        frames_per_turn: int,
        handshake_s_max: float,
        transport_timeout_s: float,
    ) -> None:
        self.world = world
        self.connections: dict[Connection, None] = {}
        self.eavesdropper: Eavesdropper | None = None
        self.pause_on_delivery: Callable[[Process], None] | None = None
        self.trap: Callable[[Process], None] | None = None
        self.relay: Callable[[Process], None] | None = None
        self._rng: random.Random = world.chance("network")
        self._delay_s = delay_s
        self._frames_max = frames_max
        self._frames_per_turn = frames_per_turn
        self._handshake_s_max = handshake_s_max
        self._transport_timeout_s = transport_timeout_s
        self._conditions: dict[tuple[str, str], Conditions] = {}

    # -- the conditions

    def conditions(self, source: str, target: str) -> Conditions:
        """Return how it is from one process to another; it may be changed, `clear_up` follows."""
        found = self._conditions.get((source, target))
        if found is None:
            found = self._conditions[source, target] = Conditions()
        return found

    def clear_up(self) -> None:
        """Let what was held travel on, where nothing holds it any more."""
        for connection in self.connections:
            if connection.stage is not Stage.OPENING:
                self._release(connection, connection.outward)
                self._release(connection, connection.inward)

    @property
    def is_sound(self) -> bool:
        """Whether no connection has ended without both ends knowing, and nothing that was lost is still on its way."""
        in_time = self.world.now + self._delay_s[1]
        return all(
            connection.stage is not Stage.ENDED
            and connection.outward.last_at <= in_time
            and connection.inward.last_at <= in_time
            for connection in self.connections
        )

    @property
    def carries_requests(self) -> bool:
        """Whether a request is on its way that its reader has not taken."""
        return any(
            command_of(message) == REQUEST
            for connection in self.connections
            for pipe in (connection.outward, connection.inward)
            for frame, _ in (*pipe.under_way, *pipe.arrived)
            for message in split(frame)[0]
        )

    # -- for dealers and routers

    def open(self, dealers: Dealers, router: Routes, route: bytes, principal: str) -> Connection:
        """Begin to connect. `on_open` or `on_end` of the dealer follows, unless it closes before."""
        connection = Connection(dealers, router, route, principal)
        self.connections[connection] = None
        give_up_at = self.world.now + self._handshake_s_max
        self.world.later(self._delay() + self._delay(), lambda: self._shake_hands(connection, give_up_at))
        return connection

    def send(self, connection: Connection, pipe: Pipe, frame: bytes) -> bool:
        """Accept a frame; return False if the pipe is full."""
        if pipe.count >= self._frames_max:
            return False
        pipe.count += 1
        if self.eavesdropper is not None:
            self.eavesdropper.on_heard(connection, pipe, frame)
        self._dispatch(connection, pipe, frame)
        return True

    def take(self, connection: Connection, pipe: Pipe, *, until_empty: bool = False) -> list[bytes]:
        """Return what has arrived, at most `frames_per_turn` unless it is to be all; the sender may have room again."""
        count = len(pipe.arrived) if until_empty else min(self._frames_per_turn, len(pipe.arrived))
        frames = []
        for _ in range(count):
            frame, sent_at = pipe.arrived.popleft()
            took_s = self.world.now - sent_at
            pipe.journey_s = min(pipe.journey_s, took_s)
            frames.append(frame)
        was_full = pipe.count >= self._frames_max
        pipe.count -= len(frames)
        if was_full and frames:
            sender = connection.dealers if pipe is connection.outward else connection.router
            self.world.later(0.0, sender.process.wake)
        return frames

    def journey_s(self, node: str, broker: str, *, outward: bool) -> float:
        """Return the shortest journey so far of a frame over a node's connection; of several the slowest one's.

        It is 0.0 if nothing was read. Nobody can see a delay that all frames of a session have in common.
        """
        pipes = [
            each.outward if outward else each.inward
            for each in self.connections
            if (each.dealers.process.name, each.router.process.name) == (node, broker)
        ]
        return max((pipe.journey_s for pipe in pipes if pipe.journey_s < inf), default=0.0)

    # -- how connections end

    def close(self, connection: Connection, *, by_dealer: bool, lossless: bool = False) -> None:
        """One end closes; the other learns of it after what has arrived there, unless the network keeps it from that.

        What that end has sent may be lost from some point on, unless it has waited for it.
        """
        if connection.stage is Stage.ENDED:
            return
        opening = connection.stage is Stage.OPENING
        connection.stage = Stage.ENDED
        connection.unaware = 1
        mine, theirs = connection.outward, connection.inward
        if not by_dealer:
            mine, theirs = theirs, mine
        theirs.broken = True
        self._lose(theirs, 0)
        if opening:
            self._forget(connection, by_dealer=by_dealer)
            return
        if not lossless:
            self._lose(mine, self._rng.randint(0, len(mine.under_way)))
        if self.conditions(mine.source, mine.target).cut:
            self._lose(mine, len(mine.under_way) - mine.held)
            at = self.world.now + self._transport_timeout_s
        else:
            at = max(mine.last_at, self.world.now + self._delay())
        self.world.at(at, lambda: self._forget(connection, by_dealer=by_dealer))

    def reset(self, connection: Connection, *, silent: bool = False, by_dealer: bool | None = None) -> None:
        """Break a connection from outside.

        Args:
            connection: the one to break.
            silent: whether the ends learn of it only by the transport's own timeout, or at once.
            by_dealer: whether only the dealer learns of it at once, or only the router; None: both alike.
        """
        if connection.stage is not Stage.OPEN:
            return
        connection.stage = Stage.ENDED
        connection.unaware = 2
        for pipe, outward in ((connection.outward, True), (connection.inward, False)):
            self._lose(pipe, self._rng.randint(0, len(pipe.under_way) - pipe.held))
            pipe.broken = True
            late = silent or by_dealer is outward
            after_s = self._delay() + (self._transport_timeout_s if late else 0.0)
            self.world.later(after_s, lambda pipe=pipe, outward=outward: self._break(connection, pipe, outward))  # type: ignore[misc]

    # -- inner

    def _break(self, connection: Connection, pipe: Pipe, outward: bool) -> None:
        """Let an end learn that its connection is broken: what has not come by then never does."""
        self._lose(pipe, 0)
        self._forget(connection, by_dealer=outward)

    def _delay(self) -> float:
        return self._rng.uniform(*self._delay_s)

    def _dispatch(self, connection: Connection, pipe: Pipe, frame: bytes) -> None:
        now, trace = self.world.now, self.world.trace
        if pipe.broken:
            trace.frame(now, pipe.source, pipe.target, "sends, in vain", frame)
            return
        trace.frame(now, pipe.source, pipe.target, "sends", frame)
        pipe.under_way.append((frame, now))
        if frame[5:6] == _REQUEST:
            if self.trap is not None and pipe is connection.outward:
                self.trap(connection.dealers.process)
            elif self.relay is not None and pipe is connection.inward:
                self.relay(connection.router.process)
        if connection.stage is Stage.OPENING or self.conditions(pipe.source, pipe.target).cut:
            pipe.held += 1
        else:
            self._forward(connection, pipe)

    def _release(self, connection: Connection, pipe: Pipe) -> None:
        if pipe.held and not self.conditions(pipe.source, pipe.target).cut:
            held, pipe.held = pipe.held, 0
            for _ in range(held):
                self._forward(connection, pipe)

    def _forward(self, connection: Connection, pipe: Pipe) -> None:
        """Let one more frame arrive: the first, when its time comes, whichever frame that is then."""
        conditions = self.conditions(pipe.source, pipe.target)
        delay_s = self._delay() + conditions.extra_s
        for lost in range(RETRANSMITS_MAX):
            if not conditions.loss or self._rng.random() >= conditions.loss:
                break
            delay_s += RETRANSMIT_S * 2**lost
        pipe.last_at = max(pipe.last_at, self.world.now + delay_s)
        self.world.at(pipe.last_at, lambda: self._arrive(connection, pipe))

    def _arrive(self, connection: Connection, pipe: Pipe) -> None:
        if len(pipe.under_way) == pipe.held:
            return  # it was lost with its connection
        if self.conditions(pipe.source, pipe.target).cut:
            pipe.held += 1
            return
        frame, sent_at = pipe.under_way.popleft()
        self.world.trace.frame(self.world.now, pipe.source, pipe.target, "arrives", frame)
        if connection.ignored:
            pipe.count -= 1
            return
        if self.pause_on_delivery is not None and pipe is connection.inward and frame[5:6] == _REQUEST:
            self.pause_on_delivery(connection.dealers.process)
        pipe.arrived.append((frame, sent_at))
        (connection.router if pipe is connection.outward else connection.dealers).on_arrival(connection)

    def _lose(self, pipe: Pipe, keep: int) -> None:
        """Lose what is on its way, but for the first `keep` frames."""
        while len(pipe.under_way) > keep:
            pipe.held = max(0, pipe.held - 1)
            self.world.trace.frame(self.world.now, pipe.source, pipe.target, "loses", pipe.under_way.pop()[0])

    def _shake_hands(self, connection: Connection, give_up_at: float) -> None:
        if connection.stage is not Stage.OPENING:
            return
        dealers, router = connection.dealers, connection.router
        there = self.conditions(connection.outward.source, connection.outward.target)
        back = self.conditions(connection.inward.source, connection.inward.target)
        if there.cut or back.cut or router.process.paused:
            if self.world.now < give_up_at:
                self.world.later(POLL_S, lambda: self._shake_hands(connection, give_up_at))
            else:
                self._fail(connection, Failure.UNREACHABLE)
        elif not router.process.up:
            self._fail(connection, Failure.UNREACHABLE)
        elif (refusal := router.refusal(connection.principal)) is not None:
            self._fail(connection, refusal)
        else:
            connection.stage = Stage.OPEN
            connection.ignored = not router.attach(connection)
            self._release(connection, connection.outward)
            dealers.on_open(connection)

    def _fail(self, connection: Connection, failure: Failure) -> None:
        connection.stage = Stage.ENDED
        self.connections.pop(connection, None)
        connection.dealers.on_end(connection, failure)

    def _forget(self, connection: Connection, *, by_dealer: bool) -> None:
        """Let one end learn that a connection has ended."""
        connection.unaware -= 1
        if not connection.unaware:
            del self.connections[connection]
        if by_dealer:
            connection.router.on_end(connection)
        else:
            connection.dealers.on_end(connection, Failure.CLOSED)
