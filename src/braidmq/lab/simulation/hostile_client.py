"""A registered client in an attacker's hands: it asks for all that it may, and for much that it may not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from braidmq.lab.simulation import hostile_words as words
from braidmq.lab.simulation.dealers import Dealers
from braidmq.lab.simulation.hostile_node import Habit, HostileNode
from braidmq.wire import control, gossip
from braidmq.wire.envelope import LOST, REJECT, REPLY, command_of

if TYPE_CHECKING:
    from braidmq.lab.simulation.net import Net

OWN: Final = "mine"
"""A service that it provides itself, so that what it asks of it waits for as long as it likes."""

HELD: Final = 60
"""Requests that it keeps unanswered over each of its connections to each broker."""

NAMES: Final = 200
"""Services that nobody has, which it names in one frame."""

_FINAL: Final = frozenset((REPLY, REJECT, LOST))


class HostileClient(HostileNode):
    """Makes its habits, a method each, of what a client may say; see HostileNode for when they are called."""

    NAME: Final = "xc"

    def __init__(self, net: Net) -> None:
        super().__init__(net, self.NAME, connections=net.plan.hostile_connections)
        self._held: dict[tuple[Dealers, str], int] = {}

    def habits(self) -> Sequence[Habit]:
        """Return all that it may do."""
        return (
            self.babble,
            self.blurt,
            self.reconnect,
            self.crowd,
            self.park,
            self.invent,
            self.weigh,
            self.query,
            self.pretend,
            self.ignore,
        )

    def greet(self, hand: Dealers, broker: str) -> None:
        """Say what it says first: it has a service, and answers nothing."""
        self._held.pop((hand, broker), None)
        hand.send(broker, [words.said(control.Ready(OWN, 1))])

    def read(self, hand: Dealers, broker: str, message: bytes) -> None:
        """Handle which of its requests have ended."""
        if command_of(message) in _FINAL and self._held.get((hand, broker)):
            self._held[hand, broker] -= 1

    # -- habits

    def crowd(self, hand: Dealers, broker: str) -> None:
        """Keep many requests for a service that others use."""
        held = self._held.get((hand, broker), 0)
        self._held[hand, broker] = HELD
        service = self.rng.choice(self.net.plan.services)
        hand.send(broker, [self.asking.request(service, time_ms=5_000) for _ in range(HELD - held)])

    def park(self, hand: Dealers, broker: str) -> None:
        """Let large requests lie in its own service for a day."""
        size_bytes = self.net.plan.settings.payload_bytes_max - 100
        hand.send(broker, [self.asking.request(OWN, time_ms=words.DAY_MS, size_bytes=size_bytes)])

    def invent(self, hand: Dealers, broker: str) -> None:
        """Ask for services that nobody has, and think better of it."""
        first = self.rng.randrange(1_000_000)
        hand.send(broker, [words.bundle(self.asking.request_and_cancel(f"no/{first + n}") for n in range(NAMES))])

    def weigh(self, hand: Dealers, broker: str) -> None:
        """Send requests that are as large as may be, or larger."""
        most = self.net.plan.settings.payload_bytes_max
        service = self.rng.choice(self.net.plan.services)
        hand.send(broker, [self.asking.request(service, size_bytes=self.rng.choice((most - 100, most, 2 * most)))])

    def query(self, hand: Dealers, broker: str) -> None:
        """Ask for reports, and for brokers that have a service."""
        service = self.rng.choice(self.net.plan.services)
        seek, status = words.said(gossip.Seek(service)), words.said(control.Status())
        hand.send(broker, [seek * words.TINY if self.rng.random() < 0.7 else status * words.TINY])

    def pretend(self, hand: Dealers, broker: str) -> None:
        """Say what only brokers say, at length."""
        rows = [gossip.Rumor(f"b{number}", 1, "dead") for number in range(words.ROWS)]
        services = [gossip.ServiceAbout(f"s{number}", 1, 1) for number in range(words.ROWS)]
        hand.send(
            broker, [words.said(self.rng.choice((gossip.Sync(rows), gossip.About(broker, 1, services=services))))]
        )

    def ignore(self, hand: Dealers, broker: str) -> None:
        """Ask for much over a connection, and never read it."""
        self.deaf.add(hand)
        service = self.rng.choice(self.net.plan.services)
        hand.send(broker, [self.asking.request(service, size_bytes=8_000) for _ in range(4)])
