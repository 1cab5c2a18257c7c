"""A registered node in an attacker's hands: many connections of one key, and habits that a seed draws for it.

What it holds is its own key and its own rights. It reads nobody else's messages: that is the part of intruder.py.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from braidmq.core.links.link import Step
from braidmq.lab.simulation import hostile_words as words
from braidmq.lab.simulation.dealers import Dealers
from braidmq.lab.simulation.process import Process
from braidmq.lab.simulation.registry import principal_of
from braidmq.wire import control
from braidmq.wire.bundle import split

if TYPE_CHECKING:
    from braidmq.lab.simulation.net import Net

EVERY_S: Final = 0.05
"""How often it does something to each broker, on average."""

RETURNS_S: Final = 0.2
"""How soon it is back at most, when it was cut off."""

HABITS_MAX: Final = 3
"""Habits of one seed: rare combinations come up that a mixture of everything would drown."""

Habit = Callable[[Dealers, str], None]
"""What it does over one of its connections to a broker."""


class HostileNode(Process):
    """A process without a core: it connects to all brokers, and does one of its habits after the other.

    A kind of it says in `greet` what comes first over a connection, in `read` what it does about a message, and in
    `habits` what else it may do.

    Attributes:
        deaf: the connections that it never reads from.
    """

    def __init__(self, net: Net, name: str, *, connections: int) -> None:
        super().__init__(net.world, name)
        self.net = net
        self.rng = net.world.chance(f"habits of {name}")
        self.asking = words.Asking(name, self.rng, lambda: self.clock)
        self.deaf: set[Dealers] = set()
        self._hands = [
            Dealers(
                self, net.network, net.routes_of, principal=principal_of(name), outbox_bytes_max=1 << 22,
                rng=net.world.chance(f"routes of {name} {number}"),
            )
            for number in range(connections)
        ]  # fmt: skip
        self._tiny = self.rng.randrange(words.TINY_KINDS)
        self._habits: Sequence[Habit] = ()

    def __str__(self) -> str:
        return f"{self.name}: {', '.join(each.__name__ for each in self._habits)} ({self._tiny})"

    def kill(self) -> None:
        """End at once."""
        if self.up:
            for hand in self._hands:
                hand.close_all()
            self.end()

    def _drain(self, now: float) -> None:
        self.kill()  # it has no manners

    def _begin(self) -> None:
        habits = self.habits()
        self._habits = self.rng.sample(habits, min(len(habits), self.rng.randint(1, HABITS_MAX)))
        self.world.trace.note(self.world.now, str(self))
        for hand in self._hands:
            for broker in self.net.brokers:
                self.connect(hand, broker)
        self.later(0.0, self._act)

    def _turn(self, now: float) -> float:
        for hand in self._hands:
            deaf = hand in self.deaf
            for broker, what in hand.news(deaf=deaf):
                if isinstance(what, Step):
                    hand.send(broker, [words.said(control.Hello(self.name))])
                    self.greet(hand, broker)
                else:
                    hand.close(broker)
                    self.later(self.rng.uniform(0.0, RETURNS_S), partial(self.connect, hand, broker))
            if not deaf:
                for broker, frame in hand.frames():
                    for message in split(frame)[0]:
                        self.read(hand, broker, message)
            hand.flush()
        return now + 1.0

    def connect(self, hand: Dealers, broker: str) -> None:
        """Connect anew, whatever there was."""
        hand.close(broker)
        route = bytes((1 + self.rng.randrange(255),)) + self.rng.randbytes(15)
        hand.open_as(broker, route)

    def _act(self) -> None:
        hand = self.rng.choice(self._hands)
        for broker in self.net.brokers:
            if hand.route(broker) is not None:
                self.rng.choice(self._habits)(hand, broker)
        self.later(self.rng.uniform(0.0, 2 * EVERY_S), self._act)

    # -- what makes it this node and no other

    @abstractmethod
    def habits(self) -> Sequence[Habit]:
        """Return all that it may do."""

    def greet(self, hand: Dealers, broker: str) -> None:
        """Say what it says first over a connection, behind HELLO."""

    def read(self, hand: Dealers, broker: str, message: bytes) -> None:
        """Handle a message."""

    # -- habits of any node

    def babble(self, hand: Dealers, broker: str) -> None:
        """Send many messages in one frame."""
        hand.send(broker, [words.tiny(self._tiny, self.rng, self.asking)])

    def blurt(self, hand: Dealers, broker: str) -> None:
        """Send what is no message."""
        hand.send(broker, [words.garbage(self.rng)])

    def reconnect(self, hand: Dealers, broker: str) -> None:
        """End a connection, and make it anew."""
        self.connect(hand, broker)
