"""One broker's membership without a net: a test says what the others say, in virtual time."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from braidmq.core.membership.membership import MembershipCore
from braidmq.core.membership.peer_record import PeerRecord
from braidmq.observer import BrokerObserver
from braidmq.settings import Settings
from braidmq.wire.gossip import Ack, Gossip, Gossiped, Ping, Rumor, State
from braidmq.wire.kinds import Control

START = 1_000.0
SETTINGS = Settings()
EPSILON_S = 1e-6


class Solo:
    """The core of broker `me`, which knows some others; no news is on its way."""

    def __init__(self, *names: str, settings: Settings = SETTINGS, observer: BrokerObserver | None = None) -> None:
        self.now = START
        self.registered = {"me", *names}
        self.core = MembershipCore(
            "me", b"my certificate", settings, random.Random(1), self, now=START, observer=observer
        )
        for name in names:
            self.core.on_up(name, self.now)
            self.core._telling.rumors.drop(name)
        self.log: list[str] = []
        self.taken()
        self.core.take_events()

    def certificate(self, name: str) -> bytes | None:
        return b"certificate of " + name.encode() if name in self.registered else None

    def admit(self, name: str, certificate: bytes, now: float) -> bool:
        """Certificates are valid if they say so; they are kept."""
        assert now == self.now
        if certificate == b"valid for " + name.encode():
            self.registered.add(name)
        return name in self.registered

    def __getitem__(self, name: str) -> PeerRecord:
        return self.core.members[name]

    def state(self, name: str) -> tuple[int, State]:
        return self[name].incarnation, self[name].state

    def tick(self, seconds: float) -> None:
        """Let time pass, with every timer on time."""
        end = self.now + seconds
        while self.core.next_deadline() <= end:
            self.now = max(self.now, self.core.next_deadline())
            self.core.on_timer(self.now)
            self.core.validate_state()
        self.now = end

    def hear(self, sender: str, *messages: Gossiped) -> None:
        for message in messages:
            self.core.on_message(sender, message, self.now)
            self.core.validate_state()

    def tell(
        self, sender: str, name: str, incarnation: int, state: State, *, by: str = "", certificate: bytes = b""
    ) -> None:
        self.hear(sender, Gossip([Rumor(name, incarnation, state, by, certificate)]))

    def down(self, name: str) -> None:
        self.core.on_down(name, self.now)
        self.core.validate_state()

    def taken(self) -> list[tuple[str, Control]]:
        return [(name, each) for name, messages in self.core.take_sends().items() for each in messages]

    def sent(self, kind: type[Any]) -> list[tuple[str, Any]]:
        """Take what was sent; return the messages of one kind, with whom they are for."""
        return [(name, each) for name, each in self.taken() if isinstance(each, kind)]

    def probed(self) -> tuple[str, int]:
        """Wait for the next probe; return its target and its number."""
        while True:
            self.now = self.core.next_deadline()
            self.core.on_timer(self.now)
            pings = self.sent(Ping)
            if pings:
                ((target, ping),) = pings
                return target, ping.number

    def probe_of(self, name: str) -> int:
        """Let all others answer until this one is probed; return the number."""
        while True:
            target, number = self.probed()
            if target == name:
                return number
            self.hear(target, Ack(number))

    def news(self) -> dict[str, Rumor]:
        """Return what the next message would tell."""
        return {name: rumor for name, (_, rumor) in self.core._telling.rumors._told.items()}

    def events(self, level: int = 0) -> list[str]:
        return [str(event) for event in self.core.take_events() if event.level >= level]

    def settle(self) -> None:
        """Drop all that is to be told."""
        for name in ("me", *self.core.members):
            self.core._telling.rumors.drop(name)
        self.taken()
        self.events()


@contextmanager
def checked_solos() -> Iterator[Callable[..., Solo]]:
    """Yield what makes brokers, and let each validate its state at the end."""
    solos: list[Solo] = []

    def make(*names: str, **options: Any) -> Solo:
        solos.append(Solo(*names, **options))
        return solos[-1]

    yield make
    for solo in solos:
        solo.core.validate_state()
